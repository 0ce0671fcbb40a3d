from __future__ import annotations

from typing import Any

from server_driver import ADMIN, FakeTunnel, Served, peer, served

from navarch.kinds import CLUSTERROLE, CLUSTERROLEBINDING, ENDPOINTSLICE, NODE, POD, SERVICE
from navarch.wire.message import UPGRADED

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
        assert server.dialer.asked == [("n1", "GET", "/containerLogs/default/web/app?follow=true&tailLines=5", b"")]
        status, found = await server.ask("GET", f"{POD_PATH}/log")
        assert status == 400
        assert found["message"] == (
            "a container name must be specified for pod web, choose one of: [app side] "
            "or one of the init containers: [init]"
        )
        assert (await server.ask("GET", f"{POD_PATH}/log?container=none"))[1]["message"] == (
            "container none is not valid for pod web"
        )
        assert (await server.ask("GET", f"{POD_PATH}/log?container=app&tailLines=-1"))[0] == 400
        assert (await server.ask("GET", f"{POD_PATH}/log?container=app&sinceSeconds=0"))[0] == 400
        assert (await server.ask("GET", POD_PATH.replace("web", "none") + "/log"))[0] == 404
        server.dialer.down = True
        status, found = await server.ask("GET", f"{POD_PATH}/log?container=app")
        assert (status, found["reason"]) == (503, "ServiceUnavailable")

    served(scenario)


def test_the_annotated_container_is_the_default() -> None:
    async def scenario(server: Served) -> None:
        await world(server, **{"kubectl.kubernetes.io/default-container": "side"})
        await server.send("GET", f"{POD_PATH}/log")
        assert server.dialer.asked[0][2] == "/containerLogs/default/web/side"

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


def test_proxies() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        await server.client.create(
            SERVICE,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "svc", "namespace": "default"},
                "spec": {"clusterIP": "10.96.0.9", "ports": [{"name": "web", "port": 80, "targetPort": 8080}]},
            },
        )
        status, found = await server.ask("GET", "/api/v1/namespaces/default/services/svc:web/proxy/")
        assert (status, found["message"]) == (503, 'no endpoints available for service "svc:web"')
        await server.client.create(
            ENDPOINTSLICE,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "svc-1",
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": "svc"},
                },
                "addressType": "IPv4",
                "ports": [{"name": "web", "port": 8080}],
                "endpoints": [
                    {
                        "addresses": ["10.1.0.1"],
                        "nodeName": "n1",
                        "conditions": {"ready": True},
                        "targetRef": {"kind": "Pod", "name": "web", "namespace": "default"},
                    },
                    {
                        "addresses": ["10.1.0.2"],
                        "nodeName": "n2",
                        "conditions": {"ready": False},
                        "targetRef": {"kind": "Pod", "name": "not-ready", "namespace": "default"},
                    },
                ],
            },
        )
        for target in (
            f"{POD_PATH}/proxy/a/b?x=1",
            "/api/v1/namespaces/default/pods/https:web:http/proxy",
            "/api/v1/namespaces/default/services/svc:80/proxy/c",
            "/api/v1/nodes/n1/proxy/stats/summary",
        ):
            response = await server.send("POST", target, ADMIN, b"body", authorization="Bearer x", x_mine="1")
            assert response.status == 200, target
        assert server.dialer.asked == [
            ("n1", "POST", "/podProxy/default/web/http/8080/a/b?x=1", b"body"),
            ("n1", "POST", "/podProxy/default/web/https/8080/", b"body"),
            ("n1", "POST", "/podProxy/default/web/http/8080/c", b"body"),
            ("n1", "POST", "/stats/summary", b"body"),
        ]
        assert server.dialer.headers["x-mine"] == "1"
        assert "authorization" not in server.dialer.headers
        for target, code in (
            (POD_PATH.replace("web", "web:none") + "/proxy/", 400),
            (POD_PATH.replace("web", "a:b:c:d") + "/proxy/", 400),
            ("/api/v1/namespaces/default/services/none/proxy/", 404),
            ("/api/v1/namespaces/default/services/svc:99/proxy/", 503),
            ("/api/v1/nodes/none/proxy/", 404),
        ):
            assert (await server.ask("GET", target))[0] == code, target

    served(scenario)
