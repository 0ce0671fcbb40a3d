"""kubectl creates, reads, shows, describes, explains and deletes one good object of every kind that is served."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from compat_driver import Kubectl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from navarch.kinds import ALL, EVENT
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT

SAMPLES = Path(__file__).parents[1] / "samples" / "kinds.yaml"
GROUPED = sorted({kind.group for kind in ALL if kind.verbs})


def request() -> str:
    """A PKCS#10 request, as a CertificateSigningRequest holds it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sample")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def samples(namespace: str) -> list[dict[str, Any]]:
    text = SAMPLES.read_text().replace("NAMESPACE", namespace).replace("request: REQUEST", f"request: {request()}")
    return list(yaml.safe_load_all(text))


def missing(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Where `found` has not what `wanted` has."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [fault for key, value in wanted.items() for fault in missing(value, found.get(key), f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [fault for index, (one, other) in pairs for fault in missing(one, other, f"{path}[{index}]")]
    return [] if wanted == found else [f"{path}: {wanted!r} became {found!r}"]


def kind_of(document: dict[str, Any]) -> Kind:
    found = DEFAULT.named(document["apiVersion"], document["kind"])
    assert found is not None
    return found


def resource(kind: Kind) -> str:
    return f"{kind.plural}.{kind.version}.{kind.group}" if kind.group else kind.plural


@pytest.mark.parametrize("group", GROUPED)
def test_kinds_of(group: str, one_kubectl: Kubectl) -> None:
    found = [one for one in samples(one_kubectl.namespace) if kind_of(one).group == group]
    assert found
    for document in found:
        kind, name = kind_of(document), document["metadata"]["name"]
        one_kubectl("create", "-f", "-", stdin=yaml.safe_dump(document))
        stored = json.loads(one_kubectl("get", resource(kind), name, "-o", "json"))
        document.pop("stringData", None)
        assert missing(document, stored) == []
        wide = one_kubectl("get", resource(kind), name, "-o", "wide").splitlines()
        expected = [column.name.upper() for column in kind.table]
        assert wide[0].split("  ")[0].strip() == expected[0]
        assert all(name in wide[0] for name in expected), wide[0]
        assert "<unknown type>" not in wide[1]
        assert name in one_kubectl("describe", resource(kind), name)
        one_kubectl("label", resource(kind), name, "sample=yes")
        one_kubectl("annotate", resource(kind), name, "example.com/sample=yes", "--dry-run=server")
        assert one_kubectl("get", resource(kind), "-l", "sample=yes", "-o", "name").strip().endswith(f"/{name}")
        explained = one_kubectl("explain", kind.plural, "--api-version", kind.api_version, "--recursive")
        assert f"KIND:       {kind.name}" in explained
        one_kubectl("delete", resource(kind), name, "--wait=false")


def test_reviews_are_explained(one_kubectl: Kubectl) -> None:
    for kind in [kind for kind in ALL if "create" not in kind.verbs]:
        explained = one_kubectl("explain", kind.plural, "--api-version", kind.api_version, "--recursive")
        assert f"KIND:       {kind.name}" in explained


def test_all_of_them_go_with_their_owner_and_with_their_namespace(one_kubectl: Kubectl) -> None:
    """The garbage collector and the namespace's controller know every kind; an Event has no owner."""
    stored = [kind for kind in ALL if kind.verbs and kind.namespaced and kind.stored_as is None]
    kinds = [kind for kind in stored if kind is not EVENT]
    every = ",".join(resource(kind) for kind in kinds)
    found = [one for one in samples(one_kubectl.namespace) if kind_of(one) in kinds]
    one_kubectl("create", "configmap", "owner")
    uid = one_kubectl("get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    for one in found:
        one["metadata"] |= {"labels": {"sample": "owned"}, "ownerReferences": [owner]}
    one_kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(found))
    kept = one_kubectl("get", every, "-l", "sample=owned", "-o", "name").split()
    assert len(kept) >= len(kinds)
    one_kubectl("delete", "configmap", "owner")
    one_kubectl("wait", "--for=delete", "--timeout=100s", every, "-l", "sample=owned")
    for one in found:
        one["metadata"].pop("ownerReferences", None)
        one["metadata"]["name"] += "-2"
    one_kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(found))
    one_kubectl("delete", "namespace", one_kubectl.namespace, "--timeout=100s")
    assert one_kubectl("get", every, "-l", "sample=owned", "-o", "name").split() == []
