"""What a user does with certificates of the cluster's issuer: Ingresses that ask for them and change their mind,
Secrets that are removed, spoilt and made by others, requests that are approved, and another authority now and then."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime

from navarch.base.certificate import read_pem
from navarch.base.errors import AlreadyExists, Conflict, NotFound
from navarch.controllers.issuer.asks import DURATION
from navarch.controllers.issuer.authority import ROTATE
from navarch.controllers.issuer.declared import CLUSTER, ISSUER, KEY, PUBLISHED, SIGNER
from navarch.controllers.issuer.root import CERTIFICATE, PRIVATE, TRUSTED, root_of
from navarch.kinds import CERTIFICATESIGNINGREQUEST, INGRESS, SECRET
from navarch.kinds.object import Object
from navarch.kinds.secret import TLS
from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger
from navarch.testing.promises_issuer import asks_for, is_issued, pair_in
from navarch.testing.scenes_cluster import new_request
from navarch.testing.user import User

HOSTS = ("one.example", "two.example", "*.example.org", "192.0.2.1")
FOREIGN = {"opaque": base64.b64encode(b"somebody's").decode()}
NONSENSE = base64.b64encode(b"nonsense").decode()
REQUEST = """\
-----BEGIN CERTIFICATE REQUEST-----
MIH6MIGhAgEAMBYxFDASBgNVBAMMC29uZS5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEUegbDuz5fTZX+ppPQGNm7OcX4B096CNMnPO0tY/z+GyA8z9a
h+5AY/oZIeL/TSyErueUKg6n/xbt/6QSU0x0u6ApMCcGCSqGSIb3DQEJDjEaMBgw
FgYDVR0RBA8wDYILb25lLmV4YW1wbGUwCgYIKoZIzj0EAwIDSAAwRQIhAKYORzHP
vcPi+EexIk2gcPScmuq8R5joYk3c2OdfEPcoAiAnlQa6a9qNTl+MXs/Y14Hlh+zL
fvI9rfSnuOx5WJS/vg==
-----END CERTIFICATE REQUEST-----
"""
"""For `one.example`, of a key that nobody has."""
TURNS = 14


async def issued(user: User) -> None:
    secrets = [f"{user.name}-tls-{number}" for number in range(3)]
    sources = [f"{user.name}-{number}" for number in range(3)]
    for name in sources:
        await user.make(INGRESS, name, {"spec": _spec(user, secrets)}, annotations=_notes(user))
    approved = await _request(user)
    for _ in range(TURNS):
        await user.pause(120.0)
        name, secret = user.pick(*sources), user.pick(*secrets)
        match user.number(0, 7):
            case 0 | 1:
                await user.change(INGRESS, name, {"spec": _spec(user, secrets)})
            case 2:
                note = user.pick(CLUSTER, "other", None)
                await user.change(INGRESS, name, {"metadata": {"annotations": {ISSUER: note}}})
            case 3:
                await _come_or_go(user, name, secrets)
            case 4:
                await _remove_secret(user, secret)
            case 5:
                await user.change(SECRET, secret, {"data": {user.pick(CERTIFICATE, PRIVATE, TRUSTED): NONSENSE}})
            case 6:
                await _make_foreign(user, secret)
            case _:
                around = User(user.client, user.ids, user.clock, user.name, KEY[0])
                await around.change(SECRET, KEY[1], {"metadata": {"annotations": {ROTATE: "now"}}})
    user.expect(lambda ledger: _as_asked(ledger, user, secrets))
    user.expect(lambda ledger: _answered(ledger, approved))
    user.expect(_published)


def _notes(user: User) -> dict[str, str]:
    return {ISSUER: CLUSTER, DURATION: user.pick("10m", "1h", "2160h")}


def _spec(user: User, secrets: list[str]) -> Document:
    entries = []
    for _ in range(user.number(1, 2)):
        hosts = list(dict.fromkeys(user.pick(*HOSTS) for _ in range(user.number(1, 2))))
        entries.append({"hosts": hosts, "secretName": user.pick(*secrets)})
    return {"tls": entries, "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}


async def _come_or_go(user: User, name: str, secrets: list[str]) -> None:
    if user.expected.get((INGRESS.name, user.namespace, name)):
        await user.remove(INGRESS, name)
    else:
        await user.make(INGRESS, name, {"spec": _spec(user, secrets)}, annotations=_notes(user))


async def _remove_secret(user: User, name: str) -> None:
    try:
        await user.client.delete(SECRET, user.namespace, name)
    except (NotFound, Conflict):
        return


async def _make_foreign(user: User, name: str) -> None:
    metadata = {"name": name, "namespace": user.namespace}
    try:
        await user.client.create(
            SECRET, {"apiVersion": "v1", "kind": SECRET.name, "metadata": metadata, "data": FOREIGN}
        )
    except AlreadyExists:
        return


async def _request(user: User) -> str:
    """Its name, where it was approved."""
    usages = ["server auth", "digital signature"]
    spec = {"request": base64.b64encode(REQUEST.encode()).decode(), "signerName": SIGNER, "usages": usages}
    made = await user.client.create(CERTIFICATESIGNINGREQUEST, new_request(user.name, spec))
    if user.chance(0.3):
        return ""
    said = {"type": "Approved", "status": "True", "reason": "Known", "message": "known"}
    document = made.document() | {"status": {"conditions": [said]}}
    await user.client.update(CERTIFICATESIGNINGREQUEST, document, subresource="approval")
    return user.name


def _as_asked(ledger: Ledger, user: User, secrets: list[str]) -> Iterator[str]:
    """No certificate is there that is over, or for other names than are asked for now."""
    authority = ledger.named("Secret", *KEY)
    for name in secrets:
        wanted = {host for one in ledger.of("Ingress", user.namespace) for host in asks_for(one).get(name, frozenset())}
        found = ledger.named("Secret", user.namespace, name)
        if found is not None and not is_issued(found):
            if found.get("type") == TLS or not FOREIGN.items() <= found["data"].items():
                yield f"Secret {name} was made by somebody else, and holds {sorted(found['data'])}"
            continue
        if not wanted and found is not None and name in _refused(ledger, user):
            continue  # it stays until it ends: a slip of the pen takes nothing down
        if (found is not None) != bool(wanted):
            yield f"Secret {name} {'is' if found else 'is not'} there, asked for are {sorted(wanted)}"
        elif found is not None and authority is not None:
            yield from _right(found, wanted, authority, user.clock.now())


def _refused(ledger: Ledger, user: User) -> set[str]:
    """Secrets that are asked of an issuer that there is not."""
    sources = [one for one in ledger.of("Ingress", user.namespace) if dig(one, "metadata", "annotations", ISSUER)]
    return {entry["secretName"] for one in sources if not asks_for(one) for entry in one["spec"]["tls"]}


def _right(found: Document, wanted: set[str], authority: Document, now: datetime) -> Iterator[str]:
    name, pair = found["metadata"]["name"], pair_in(found)
    if pair is None:
        yield f"Secret {name} holds no certificate with its key"
        return
    said, root = read_pem(pair.certificate), root_of(Object.of(SECRET, authority))
    if said.hosts != wanted:
        yield f"Secret {name} is for {sorted(said.hosts)}, asked for are {sorted(wanted)}"
    if said.not_after <= now:
        yield f"the certificate in Secret {name} ended at {said.not_after}"
    if base64.b64decode(found["data"].get(TRUSTED, "")).decode() != root.bundle:
        yield f"Secret {name} trusts other authorities than are published"


def _answered(ledger: Ledger, name: str) -> Iterator[str]:
    found = ledger.named("CertificateSigningRequest", "", name)
    if found is not None and not dig(found, "status", "certificate"):
        yield f"request {name} was approved and not signed: {found.get('status')}"


def _published(ledger: Ledger) -> Iterator[str]:
    authority, config = ledger.named("Secret", *KEY), ledger.named("ConfigMap", *PUBLISHED)
    if authority is None:
        return
    wanted = root_of(Object.of(SECRET, authority)).bundle
    said = [
        one["spec"]["trustBundle"] for one in ledger.of("ClusterTrustBundle") if one["spec"]["signerName"] == SIGNER
    ]
    said.append(dig(config or {}, "data", TRUSTED, default=""))
    if said != [wanted, wanted]:
        yield f"the authority of the way in is published as {said}, and is {wanted}"
