"""The trust bundles that a projected volume takes its certificates from. Pure.

What a projection asks for is put into a key, by which `agent.references` watches and finds the bundles.

Source: https://kubernetes.io/docs/concepts/storage/projected-volumes/#clustertrustbundle
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from navarch.kinds.object import Object
from navarch.kinds.podspec.volumes import TrustBundleProjection
from navarch.kinds.view import LabelSelector
from navarch.objects import selector
from navarch.objects.value import dig

PLURAL = "clustertrustbundles"
_BY_NAME, _BY_SIGNER = "metadata.name=", "spec.signerName="
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def key_of(wanted: TrustBundleProjection) -> str:
    """What is to be watched, and after a `|` which of it is meant."""
    if wanted.name:
        return f"{_BY_NAME}{wanted.name}|"
    labels = msgspec.json.encode(wanted.label_selector).decode() if wanted.label_selector is not None else ""
    return f"{_BY_SIGNER}{wanted.signer_name}|{labels}"


def fields_of(key: str) -> str:
    """The field selector of the bundles that the key may mean."""
    return key.partition("|")[0]


def chosen(key: str, found: Iterable[Object]) -> Mapping[str, bytes] | None:
    """The PEM text of the bundles that the key means, by name; None when there is none.

    A signer without a label selector means no bundle at all, one with an empty selector all of the signer's.
    """
    fields, _, labels = key.partition("|")
    if fields.startswith(_BY_NAME):
        means = selector.from_labels({})
    elif labels:
        means = selector.from_view(msgspec.json.decode(labels, type=LabelSelector))
    else:
        return None
    taken = [item for item in found if means.matches(item.labels)]
    return {item.name: str(dig(item.document(), "spec", "trustBundle", default="")).encode() for item in taken} or None


def anchors(bundles: Mapping[str, bytes]) -> bytes:
    """The certificates of all of them, each once, in the order of the bundles' names."""
    blocks = [block for name in sorted(bundles) for block in _BLOCK.findall(bundles[name])]
    return b"".join(block + b"\n" for block in dict.fromkeys(blocks))
