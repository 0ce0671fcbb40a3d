"""CertificateSigningRequests of the signer `navarch.dev/serving`: what a person approved is signed by the authority for
the way in, for servers whose key never leaves them.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#custom-signers
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from navarch.base.mint import Mint
from navarch.controllers.certificates import signing
from navarch.controllers.certificates.requests import OPTIONAL, SERVING_USAGES, asked, pem_of, usages_of
from navarch.controllers.controller import Cache
from navarch.controllers.issuer.asks import LIFE, MOST
from navarch.controllers.issuer.declared import KEY, waiting_index
from navarch.controllers.issuer.root import Root, root_of
from navarch.controllers.plan import NOTHING, Plan
from navarch.kinds import CERTIFICATESIGNINGREQUEST, SECRET
from navarch.kinds.object import Object
from navarch.objects.value import dig


@dataclass(frozen=True, slots=True)
class Observed:
    """root: None while there is none. certificate: PEM, once it is made."""

    request: Object
    fault: str = ""
    root: Root | None = None
    certificate: bytes = b""


def signed(mint: Mint, seen: Observed) -> Observed:
    """With its certificate: another each time, so that it is nothing for a plan."""
    if seen.fault or seen.root is None:
        return seen
    found = seen.request
    wanted = dig(found.document(), "spec", "expirationSeconds")
    life = LIFE if wanted is None else signing.life(found, MOST)
    try:
        made = mint.sign(seen.root.pair, pem_of(found), usages_of(found), life)
    except ValueError as error:
        return replace(seen, fault=str(error))
    return replace(seen, certificate=made + seen.root.chain.encode())


def observed_in(cache: Cache, key: tuple[str, str]) -> Observed | None:
    found = cache[CERTIFICATESIGNINGREQUEST].get(*key)
    if found is None or not waiting_index(found):
        return None
    authority = cache[SECRET].get(*KEY)
    try:
        root = None if authority is None else root_of(authority)
    except ValueError:
        root = None  # `issuer-authority` tells of it
    return Observed(found, fault_of(found), root)


def fault_of(found: Object) -> str:
    """Why it is never signed, "" where it is."""
    request, usages = asked(found), set(usages_of(found))
    if request is None:
        return "the request cannot be read"
    if usages not in (SERVING_USAGES, SERVING_USAGES - {OPTIONAL}):
        return f"usages did not match [{' '.join(sorted(SERVING_USAGES))}]"
    if not request.dns and not request.addresses:
        return "DNS or IP subjectAltName is required"
    if request.emails:
        return "Email subjectAltNames are not allowed"
    return "URI subjectAltNames are not allowed" if request.uris else ""


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    if not observed.fault and not observed.certificate:
        return NOTHING
    return signing.plan(signing.Observed(observed.request, observed.fault, observed.certificate), now)
