"""What a node does for a check of the network: the page, and the program it starts, here on this machine's loopback."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from navarch.agent.netcheck import page, state
from navarch.agent.netcheck.page import NetCheck
from navarch.agent.netcheck.program import addresses, checksum, skip_name
from navarch.agent.runtime import PodOnNode, Runtime
from navarch.base.errors import ApiError, BadRequest, NotFound
from navarch.wire.message import Request


class NoPods:
    async def observe(self) -> Mapping[str, PodOnNode]:
        return {}


def checks(folder: Path) -> NetCheck:
    return NetCheck(cast(Runtime, NoPods()), folder, "navarch")


async def ask(checks: NetCheck, **body: Any) -> Any:
    answer = await checks.page(Request("POST", "/netcheck", "/netcheck", {}, body=orjson.dumps(body)))
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


def probe(kind: str, port: int, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "address": "127.0.0.1", "port": port, "within_s": 5.0, **more}


def test_probes_are_answered_by_what_listens_until_it_is_stopped(tmp_path: Path) -> None:
    async def act() -> None:
        node = checks(tmp_path)
        ports = await ask(node, do="listen", who="me", pod="", tcp=[0], udp=[0])
        [tcp], [udp] = ports["tcp"], ports["udp"]
        probes = [probe("tcp", tcp, reads=True), probe("udp", udp), probe("mtu", udp, device="lo"), probe("ping", 0)]
        found = await ask(node, do="send", who="me", pod="", probes=probes)
        assert [each["ok"] for each in found] == [True] * 4
        assert [each.get("seen") for each in found[:2]] == ["127.0.0.1"] * 2
        assert found[2]["most_bytes"] == found[2]["bytes"] > 1000
        assert await ask(node, do="stop", who="others") == {"stopped": 0}
        assert await ask(node, do="stop", who="me") == {"stopped": 1}
        [refused] = await ask(node, do="send", who="me", pod="", probes=[probe("tcp", tcp)])
        assert (refused["ok"], refused["error"]) == (False, "refused")

    asyncio.run(act())


def test_a_dns_server_is_asked(tmp_path: Path) -> None:
    """The answer is made by hand: one address, behind a name that points back."""

    async def act() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(20)
            port = server.getsockname()[1]

            def answer() -> None:
                question, peer = server.recvfrom(512)
                head = question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
                record = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + bytes((10, 96, 0, 1))
                server.sendto(head + question[12:] + record, peer)

            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(answer))
                asked = probe("dns", port, name="kubernetes.default.svc.cluster.local", type="A")
                found = await ask(checks(tmp_path), do="send", pod="", probes=[asked])
        assert found == [{"ok": True, "code": 0, "answers": ["10.96.0.1"]}]

    asyncio.run(act())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"do": "dance"},
        {"do": "send", "probes": "all"},
        {"do": "send", "probes": [{"kind": "flood", "within_s": 1}]},
        {"do": "send", "probes": [probe("tcp", 1, within_s=3600)]},
        {"do": "send", "probes": [], "pod": "a b"},
        {"do": "listen", "tcp": list(range(9))},
        {"do": "listen", "tcp": ["80"]},
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        asyncio.run(ask(checks(tmp_path), **body))


def test_it_is_asked_by_post_with_an_object(tmp_path: Path) -> None:
    for method, body in (("GET", b"{}"), ("POST", b""), ("POST", b"[1]")):
        with pytest.raises(BadRequest):
            asyncio.run(checks(tmp_path).page(Request(method, "/netcheck", "/netcheck", {}, body=body)))


def test_a_pod_that_is_not_here_is_not_found(tmp_path: Path) -> None:
    for what in ("send", "listen"):
        with pytest.raises(NotFound, match='pod "a/b" has no network of its own on this node'):
            asyncio.run(ask(checks(tmp_path), do=what, pod="a/b", probes=[]))


def test_no_more_than_a_few_listen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_LISTENING", 1)

    async def act() -> None:
        node = checks(tmp_path)
        await ask(node, do="listen", who="me", pod="", tcp=[0], udp=[])
        with pytest.raises(ApiError, match="listen for checks of the network already"):
            await ask(node, do="listen", who="you", pod="", tcp=[0], udp=[])
        await ask(node, do="stop", who="me")

    asyncio.run(act())


def test_the_network_of_a_sandbox_is_where_its_plugins_said(tmp_path: Path) -> None:
    (tmp_path / "other-abc-eth0").write_text("{")
    assert page.space_of(tmp_path, "abc") is None
    interfaces = [{"name": "cni0"}, {"name": "eth0", "sandbox": "/run/netns/cni-1"}]
    (tmp_path / "navarch-abc-eth0").write_bytes(orjson.dumps({"result": {"interfaces": interfaces}}))
    assert page.space_of(tmp_path, "abc") == Path("/run/netns/cni-1")
    assert page.space_of(tmp_path, "ab") is None


def test_the_kernel_is_told_of_as_its_tools_say_it() -> None:
    found = state.observe("navarch", {"routes": ["127.0.0.1"]}, {})
    assert any(link["ifname"] == "lo" for link in found["links"])
    assert found["routes"]["127.0.0.1"]["dev"] == "lo"
    assert found["settings"]["net/ipv4/ip_forward"] in ("0", "1")
    assert state.run("no-such-program-at-all") == ""
    assert state.tool("echo", "no json") == []


def test_answers_that_are_cut_short_hold_no_addresses() -> None:
    assert addresses(b"\0" * 12, 1) == []
    assert addresses(b"\0\0\x81\x80\0\1\0\2\0\0\0\0\1a\0\0\1\0\1\xc0\x0c\0\1", 1) == []
    assert skip_name(b"\3www\0rest", 0) == 5
    assert checksum(b"\x45\x00\x00\x73") == 0xBA8C
