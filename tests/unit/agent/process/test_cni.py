"""Network plugins, run as the specification has it: here small programs that write down what they are asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.process import cni
from navarch.agent.process.cni import Endpoint, Plugins
from navarch.agent.runtime import PortMapping, RuntimeFailure

ENDPOINT = Endpoint("box", "/run/netns/x", tuple(cni.arguments("ns", "pod", "uid", "box")), (PortMapping(80, 8080),))
ANSWER = {"cniVersion": "0.4.0", "ips": [{"address": "10.1.2.3/24"}, {"address": "fd00::3/64"}]}
SCRIPT = """#!/bin/sh
echo "$CNI_COMMAND $CNI_IFNAME $(basename $0) $(cat | tr -d ' \\n')" >> {log}
test -z "{fails}" || {{ echo '{{"code": 7, "msg": "no room", "details": "at all"}}'; exit 1; }}
test $CNI_COMMAND = DEL || echo '{answer}'
"""


def plugin(folder: Path, name: str, fails: str = "") -> None:
    program = folder / name
    program.write_text(SCRIPT.format(log=folder / "log", fails=fails, answer=json.dumps(ANSWER)))
    program.chmod(0o755)


def plugins(folder: Path) -> Plugins:
    network = {"cniVersion": "0.4.0", "name": "net", "plugins": [{"type": "first"}, {"type": "second"}]}
    (folder / "10-net.conflist").write_text(json.dumps(network))
    for name in ("loopback", "first", "second"):
        plugin(folder, name)
    return Plugins(folder, folder, folder / "results")


def asked(folder: Path) -> list[tuple[str, str, str, Any]]:
    lines = [line.split(" ", 3) for line in (folder / "log").read_text().splitlines()]
    return [(one[0], one[1], one[2], json.loads(one[3])) for one in lines]


def test_plugins_are_called_in_order_and_each_is_told_what_those_before_it_did(tmp_path: Path) -> None:
    network = plugins(tmp_path)
    assert asyncio.run(network.add(ENDPOINT)) == ("10.1.2.3", "fd00::3")
    calls = asked(tmp_path)
    order = [("ADD", "lo", "loopback"), ("ADD", "eth0", "first"), ("ADD", "eth0", "second")]
    assert [call[:3] for call in calls] == order
    assert "prevResult" not in calls[1][3]
    assert calls[2][3]["prevResult"] == ANSWER
    assert calls[2][3]["name"] == "net"
    kept = json.loads((tmp_path / "results" / "net-box-eth0").read_bytes())
    assert (kept["kind"], kept["containerId"], kept["result"]) == ("cniCacheV1", "box", ANSWER)


def test_undoing_goes_backwards_and_forgets(tmp_path: Path) -> None:
    network = plugins(tmp_path)
    asyncio.run(network.add(ENDPOINT))
    (tmp_path / "log").unlink()
    asyncio.run(network.remove(ENDPOINT))
    calls = asked(tmp_path)
    assert [call[:3] for call in calls] == [("DEL", "eth0", "second"), ("DEL", "eth0", "first")]
    assert all(call[3]["prevResult"] == ANSWER for call in calls)
    assert not list((tmp_path / "results").iterdir())
    asyncio.run(network.remove(ENDPOINT))


def test_what_failed_is_told_in_the_plugins_words(tmp_path: Path) -> None:
    network = plugins(tmp_path)
    plugin(tmp_path, "second", fails="yes")
    with pytest.raises(RuntimeFailure, match=r"'second' failed \(ADD\): no room: at all"):
        asyncio.run(network.add(ENDPOINT))
    assert not (tmp_path / "results").exists()
    assert [call[:3] for call in asked(tmp_path)][-1] == ("DEL", "eth0", "first")


@pytest.mark.parametrize("text", ["", "{}", '{"name": "x"}', "[1]", '{"name": "x", "plugins": 1}'])
def test_a_list_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    network = plugins(tmp_path)
    (tmp_path / "10-net.conflist").write_text(text)
    with pytest.raises(RuntimeFailure, match=r"10-net\.conflist"):
        asyncio.run(network.add(ENDPOINT))


def test_a_missing_network_or_plugin_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match=r"no \*.conflist"):
        asyncio.run(Plugins(tmp_path / "nowhere", tmp_path).add(ENDPOINT))
    network = plugins(tmp_path)
    (tmp_path / "first").unlink()
    with pytest.raises(RuntimeFailure, match="first cannot be run"):
        asyncio.run(network.add(ENDPOINT))


@pytest.mark.parametrize("said", [b"", b"[]", b"no json"])
def test_a_plugin_that_says_nothing_useful_is_told_with_what_it_complained_of(said: bytes) -> None:
    assert "went wrong" in str(cni.failure("p", "ADD", 1, said, b"went wrong\n"))
    assert "ended with 3" in str(cni.failure("p", "ADD", 3, said, b""))


def test_ports_of_the_host_are_told_to_plugins_that_want_them() -> None:
    network = {"name": "n", "plugins": [{"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "other"}]}
    ports = cni.plugin_config(network, 0, ENDPOINT, None)["runtimeConfig"]["portMappings"]
    assert ports == [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""}]
    assert "runtimeConfig" not in cni.plugin_config(network, 1, ENDPOINT, None)
