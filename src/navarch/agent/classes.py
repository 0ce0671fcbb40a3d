"""Which handler of the container runtime a pod's RuntimeClass names, asked for when its sandbox is made.

Classes are few and never change their handler, so what was found once holds when the API server cannot be asked.
Whether the runtime has such a handler is for the runtime to say.

Source: https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from navarch.agent.runtime import RuntimeFailure, RuntimeInfo
from navarch.base.errors import NotFound, Retryable
from navarch.client.client import Client
from navarch.kinds import RUNTIMECLASS
from navarch.kinds.pod import Pod


class RuntimeClasses:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, str] = {}

    async def handler_of(self, pod: Pod) -> str:
        """ "" for the runtime's default. Raises: RuntimeFailure, when there is no such class; Retryable, ApiError."""
        name = pod.spec.runtime_class_name
        if not name:
            return ""
        try:
            found = await self._client.get(RUNTIMECLASS, "", name)
        except NotFound as error:
            self._known.pop(name, None)
            raise RuntimeFailure(f'runtimeclass.node.k8s.io "{name}" not found') from error
        except Retryable:
            if name not in self._known:
                raise
            return self._known[name]
        handler = self._known[name] = str(found.document().get("handler", ""))
        return handler


def check_user_namespace(pod: Pod, handler: str, info: RuntimeInfo | None) -> None:
    """Raises: RuntimeFailure, when the pod wants users of its own and the runtime cannot map them."""
    if pod.spec.host_users or (info is not None and handler in info.user_namespaces):
        return
    who = f'RuntimeClass handler "{handler}"' if handler else "runtime"
    raise RuntimeFailure(f"can't set `spec.hostUsers: false`, {who} does not support user namespaces")
