"""Speaking for somebody else: `kubectl --as`, and who may do it.

Source: https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote

from navarch.apiserver.authn.tokens import PREFIX
from navarch.apiserver.authz.messages import refused
from navarch.apiserver.call import Attributes, Authorizer, User
from navarch.base.errors import BadRequest
from navarch.wire.message import Request

USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
AUTHENTICATION = "authentication.k8s.io"


def impersonated(request: Request, user: User, authorizer: Authorizer) -> User:
    """The user that the request is to be answered as: the one it names, else `user`.

    Raises:
        BadRequest: groups or more are named without a user.
        Forbidden: `user` may not speak for them.
    """
    headers = request.headers
    if not _speaks_for_another(tuple(headers)):
        return user
    name = headers.get(USER, "")
    groups = tuple(text.strip() for text in headers.get(GROUP, "").split(",") if text.strip())
    extra = {
        unquote(key.removeprefix(EXTRA)): tuple(text.strip() for text in value.split(","))
        for key, value in headers.items()
        if key.startswith(EXTRA)
    }
    uid = headers.get(UID, "")
    if not name:
        if not groups and not extra and not uid:
            return user
        raise BadRequest("requested headers impersonate groups or other properties without a user")
    _ask(authorizer, user, name, groups, uid, extra)
    return User(name, uid, _completed(name, groups), extra)


@lru_cache(maxsize=512)
def _speaks_for_another(headers: tuple[str, ...]) -> bool:
    return any(name.startswith("impersonate-") for name in headers)


def _ask(
    authorizer: Authorizer, user: User, name: str, groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]
) -> None:
    questions = []
    if name.startswith(PREFIX) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        questions.append(Attributes(user, "impersonate", "", "v1", "serviceaccounts", "", namespace, account))
    else:
        questions.append(Attributes(user, "impersonate", "", "v1", "users", name=name))
    questions += [Attributes(user, "impersonate", "", "v1", "groups", name=group) for group in groups]
    if uid:
        questions.append(Attributes(user, "impersonate", AUTHENTICATION, "v1", "uids", name=uid))
    for key, values in extra.items():
        questions += [
            Attributes(user, "impersonate", AUTHENTICATION, "v1", "userextras", key, name=value) for value in values
        ]
    for question in questions:
        decision = authorizer.decide(question)
        if not decision.allowed:
            raise refused(question, decision.reason)


def _completed(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups that everybody of that name is in."""
    if name.startswith(PREFIX) and name.count(":") == 3 and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{name.split(':')[2]}")
    everyone = "system:unauthenticated" if name == "system:anonymous" else "system:authenticated"
    return groups if everyone in groups else (*groups, everyone)
