"""What a verb is given besides the request: the state, the admission plugins, and the functions that gate lends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from navarch.apiserver.admission.review import Plugin
from navarch.apiserver.call import Authorizer, User
from navarch.apiserver.health import Check
from navarch.apiserver.meter import Meter
from navarch.apiserver.state import State
from navarch.apiserver.templates import Templates
from navarch.objects.value import Document
from navarch.wire.message import Handler

Answer = Callable[[User, str, str, Document], Awaitable[Document]]
"""(who asks, namespace, name, what was posted) -> the answer."""


@dataclass(slots=True)
class Context:
    """answers: who answers what is only posted: (plural, subresource) -> answer. front: the whole server's handler,
    for paths that are no resources. components: the parts of the control plane, and who knows how each is. meter: who
    measures what nodes and pods use, None where nobody does."""

    state: State
    plugins: tuple[Plugin, ...]
    authorizer: Authorizer | None = None
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    front: Handler | None = None
    components: dict[str, Check] = field(default_factory=dict)
    meter: Meter | None = None
    templates: Templates = field(init=False)

    def __post_init__(self) -> None:
        self.templates = Templates(self.state, self.plugins)
