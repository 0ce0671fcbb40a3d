"""How the aggregator tells another server who asks: headers, believed because of the client certificate beside them.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/#original-request-username-and-group
"""

from __future__ import annotations

from navarch.apiserver.call import User

USER, UID, GROUP, EXTRA = "X-Remote-User", "X-Remote-Uid", "X-Remote-Group", "X-Remote-Extra-"
CLIENT = "front-proxy-client"
"""The common name of the certificate that is shown."""
AGGREGATOR = User("system:kube-aggregator", groups=("system:masters",))
"""Who asks where no user does: whether a server answers, and what it serves."""
_TOKEN = frozenset("!#$&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def headers_of(user: User) -> list[tuple[str, str]]:
    found = [(USER, user.name)]
    if user.uid:
        found.append((UID, user.uid))
    found += [(GROUP, group) for group in user.groups]
    found += [(EXTRA + _escaped(key), value) for key, values in user.extra.items() for value in values]
    return found


def _escaped(key: str) -> str:
    """As a part of a header's name, in which only some characters may stand."""
    return "".join(one if one in _TOKEN else "".join(f"%{byte:02X}" for byte in one.encode()) for one in key)


def published(authority: str) -> dict[str, str]:
    """What servers that believe these headers must know: entries of `extension-apiserver-authentication`. authority:
    the CA (PEM) that the certificate beside them is signed by."""
    return {
        "requestheader-allowed-names": f'["{CLIENT}"]',
        "requestheader-client-ca-file": authority,
        "requestheader-extra-headers-prefix": f'["{EXTRA}"]',
        "requestheader-group-headers": f'["{GROUP}"]',
        "requestheader-uid-headers": f'["{UID}"]',
        "requestheader-username-headers": f'["{USER}"]',
    }
