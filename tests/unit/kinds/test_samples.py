"""One good object of every kind passes the schema and the rules, and every update that changes nothing does too."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from navarch.kinds import ALL
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT
from navarch.kinds.schema import schema_for
from navarch.kinds.schema_check import check
from navarch.objects.value import Draft

SAMPLES = Path(__file__).parents[2] / "samples" / "kinds.yaml"
STORED = [kind for kind in ALL if "create" in kind.verbs]


@cache
def samples() -> dict[tuple[str, str], dict[str, Any]]:
    text = SAMPLES.read_text().replace("NAMESPACE", "n").replace("request: REQUEST", f"request: {request()}")
    return {(one["apiVersion"], one["kind"]): one for one in yaml.safe_load_all(text)}


def request() -> str:
    """A PKCS#10 request, as a CertificateSigningRequest holds it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sample")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def test_every_resource_has_a_sample() -> None:
    assert {(kind.api_version, kind.name) for kind in STORED} - samples().keys() == set()


@pytest.mark.parametrize("kind", STORED, ids=repr)
def test_a_sample_is_good(kind: Kind) -> None:
    document = samples()[kind.api_version, kind.name]
    metadata = {**document["metadata"], "uid": "u", **({"namespace": "n"} if kind.namespaced else {})}
    found, told = check(schema_for(kind), {**document, "metadata": metadata})
    assert told == []
    stored = kind.to_stored(found) if kind.to_stored else found
    home = kind.stored_as or kind
    draft = Draft(stored)
    if home.prepare:
        home.prepare(draft, None)
    home.default(draft)
    made = draft.document
    assert [str(cause) for cause in home.rules(made, None)] == []
    assert list(kind.name_rule(metadata["name"]) if kind.name_rule else ()) == []
    again = Draft(made)
    if home.prepare:
        home.prepare(again, made)
    home.default(again)
    assert again.document == made, "what was prepared once is not prepared differently the next time"
    assert [str(cause) for cause in home.rules(made, made)] == []
    check(schema_for(home), made)


def test_samples_are_of_kinds_that_are_served() -> None:
    assert [key for key in samples() if DEFAULT.named(*key) is None] == []
