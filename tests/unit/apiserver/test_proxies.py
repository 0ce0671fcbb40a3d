"""`proxy` of pods, services and nodes: where a request goes, what of it goes along, what of the answer comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from server_driver import ADMIN, FakeTunnel, Served, peer, served

from navarch.kinds import CLUSTERROLE, CLUSTERROLEBINDING, ENDPOINTSLICE, NODE, POD, SERVICE
from navarch.wire.message import UPGRADED, Peer, Request, Response

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
PROXY = f"{PODS}/web/proxy"
HTML = (("Content-Type", "text/html; charset=utf-8"),)


async def pod(server: Served, name: str, *addresses: str, node: str = "n1", **more: Any) -> None:
    ports = [{"name": "http", "containerPort": 8080}]
    spec: dict[str, Any] = {"containers": [{"name": "app", "image": "i", "ports": ports}]}
    if node:
        spec["nodeName"] = node
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
    made = await server.client.create(POD, document)
    status = {"phase": "Running", "podIPs": [{"ip": one} for one in addresses], **more}
    if addresses:
        status["podIP"] = addresses[0]
    await server.client.update(POD, {**made.document(), "status": status}, subresource="status")


async def world(server: Served) -> None:
    status = {
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    made = await server.client.create(NODE, node)
    await server.client.update(NODE, {**made.document(), "status": status}, subresource="status")
    await pod(server, "web", "10.1.0.1")


async def service(server: Served, *endpoints: tuple[str, str, bool]) -> None:
    """endpoints: (address, pod, ready)."""
    spec = {"clusterIP": "10.96.0.9", "ports": [{"name": "web", "port": 80, "targetPort": 8080}]}
    metadata = {"name": "svc", "namespace": "default"}
    await server.client.create(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    entries = [
        {
            "addresses": [address],
            "nodeName": "n1",
            "conditions": {"ready": ready},
            "targetRef": {"kind": "Pod", "name": name, "namespace": "default"},
        }
        for address, name, ready in endpoints
    ]
    labels = {"kubernetes.io/service-name": "svc"}
    await server.client.create(
        ENDPOINTSLICE,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "svc-1", "namespace": "default", "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "web", "port": 8080}],
            "endpoints": entries,
        },
    )


def test_where_requests_go() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        await pod(server, "not-ready", "10.1.0.2")
        await service(server, ("10.1.0.1", "web", True), ("10.1.0.2", "not-ready", False))
        for target in (
            f"{PROXY}/a/b?x=1",
            f"{PODS}/https:web:http/proxy",
            f"{PODS}/web:9090/proxy/",
            f"{SERVICES}/svc:80/proxy/c",
            f"{SERVICES}/https:svc:web/proxy/c/",
            "/api/v1/nodes/n1/proxy/stats/summary",
            "/api/v1/nodes/n1:10250/proxy/healthz",
            "/api/v1/nodes/http:n1:9100/proxy/metrics",
        ):
            response = await server.send("POST", target, ADMIN, b"body")
            assert response.status == 200, target
        assert server.dialer.asked == [
            ("n1", "POST", "/podProxy/default/web/http/8080/a/b?x=1", b"body"),
            ("n1", "POST", "/podProxy/default/web/https/8080/", b"body"),
            ("n1", "POST", "/podProxy/default/web/http/9090/", b"body"),
            ("n1", "POST", "/podProxy/default/web/http/8080/c", b"body"),
            ("n1", "POST", "/podProxy/default/web/https/8080/c/", b"body"),
            ("n1", "POST", "/stats/summary", b"body"),
            ("n1", "POST", "/healthz", b"body"),
            ("n1", "POST", "/nodeProxy/http/9100/metrics", b"body"),
        ]

    served(scenario)


def test_whose_bodies_may_be_of_any_size() -> None:
    async def scenario(server: Served) -> None:
        for path, wanted in (
            (f"{PROXY}/upload", True),
            (f"{SERVICES}/svc:80/proxy", True),
            ("/api/v1/nodes/n1/proxy/x", True),
            (PODS, False),
            (f"{PODS}/proxy", False),
            (f"{PODS}/web/exec", False),
            ("/apis/apps/v1/namespaces/default/deployments/web/proxy", False),
            ("/proxy", False),
        ):
            assert server.api.hands_on(Request("POST", path, path, {})) is wanted, path

    served(scenario)


def test_a_body_is_handed_on_as_it_comes() -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"a part"

    async def scenario(server: Served) -> None:
        await world(server)
        stream = content()
        for path, status in ((f"{PROXY}/x", 200), (PODS, 503)):  # the latter was another server's a moment ago
            request = Request("POST", path, path, {"content-length": "5000000"}, peer=ADMIN, stream=stream)
            assert (await server.api.handle(request)).status == status
        assert server.dialer.asked == [("n1", "POST", "/podProxy/default/web/http/8080/x", stream)]
        assert server.dialer.headers["content-length"] == "5000000"

    served(scenario)


def test_every_method_is_handed_on_as_what_it_is() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        for method in methods:
            assert (await server.send(method, f"{PROXY}/x")).status == 200
        assert [method for _, method, _, _ in server.dialer.asked] == list(methods)
        assert (await server.ask("TRACE", f"{PROXY}/x"))[0] == 405

    served(scenario)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/../../../../containerLogs/kube-system/p/c", "/containerLogs/kube-system/p/c"),
        ("/%2e%2e/%2e%2e/exec/a/b/c", "/exec/a/b/c"),
        ("/a/./b//c/", "/a/b/c/"),
        ("/a%2Fb", "/a/b"),
        ("/sp%20ace/%C3%A9?q=%2F..%2F", "/sp%20ace/%C3%A9?q=%2F..%2F"),
        ("/x%3Fy", "/x%3Fy"),
        ("/x%0d%0ay", "/x%0D%0Ay"),
        ("//", "/"),
    ],
)
def test_no_path_leads_out_of_what_is_proxied(asked: str, given: str) -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        await server.send("GET", f"{PROXY}{asked}")
        assert server.dialer.asked[0][2] == f"/podProxy/default/web/http/8080{given}"

    served(scenario)


def test_what_goes_along_and_what_does_not() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        who = Peer("192.0.2.9", 4711, "admin", ("system:masters",), b"admin")
        await server.send(
            "GET",
            f"{PROXY}/x/?q=1",
            who,
            host="api.example:6443",
            authorization="Bearer secret",
            x_remote_user="root",
            x_remote_group="system:masters",
            x_remote_uid="0",
            x_remote_extra_scopes="all",
            proxy_authorization="Basic c2VjcmV0",
            connection="keep-alive, x-mine-alone",
            x_mine_alone="1",
            te="trailers",
            transfer_encoding="chunked",
            content_length="7",
            x_forwarded_for="203.0.113.5",
            x_forwarded_uri="/forged",
            cookie="a=b",
            accept_encoding="gzip",
        )
        assert server.dialer.headers == {
            "host": "api.example:6443",
            "cookie": "a=b",
            "accept-encoding": "gzip",
            "x-forwarded-for": "203.0.113.5, 192.0.2.9",
            "x-forwarded-uri": f"{PROXY}/x/",
        }

    served(scenario)


def test_a_directory_is_redirected_to_its_slash() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        for method in ("GET", "HEAD"):
            response = await server.send(method, f"{PROXY}?a=b")
            assert (response.status, dict(response.headers)["Location"]) == (301, f"{PROXY}/?a=b")
        assert server.dialer.asked == []
        assert (await server.send("POST", f"{PROXY}?a=b")).status == 200

    served(scenario)


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("/login", f"{PROXY}/login"),
        ("/login/?next=/a", f"{PROXY}/login/?next=/a"),
        ("http://10.1.0.1:8080/login", f"{PROXY}/login"),
        ("https://api.example/login", f"https://api.example{PROXY}/login"),
        (f"{PROXY}/there", f"{PROXY}/there"),
        ("http://elsewhere.example/login", "http://elsewhere.example/login"),
        ("//elsewhere.example/login", "//elsewhere.example/login"),
        ("next", "next"),
        ("/../../../../../secrets", f"{PROXY}/secrets"),
    ],
)
def test_locations_lead_back_through_the_proxy(said: str, seen: str) -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        server.dialer.answer = Response(302, (("Location", said),), b"")
        response = await server.send("GET", f"{PROXY}/x", host="api.example")
        assert (response.status, dict(response.headers)["Location"]) == (302, seen)
        assert len(server.dialer.asked) == 1

    served(scenario)


def test_pages_and_headers_come_back_rewritten() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        headers = (
            *HTML,
            ("Content-Length", "26"),
            ("Access-Control-Allow-Origin", "*"),
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Date", "then"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
        )
        server.dialer.answer = Response(200, headers, b'<a href="/x">/x</a><a b=1>')
        response = await server.send("GET", f"{PROXY}/")
        headers = [pair for pair in response.headers if pair[0] != "Audit-Id"]
        assert headers == [*HTML, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
        assert not isinstance(response.body, bytes)
        page = b"".join([piece async for piece in response.body])
        assert page == f'<a href="{PROXY}/x">/x</a><a b=1>'.encode()
        server.dialer.answer = Response(200, (("Content-Type", "application/json"),), b'{"a":"<a href=/x>"}')
        assert (await server.send("GET", f"{PROXY}/")).body == b'{"a":"<a href=/x>"}'

    served(scenario)


def test_refusals() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        await pod(server, "waiting", node="")
        await service(server)
        for target, code, message in (
            (f"{PODS}/web:none/proxy/", 400, 'pod web has no port named "none"'),
            (f"{PODS}/web:0/proxy/", 400, 'invalid port "0"'),
            (f"{PODS}/a:b:c:d/proxy/", 400, 'invalid pod request "a:b:c:d"'),
            (f"{PODS}/ftp:web:80/proxy/", 400, 'invalid pod request "ftp:web:80"'),
            (f"{PODS}/none/proxy/", 404, 'pods "none" not found'),
            (f"{PODS}/waiting/proxy/", 400, "address not allowed"),
            (f"{SERVICES}/a:b:c:d/proxy/", 400, 'invalid service request "a:b:c:d"'),
            (f"{SERVICES}/none/proxy/", 404, 'services "none" not found'),
            (f"{SERVICES}/svc:99/proxy/", 503, 'no service port 99 found for service "svc"'),
            (f"{SERVICES}/svc:80/proxy/", 503, 'no endpoints available for service "svc:80"'),
            (f"{SERVICES}/svc/proxy/", 503, 'no endpoints available for service "svc"'),
            ("/api/v1/nodes/none/proxy/", 404, 'nodes "none" not found'),
            ("/api/v1/nodes/a:b:c:d/proxy/", 400, 'invalid node request "a:b:c:d"'),
        ):
            status, found = await server.ask("GET", target)
            assert (status, found["message"]) == (code, message), target
        server.dialer.down = True
        status, found = await server.ask("GET", f"{PROXY}/")
        assert (status, found["reason"]) == (503, "ServiceUnavailable")

    served(scenario)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "224.0.0.1"])
def test_addresses_of_machines_that_are_no_pods(address: str) -> None:
    """Whoever may write a pod's or a node's status could else reach what only the server reaches."""

    async def scenario(server: Served) -> None:
        await world(server)
        await pod(server, "odd", address)
        status, found = await server.ask("GET", f"{PODS}/odd/proxy/")
        assert (status, found["message"]) == (400, "address not allowed")
        node = await server.client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "odd"}})
        said = {"addresses": [{"type": "InternalIP", "address": address}]}
        await server.client.update(NODE, {**node.document(), "status": said}, subresource="status")
        status, found = await server.ask("GET", "/api/v1/nodes/odd/proxy/")
        assert (status, found["message"]) == (400, "address not allowed")
        assert server.dialer.asked == []

    served(scenario)


def test_an_endpoint_that_only_says_it_is_a_pod() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        await service(server, ("10.9.9.9", "web", True), ("10.1.0.3", "gone", True))
        status, found = await server.ask("GET", f"{SERVICES}/svc:web/proxy/")
        assert (status, found["message"]) == (503, 'no endpoints available for service "svc:web"')

    served(scenario)


def test_upgrades_pass_and_what_is_no_upgrade_too() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        protocols = "chat, base64url.bearer.authorization.k8s.io.c2VjcmV0"
        headers = {
            "upgrade": "websocket",
            "connection": "keep-alive, Upgrade",
            "sec_websocket_protocol": protocols,
            "sec_websocket_key": "k",
            "authorization": "Bearer secret",
            "content_length": "3",
        }
        response = await server.send("GET", f"{PROXY}/ws?x=1", ADMIN, None, FakeTunnel(b"hello"), **headers)
        assert response is UPGRADED
        assert server.dialer.asked[-1][1:3] == ("UPGRADE", "/podProxy/default/web/http/8080/ws?x=1")
        assert server.dialer.headers == {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-protocol": "chat",
            "sec-websocket-key": "k",
        }
        server.dialer.declines = Response(403, (("Content-Type", "text/plain"),), b"not for you")
        response = await server.send("GET", f"{PROXY}/ws", ADMIN, None, FakeTunnel(), **headers)
        assert (response.status, response.body) == (403, b"not for you")

    served(scenario)


def test_each_method_needs_its_own_verb() -> None:
    async def scenario(server: Served) -> None:
        await world(server)
        group = "rbac.authorization.k8s.io"
        rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods/proxy"]}]
        meta = {"metadata": {"name": "viewer"}}
        await server.client.create(
            CLUSTERROLE, {"apiVersion": f"{group}/v1", "kind": "ClusterRole", **meta, "rules": rules}
        )
        role = {"apiGroup": group, "kind": "ClusterRole", "name": "viewer"}
        subjects = [{"apiGroup": group, "kind": "User", "name": "jane"}]
        binding = {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", **meta}
        await server.client.create(CLUSTERROLEBINDING, {**binding, "roleRef": role, "subjects": subjects})
        for method, code, verb in (
            ("GET", 200, ""),
            ("HEAD", 200, ""),
            ("POST", 403, "create"),
            ("PUT", 403, "update"),
            ("PATCH", 403, "patch"),
            ("DELETE", 403, "delete"),
            ("OPTIONS", 403, ""),
        ):
            response = await server.send(method, f"{PROXY}/x", peer("jane"))
            assert response.status == code, method
            if code == 403:
                assert isinstance(response.body, bytes)
                message = orjson.loads(response.body)["message"]
                assert f'cannot {verb} resource "pods/proxy" in API group ""' in message
        assert (await server.send("GET", "/api/v1/nodes/n1/proxy/", peer("jane"))).status == 403

    served(scenario)
