"""Trust bundles in projected volumes: which are meant, and what their file holds."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.agent.volumes import bundles
from navarch.agent.volumes.maker import MountFailure
from navarch.agent.volumes.payload import Content, payload, references
from navarch.kinds import CLUSTERTRUSTBUNDLE
from navarch.kinds.object import Object
from navarch.kinds.podspec.volumes import TrustBundleProjection
from navarch.kinds.view import LabelSelector
from tests.unit.agent.pods import pod
from tests.unit.agent.volumes.test_payload import AROUND, token


def pem(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----"


def bundle(name: str, certificates: str, **labels: str) -> Object:
    meta = {"name": name, "labels": labels, "uid": name, "resourceVersion": "1"}
    document = {"metadata": meta, "spec": {"trustBundle": certificates, "signerName": "example.com/ca"}}
    return Object.of(CLUSTERTRUSTBUNDLE, document)


FOUND = [
    bundle("b", pem("two") + "\n" + pem("one"), live="yes"),
    bundle("a", "told: \n" + pem("one") + "\n", live="yes"),
    bundle("c", pem("three"), live="no"),
]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        (None, None),
        (LabelSelector(), {"a", "b", "c"}),
        (LabelSelector(match_labels={"live": "yes"}), {"a", "b"}),
        (LabelSelector(match_labels={"live": "perhaps"}), None),
    ],
)
def test_a_signer_means_the_bundles_that_its_labels_choose(selector: Any, names: set[str] | None) -> None:
    key = bundles.key_of(TrustBundleProjection(path="x", signer_name="example.com/ca", label_selector=selector))
    assert bundles.fields_of(key) == "spec.signerName=example.com/ca"
    found = bundles.chosen(key, FOUND)
    assert (set(found) if found is not None else None) == names


def test_a_name_means_one_bundle() -> None:
    key = bundles.key_of(TrustBundleProjection(path="x", name="a"))
    assert bundles.fields_of(key) == "metadata.name=a"
    assert set(bundles.chosen(key, FOUND[1:2]) or ()) == {"a"}
    assert bundles.chosen(key, []) is None


def test_every_certificate_stands_once_in_the_file_and_nothing_else() -> None:
    key = bundles.key_of(TrustBundleProjection(path="x", signer_name="s", label_selector=LabelSelector()))
    found = bundles.anchors(bundles.chosen(key, FOUND) or {})
    assert found.decode() == "".join(f"{pem(text)}\n" for text in ("one", "two", "three"))


def made(optional: bool, known: bool, **spec: Any) -> dict[str, Content]:
    source = {"clusterTrustBundle": {"path": "ca.pem", "name": "a", "optional": optional}}
    found = pod(volumes=[{"name": "v", "projected": {"sources": [source]}}], **spec)
    volume = found.spec.volumes[0]
    [(plural, _)] = references(volume)
    assert plural == bundles.PLURAL
    there = {"a": pem("one").encode()} if known else None
    return dict(payload(found, volume, lambda *_: there, AROUND, token))


def test_a_bundle_becomes_a_file_and_a_missing_one_stops_the_mount_unless_it_is_optional() -> None:
    assert made(False, True) == {"ca.pem": Content(f"{pem('one')}\n".encode(), 0o644)}
    assert made(True, False) == {"ca.pem": Content(b"", 0o644)}
    with pytest.raises(MountFailure, match='clustertrustbundle "a" not found'):
        made(False, False)
    alone = made(False, True, securityContext={"runAsUser": 7})
    assert alone["ca.pem"].mode == 0o600
    assert alone["ca.pem"].uid == 7
