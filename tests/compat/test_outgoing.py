"""Requests that the API server sends outside, to real HTTPS servers: good, slow, false and broken ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hook_server import Handler, HookServer

from navarch.apiserver.outgoing import Answered, Outgoing, Target, Unreachable, bundle_of


@pytest.fixture(scope="module")
def server() -> Iterator[HookServer]:
    with HookServer(("127.0.0.1", "hook.space.svc")) as running:
        running.raw["/echo"] = lambda found: found.send(200, found.body)
        running.raw["/hang"] = lambda found: (running.released.wait(20), found.connection.close())[1]
        running.raw["/closed"] = _close
        running.raw["/redirect"] = lambda found: found.send(302, b"", Location="/echo")
        running.raw["/huge"] = lambda found: found.send(200, b"x" * 100_000)
        running.raw["/broken"] = _break_off
        yield running


def _close(found: Handler) -> None:
    found.close_connection = True
    found.connection.close()


def _break_off(found: Handler) -> None:
    found.send_response(200)
    found.send_header("Content-Length", "100")
    found.end_headers()
    found.wfile.write(b"half")
    found.wfile.flush()
    _close(found)


def target(server: HookServer, path: str, **different: object) -> Target:
    bundle = server.authority.pair.certificate
    fields = {"host": "127.0.0.1", "port": server.port, "name": "127.0.0.1", "authority": f"127.0.0.1:{server.port}"}
    return Target(**{**fields, "path": path, "bundle": bundle, **different})  # type: ignore[arg-type]


def ask(found: Target, body: bytes = b"{}", timeout_s: float = 10, limit_bytes: int = 1 << 20) -> Answered:
    async def asking() -> Answered:
        outgoing = Outgoing()
        try:
            return await outgoing.ask(found, "POST", body=body, timeout_s=timeout_s, limit_bytes=limit_bytes)
        finally:
            await outgoing.close()

    return asyncio.run(asking())


def refused(found: Target, **how: object) -> str:
    with pytest.raises(Unreachable) as caught:
        ask(found, **how)  # type: ignore[arg-type]
    return str(caught.value)


def test_the_body_arrives_and_the_answer_comes_back(server: HookServer) -> None:
    assert ask(target(server, "/echo"), b'{"a":1}').body == b'{"a":1}'


def test_the_certificate_may_be_for_another_name_than_the_address(server: HookServer) -> None:
    assert ask(target(server, "/echo", name="hook.space.svc")).status == 200
    assert "certificate is not valid for other.space.svc" in refused(target(server, "/echo", name="other.space.svc"))


def test_an_unknown_authority_is_refused(server: HookServer) -> None:
    with HookServer() as other:
        strange = other.authority.pair.certificate
    assert "certificate signed by unknown authority" in refused(target(server, "/echo", bundle=strange))
    assert "certificate signed by unknown authority" in refused(target(server, "/echo", bundle=b""))


def test_the_servers_own_certificate_is_a_bundle_too(server: HookServer) -> None:
    assert ask(target(server, "/echo", bundle=server.pair.certificate)).status == 200


def test_a_bundle_that_holds_none_is_refused(server: HookServer) -> None:
    assert "unable to load root certificates" in refused(target(server, "/echo", bundle=b"nothing"))
    with pytest.raises(Unreachable, match="not base64"):
        bundle_of("?")


def test_a_server_that_hangs_is_given_up(server: HookServer) -> None:
    assert refused(target(server, "/hang"), timeout_s=0.2) == "context deadline exceeded"


def test_a_server_that_closes_says_eof(server: HookServer) -> None:
    assert refused(target(server, "/closed")) in ("EOF", "read: Connection reset by peer")
    assert refused(target(server, "/broken")) == "EOF"


def test_nobody_there(server: HookServer) -> None:
    with HookServer() as other:
        port = other.port
    assert refused(target(server, "/", port=port)) == f"dial tcp 127.0.0.1:{port}: connect: connection refused"


def test_redirects_are_not_followed(server: HookServer) -> None:
    assert ask(target(server, "/redirect")).status == 302


def test_the_size_of_an_answer_is_bounded(server: HookServer) -> None:
    assert "larger than 1000 bytes" in refused(target(server, "/huge"), limit_bytes=1000)


def test_connections_are_used_again_and_dead_ones_replaced(server: HookServer) -> None:
    peers: list[int] = []

    def note(found: Handler) -> None:
        peers.append(found.client_address[1])
        found.send(200, b"")
        if len(peers) == 2:
            _close(found)  # after the answer, without having said so

    server.raw["/noted"] = note

    async def four() -> None:
        outgoing = Outgoing()
        for _ in range(4):
            assert (await outgoing.ask(target(server, "/noted"), "POST", body=b"{}", timeout_s=10)).status == 200
        await outgoing.close()

    asyncio.run(four())
    assert len(peers) == 4
    assert peers[0] == peers[1] != peers[2] == peers[3]


def test_an_answer_can_be_read_as_it_comes(server: HookServer) -> None:
    async def read() -> bytes:
        outgoing = Outgoing()
        found = await outgoing.open(target(server, "/huge"), "POST", body=b"{}")
        body = b"".join([piece async for piece in found.body])
        await outgoing.close()
        return body

    assert len(asyncio.run(read())) == 100_000
