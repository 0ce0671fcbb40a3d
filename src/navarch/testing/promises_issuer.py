"""What the cluster's issuer promises of every write: whose Secrets it touches, and when keys and authorities change."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from navarch.base.certificate import read_pem
from navarch.base.clock import parse_rfc3339
from navarch.base.pki import BACKDATED, Pair, matches
from navarch.controllers.issuer.declared import ACCOUNT, CLUSTER, ISSUER, KEY
from navarch.controllers.issuer.issued import ISSUED_FOR, RENEW_AT, SIGNED_BY
from navarch.controllers.issuer.root import CERTIFICATE, OWN, PRIVATE, TRUSTED, blocks, digest_of
from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger, terminating


def asks_for(ingress: Document) -> Mapping[str, frozenset[str]]:
    """By the name of a Secret, the names that the Ingress asks for."""
    if dig(ingress, "metadata", "annotations", ISSUER) != CLUSTER or terminating(ingress):
        return {}
    found: dict[str, frozenset[str]] = {}
    for entry in dig(ingress, "spec", "tls", default=()):
        name = entry.get("secretName", "")
        found[name] = found.get(name, frozenset()) | frozenset(entry.get("hosts", ()))
    return found


def is_issued(secret: Document) -> bool:
    metadata = secret["metadata"]
    own = f"{metadata['namespace']}/{metadata['name']}"
    marked = dig(secret, "metadata", "labels", ISSUER) == CLUSTER
    return bool(marked and dig(secret, "metadata", "annotations", ISSUED_FOR) == own)


def pair_in(secret: Document) -> Pair | None:
    """None where certificate and key do not belong together."""
    data: Mapping[str, str] = secret.get("data") or {}
    pair = Pair(*(base64.b64decode(data.get(name, "")) for name in (CERTIFICATE, PRIVATE)))
    return pair if matches(pair) else None


def _trusted(secret: Document) -> tuple[str, ...]:
    return blocks(base64.b64decode(dig(secret, "data", TRUSTED, default="")).decode(errors="replace"))


def _is_authority(secret: Document) -> bool:
    return (secret["metadata"]["namespace"], secret["metadata"]["name"]) == KEY


def only_own_secrets(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """The issuer changes and removes no Secret that somebody else made."""
    if old is None or old.get("kind") != "Secret" or ledger.actor != ACCOUNT:
        return
    name = old["metadata"]["name"]
    if not (OWN in (old["metadata"].get("labels") or {}) if _is_authority(old) else is_issued(old)):
        yield f"the issuer {'removes' if new is None else 'changes'} Secret {name}, which somebody else made"


def asked_for_stay(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A certificate that an Ingress has asked for all the time, and that holds, is not taken away."""
    if old is None or old.get("kind") != "Secret" or ledger.actor != ACCOUNT or _is_authority(old):
        return
    if new is not None and not terminating(new):
        return
    name, pair = old["metadata"]["name"], pair_in(old)
    if pair is None or ledger.travelling:
        return
    for one in ledger.of("Ingress", old["metadata"]["namespace"]):
        versions = ledger.versions(one["metadata"]["uid"])
        if ledger.age_s(one) > ledger.lag_s and all(name in asks_for(version) for version in versions):
            yield f"Secret {name} is removed, Ingress {one['metadata']['name']} asks for it"


def keys_change_for_a_reason(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """One Secret has one key, until it is due, its names or its life change, or its authority is trusted no longer; and
    never another's."""
    if new is None or new.get("kind") != "Secret" or ledger.actor != ACCOUNT or _is_authority(new):
        return
    name, pair = new["metadata"]["name"], pair_in(new)
    if pair is None:
        yield f"the issuer puts no certificate with its key into Secret {name}"
        return
    made = read_pem(pair.certificate)
    if dig(new, "metadata", "annotations", SIGNED_BY) not in map(digest_of, _trusted(new)):
        yield f"the certificate in Secret {name} is of an authority that its {TRUSTED} does not name"
    before = None if old is None else pair_in(old)
    if old is None or before is None or before.key == pair.key:
        return
    had, at = read_pem(before.certificate), made.not_before + BACKDATED
    due = dig(old, "metadata", "annotations", RENEW_AT, default="")
    was_trusted = dig(old, "metadata", "annotations", SIGNED_BY) in map(digest_of, _trusted(new))
    same = had.hosts == made.hosts and made.not_after >= had.not_after
    if same and was_trusted and at < parse_rfc3339(due):
        yield f"Secret {name} gets another key at {at}, it was to be renewed at {due}"


def authorities_are_trusted_to_their_end(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """An authority is not forgotten before it ends, and none signs that was not announced."""
    if old is None or new is None or new.get("kind") != "Secret" or ledger.actor != ACCOUNT or not _is_authority(new):
        return
    before, now = pair_in(old), pair_in(new)
    if before is None or now is None:
        return
    signs, trusted = blocks(now.certificate.decode())[0], _trusted(old)
    lost = [block for block in trusted if block not in _trusted(new)]
    made = max(read_pem(block.encode()).not_before for block in _trusted(new))
    for block in lost:
        if (end := read_pem(block.encode()).not_after) > made:
            yield f"an authority is trusted no longer that holds until {end}"
    if signs not in trusted:
        yield "an authority signs that was not trusted before"


PROMISES = (
    only_own_secrets,
    asked_for_stay,
    keys_change_for_a_reason,
    authorities_are_trusted_to_their_end,
)
