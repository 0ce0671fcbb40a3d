"""The admission plugins, in the order in which they run."""

from __future__ import annotations

from navarch.apiserver.admission import namespaces
from navarch.apiserver.admission.review import Plugin
from navarch.apiserver.call import Authorizer
from navarch.apiserver.state import State


def plugins(state: State, authorizer: Authorizer | None) -> tuple[Plugin, ...]:
    """All of them."""
    return (Plugin("NamespaceLifecycle", namespaces.admit, namespaces.keep),)
