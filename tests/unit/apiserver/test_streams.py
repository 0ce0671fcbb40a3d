from __future__ import annotations

from typing import Any

from server_driver import ADMIN, FakeTunnel, Served, peer, served

from navarch.apiserver import connecting, pod_options
from navarch.apiserver.call import Call, User
from navarch.kinds import CLUSTERROLE, CLUSTERROLEBINDING, NODE, POD
from navarch.wire.message import UPGRADED, Request, Response

POD_PATH = "/api/v1/namespaces/default/pods/web"


async def world(server: Served, node: str = "n1", **annotations: str) -> None:
    await server.client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    containers = [
        {"name": "app", "image": "i", "ports": [{"name": "http", "containerPort": 8080}]},
        {"name": "side", "image": "i"},
    ]
    spec: dict[str, Any] = {"containers": containers, "initContainers": [{"name": "init", "image": "i"}]}
    if node:
        spec["nodeName"] = node
    metadata = {"name": "web", "namespace": "default", "labels": {"a": "b"}, "annotations": annotations}
    await server.client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def test_logs_are_asked_of_the_node() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        path = f"{POD_PATH}/log?container=app&follow=true&tailLines=5&nonsense=1"
        response = await server.send("GET", path)
        assert (response.status, response.body) == (200, b"said by the node")
        assert "Connection" not in dict(response.headers)
        wanted = "/containerLogs/default/web/app?follow=true&tailLines=5&stream=All"
        assert server.dialer.asked == [("n1", "GET", wanted, b"")]
        status, found = await server.ask("GET", f"{POD_PATH}/log")
        assert status == 400
        assert found["message"] == ("a container name must be specified for pod web, choose one of: [init app side]")
        assert (await server.ask("GET", f"{POD_PATH}/log?container=none"))[1]["message"] == (
            "container none is not valid for pod web"
        )
        assert (await server.ask("GET", POD_PATH.replace("web", "none") + "/log"))[0] == 404
        server.dialer.down = True
        status, found = await server.ask("GET", f"{POD_PATH}/log?container=app")
        assert (status, found["reason"]) == (503, "ServiceUnavailable")

    served(scenario)


def test_impossible_wishes_for_logs() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        for query, code, message in (
            ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
            ("stream=all", 422, 'stream: Unsupported value: "all": supported values: "All", "Stderr", "Stdout"'),
            (
                "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
                422,
                "<nil>: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
            (
                "stream=Stderr&tailLines=1",
                422,
                "<nil>: Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
            ),
            ("tailLines=many", 400, 'strconv.ParseInt: parsing "many": invalid syntax'),
            ("tailLines=9223372036854775808", 400, "value out of range"),
            ("sinceTime=yesterday", 400, 'parsing time "yesterday"'),
        ):
            status, found = await server.ask("GET", f"{POD_PATH}/log?container=app&{query}")
            assert (status, message in found["message"]) == (code, True), (query, found)
        status, found = await server.ask("GET", f"{POD_PATH}/log?container=app&tailLines=-1&limitBytes=0")
        assert found["message"].startswith('PodLogOptions "web" is invalid: [tailLines: ')
        assert [cause["field"] for cause in found["details"]["causes"]] == ["tailLines", "limitBytes"]
        assert server.dialer.asked == []

    served(scenario)


def test_all_wishes_for_logs_reach_the_node() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        query = "follow&previous=1&timestamps=yes&sinceTime=2026-01-01T00:00:00Z&limitBytes=7&stream=Stdout"
        await server.send("GET", f"{POD_PATH}/log?container=init&{query}&insecureSkipTLSVerifyBackend=true")
        assert server.dialer.insecure
        await server.send("GET", f"{POD_PATH}/log?container=app&follow=FALSE&previous=0&sinceSeconds=3")
        assert not server.dialer.insecure
        assert [target for _, _, target, _ in server.dialer.asked] == [
            "/containerLogs/default/web/init?follow=true&previous=true&timestamps=true&limitBytes=7"
            "&sinceTime=2026-01-01T00%3A00%3A00Z&stream=Stdout",
            "/containerLogs/default/web/app?sinceSeconds=3&stream=All",
        ]

    served(scenario)


def test_a_pod_that_runs_nowhere() -> None:
    async def scenario(server: Served) -> None:
        await world(server, node="")
        assert (await server.send("GET", f"{POD_PATH}/log?container=app")).body == b""
        status, found = await server.ask("POST", f"{POD_PATH}/exec?container=app&command=ls&stdout=1")
        assert (status, found["message"]) == (400, "pod web does not have a host assigned")

    served(scenario)


def test_streams_go_both_ways() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        near = FakeTunnel(b"from the client")
        response = await server.send(
            "POST",
            f"{POD_PATH}/exec?container=app&command=sh&command=-c&command=a%20b&stdin=true&stdout=true&tty=false",
            ADMIN,
            None,
            near,
            upgrade="websocket",
            sec_websocket_protocol="v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.abc",
            authorization="Bearer secret",
        )
        assert response is UPGRADED
        assert server.dialer.asked == [
            ("n1", "UPGRADE", "/exec/default/web/app?input=1&output=1&command=sh&command=-c&command=a+b", b"")
        ]
        assert server.dialer.headers == {"upgrade": "websocket", "sec-websocket-protocol": "v5.channel.k8s.io"}
        assert server.dialer.tunnel.closed
        assert near.written == b"from the node" or server.dialer.tunnel.written == b"from the client"

    served(scenario)


def test_port_forward_and_attach() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        await server.send("GET", f"{POD_PATH}/portforward?ports=80,90", ADMIN, None, FakeTunnel())
        await server.send("GET", f"{POD_PATH}/attach?container=app&stdout=1", ADMIN, None, FakeTunnel())
        assert [target for _, _, target, _ in server.dialer.asked] == [
            "/portForward/default/web?port=80&port=90",
            "/attach/default/web/app?output=1",
        ]
        assert (await server.ask("GET", f"{POD_PATH}/exec?container=app&stdout=1"))[0] == 400
        assert (await server.ask("GET", f"{POD_PATH}/attach?container=app"))[0] == 400
        status, found = await server.ask("GET", f"{POD_PATH}/attach?container=app&stdout=1")
        assert (status, found["message"]) == (400, "Upgrade request required")
        assert (await server.ask("PUT", f"{POD_PATH}/exec"))[0] == 405

    served(scenario)


def test_reading_pods_is_no_right_to_run_things_in_them() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "reader"},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/exec", "pods/log"]}],
        }
        await server.client.create(CLUSTERROLE, role)
        await server.client.create(
            CLUSTERROLEBINDING,
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "reader"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
            },
        )
        path = f"{POD_PATH}/exec?container=app&command=ls&stdout=1"
        status, found = await server.ask("GET", path, peer("jane"))
        assert (status, 'cannot create resource "pods/exec"' in found["message"]) == (403, True)
        assert (await server.send("GET", f"{POD_PATH}/log?container=app", peer("jane"))).status == 200

    served(scenario)


def test_a_terminal_has_no_stderr_and_the_ports_are_numbers() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        query = "container=app&command=sh&stdin=1&stdout=1&stderr=1&tty=1"
        await server.send("GET", f"{POD_PATH}/exec?{query}", ADMIN, None, FakeTunnel())
        assert server.dialer.asked[0][2] == "/exec/default/web/app?input=1&output=1&tty=1&command=sh"
        assert (await server.ask("GET", f"{POD_PATH}/portforward?ports=x"))[0] == 400
        assert (await server.ask("GET", f"{POD_PATH}/exec?container=app&command=sh&tty=1"))[0] == 400

    served(scenario)


def test_a_refused_stream_is_answered_as_the_node_did() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        path = f"{POD_PATH}/exec?container=app&command=ls&stdout=1"
        server.dialer.declines = Response(500, (("Content-Type", "text/plain"),), b"container not found")
        response = await server.send("POST", path, ADMIN, None, FakeTunnel())
        assert (response.status, response.body) == (500, b"container not found")
        server.dialer.declines = Response(200, (), b"hello")
        response = await server.send("POST", path, ADMIN, None, FakeTunnel())
        assert response.status == 500
        assert b"invalid upgrade response: status code 200" in response.body

    served(scenario)


def test_admission_sees_the_streams_that_are_opened() -> None:
    """What is a yes to the node is one to those who are asked whether it may be."""
    request = Request("GET", f"{POD_PATH}/exec", "/", {}, [("stdin", "yes"), ("tty", "0"), ("command", "sh")])
    call = Call(request, User("jane"), "get", request.path, resource="pods", subresource="exec", name="web")
    seen = connecting.document(connecting.OPTIONS["pods", "exec"], call)
    assert seen == {"kind": "PodExecOptions", "apiVersion": "v1", "stdin": True, "command": ["sh"]}
    assert pod_options.stream_query(request, "exec") == [("input", "1"), ("command", "sh")]
