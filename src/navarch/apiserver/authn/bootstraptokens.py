"""Bootstrap tokens as credentials: `id.secret` of a Secret in kube-system, for machines that have no certificate yet.

They are looked up at each request: one that was deleted or has ended says nothing from that moment on.

Source: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#bootstrap-token-authentication
"""

from __future__ import annotations

import hmac

from navarch.apiserver.call import Reads, User
from navarch.base.clock import Clock
from navarch.base.errors import Unauthorized
from navarch.kinds import SECRET, bootstraptoken

AUTHENTICATED = "system:authenticated"


class BootstrapTokens:
    def __init__(self, reads: Reads, clock: Clock) -> None:
        self._reads = reads
        self._clock = clock

    def mine(self, token: str) -> bool:
        """Whether it looks like one."""
        return bootstraptoken.split(token) is not None

    def check(self, token: str) -> User:
        """Raises: Unauthorized."""
        id_, secret = bootstraptoken.split(token) or ("", "")
        stored = self._reads.get(SECRET, bootstraptoken.NAMESPACE, bootstraptoken.PREFIX + id_)
        found = bootstraptoken.read(stored) if stored is not None else None
        if found is None or not hmac.compare_digest(found.secret.encode(), secret.encode()):
            raise Unauthorized("the bootstrap token is not known")
        if found.over(self._clock.now()) or bootstraptoken.AUTHENTICATION not in found.usages:
            raise Unauthorized("the bootstrap token has ended, or is for something else")
        groups = sorted({bootstraptoken.GROUP, *found.groups})
        return User(bootstraptoken.USER + found.id, groups=(*groups, AUTHENTICATED))
