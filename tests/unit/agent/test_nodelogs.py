"""Logs of a node by path and by name, and what a page says of its settings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from navarch.agent import kubeletfile
from navarch.agent.fake import FakeRuntime
from navarch.agent.kubelet import KubeletConfig, Threshold
from navarch.agent.nodelogs import NodeLogs
from navarch.agent.nodepages import NodePages, settings
from navarch.base.clock import SeededIds, SystemClock
from navarch.base.errors import BadRequest, NotFound
from navarch.wire.message import Request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "log"
    (place / "nginx").mkdir(parents=True)
    (place / "nginx" / "nginx.log").write_text("one\ntwo error\nthree\n")
    (place / "syslog").write_text("boot\n")
    (place / "own.log").write_text("agent\n")
    (tmp_path / "secret").write_text("hidden")
    (place / "away").symlink_to(tmp_path / "secret")
    return place


def request(target: str) -> Request:
    path, _, query = target.partition("?")
    return Request("GET", path, target, {}, parse_qsl(query))


def read(folder: Path, target: str, **more: bool) -> bytes:
    logs = NodeLogs((folder / "none", folder), {"kubelet": "own.log"}, **{"queries": True, **more})
    asked = request(target)
    body = logs.page(asked, asked.path.strip("/").split("/")[1:]).body
    assert isinstance(body, bytes)
    return body


def test_files_and_folders_by_their_path(folder: Path) -> None:
    assert read(folder, "/logs/syslog") == b"boot\n"
    listed = read(folder, "/logs/")
    assert b'<a href="nginx/">nginx/</a>' in listed
    assert b"syslog" in listed


def test_a_service_by_its_name_wherever_it_writes(folder: Path) -> None:
    assert read(folder, "/logs/?query=nginx") == b"one\ntwo error\nthree\n"
    assert read(folder, "/logs/?query=own") == b"agent\n"
    assert read(folder, "/logs/?query=kubelet") == b"agent\n"
    assert read(folder, "/logs/?query=/nginx/nginx.log&tailLines=1") == b"three\n"
    assert read(folder, "/logs/?query=nginx&pattern=error") == b"two error\n"
    assert read(folder, "/logs/?query=nginx&query=syslog&tailLines=2") == b"three\nboot\n"


def test_without_queries_a_name_means_nothing(folder: Path) -> None:
    assert b"<pre>" in read(folder, "/logs/?query=nginx", queries=False)


@pytest.mark.parametrize("target", ["/logs/../secret", "/logs/away", "/logs/?query=/../secret", "/logs/?query=/away"])
def test_nothing_outside_is_reached(folder: Path, target: str) -> None:
    with pytest.raises(NotFound):
        read(folder, target)


def test_what_is_not_there_says_that_no_journal_is_asked(folder: Path) -> None:
    with pytest.raises(NotFound, match=r"log not found for sshd: .* asks no journal"):
        read(folder, "/logs/?query=sshd")


@pytest.mark.parametrize(
    "query", ["query=a%20b", "tailLines=3", "query=nginx&tailLines=-1", "query=nginx&sinceTime=x", "query=nginx&boot=0"]
)
def test_what_cannot_be_asked_is_refused(folder: Path, query: str) -> None:
    with pytest.raises(BadRequest):
        read(folder, f"/logs/?{query}")


def test_an_administrator_may_close_it(folder: Path) -> None:
    assert read(folder, "/logs/syslog", enabled=False) == b"logs endpoint is disabled."


def test_settings_are_shown_as_the_file_that_would_have_said_them() -> None:
    config = KubeletConfig(
        eviction_hard={"memory.available": Threshold(100 << 20), "nodefs.available": Threshold(part=0.05)},
        eviction_soft_grace_period_s={"memory.available": 90.0},
        reserved_system_cpus=frozenset({0, 1}),
        kube_reserved={"cpu": "200m"},
    )
    shown = settings(config)
    assert shown["evictionHard"] == {"memory.available": "100Mi", "nodefs.available": "5%"}
    assert shown["evictionSoftGracePeriod"] == {"memory.available": "90s"}
    assert shown["reservedSystemCPUs"] == "0-1"


def test_the_page_of_settings_and_of_pods_can_be_had(tmp_path: Path) -> None:
    pages = NodePages(FakeRuntime(SystemClock(), SeededIds(1)), KubeletConfig(), tuple, NodeLogs((tmp_path,)))

    async def page(path: str) -> bytes:
        found = await pages.page(request(f"/{path}"), path.split("/"))
        assert found is not None
        assert isinstance(found.body, bytes)
        return found.body

    assert b'"kind":"KubeletConfiguration"' in asyncio.run(page("configz"))
    for path in ("pods", "runningpods"):
        assert asyncio.run(page(path)) == b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}'
    assert asyncio.run(page("healthz/syncloop")) == b"ok"
    assert asyncio.run(pages.page(request("/exec"), ["exec"])) is None
    assert set(settings(KubeletConfig())) <= {"kind", "apiVersion", *kubeletfile.FIELDS}
