"""What credential plugins are told of a pod's service account: read from the API server, with a token for the pod."""

from __future__ import annotations

from navarch.agent.pulling.keyring import Origin
from navarch.agent.pulling.plugins import Account
from navarch.base.errors import Retryable
from navarch.client.client import Client
from navarch.kinds import SERVICEACCOUNT
from navarch.kinds.pod import Pod
from navarch.objects.value import dig


class ApiAccounts:
    """Implements `plugins.Accounts`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, pod: Pod) -> Account:
        namespace, name = pod.metadata.namespace, pod.spec.service_account_name
        found = await self._client.get(SERVICEACCOUNT, namespace, name)
        return Account(Origin(found.uid, namespace, name), dict(found.view.metadata.annotations))

    async def token(self, pod: Pod, audience: str) -> str:
        meta = pod.metadata
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "boundObjectRef": bound},
        }
        account = pod.spec.service_account_name
        answer = await self._client.post(SERVICEACCOUNT, meta.namespace, account, "token", request)
        text = dig(answer, "status", "token")
        if not text:
            raise Retryable(f"the API server gave no token for service account {meta.namespace}/{account}")
        return str(text)
