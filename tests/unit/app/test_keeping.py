"""Real sockets and processes: what is sent while nobody serves waits, and the next one answers it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.app.keeping import CHANNEL, KEPT, MOST, Kept, Shelf
from navarch.app.supervisor import AGENT, read_state
from navarch.dns.server import bound

LOCALHOST = "127.0.0.1"
SERVER = """
import os, signal, socket, sys
from navarch.app.keeping import Kept
from navarch.dns.server import bound
make = Kept(os.environ).bound(bound)
made = make("127.0.0.1", int(sys.argv[1]), socket.SOCK_DGRAM)
made.setblocking(True)
while True:
    asked, peer = made.recvfrom(100)
    if asked == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    made.sendto(b"%d %s" % (os.getpid(), asked), peer)
"""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind((LOCALHOST, 0))
        return int(found.getsockname()[1])


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.clear()


def process(shelf: Shelf) -> tuple[Kept, dict[str, str]]:
    """As if it had inherited what the shelf opens."""
    said, inherited = shelf.open()
    copies = {descriptor: os.dup(descriptor) for descriptor in inherited}
    kept = [entry.rpartition("=") for entry in said[KEPT].split(",") if entry]
    environment = {
        "PATH": "/bin",
        CHANNEL: str(copies[int(said[CHANNEL])]),
        KEPT: ",".join(f"{name}={copies[int(descriptor)]}" for name, _, descriptor in kept),
    }
    shelf.begun()
    return Kept(environment), environment


def test_a_socket_goes_on_where_the_one_before_ended(shelf: Shelf) -> None:
    port = free_port()
    first, environment = process(shelf)
    assert environment == {"PATH": "/bin"}, "what it starts must not take it for its own"
    made = first.bound(bound)(LOCALHOST, port, socket.SOCK_DGRAM)
    assert shelf.read()
    made.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(b"is anybody there?", (LOCALHOST, port))
        second, _ = process(shelf)
        found = second.bound(bound)(LOCALHOST, port, socket.SOCK_DGRAM)
        with found:
            assert found.recv(100) == b"is anybody there?"
            assert not found.getblocking()
            assert not os.get_inheritable(found.fileno())


def test_what_was_kept_for_another_address_is_let_go(shelf: Shelf) -> None:
    port, other = free_port(), free_port()
    first, _ = process(shelf)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        first.bound(bound)(LOCALHOST, port, kind).close()
    shelf.read()
    second, _ = process(shelf)
    second.only([(LOCALHOST, other)])
    shelf.read()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
        anybody.bind((LOCALHOST, port))


def test_no_more_is_kept_than_a_process_may_hand_over(shelf: Shelf) -> None:
    before = len(os.listdir("/proc/self/fd"))
    greedy, _ = process(shelf)
    makes = greedy.bound(lambda address, port, kind: socket.socket(type=kind))
    for number in range(MOST + 5):
        makes(LOCALHOST, 1000 + number, socket.SOCK_DGRAM).close()
        shelf.read()
    _, inherited = shelf.open()
    assert len(inherited) == MOST + 1
    shelf.clear()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_without_a_keeper_a_process_has_its_sockets_for_itself() -> None:
    alone = Kept({})
    alone.only([])
    port = free_port()
    alone.bound(bound)(LOCALHOST, port, socket.SOCK_DGRAM).close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
        anybody.bind((LOCALHOST, port))


def test_a_keeper_that_is_gone_is_done_without(shelf: Shelf) -> None:
    orphan, _ = process(shelf)
    shelf.close()
    make = orphan.bound(bound)
    for _ in range(2):
        make(LOCALHOST, free_port(), socket.SOCK_DGRAM).close()


def test_a_question_waits_for_the_next_process(tmp_path: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-c", SERVER, str(port)]
    described = [{"name": AGENT, "argv": argv, "log": str(tmp_path / "server.log"), "needs": []}]
    (tmp_path / "processes.json").write_text(json.dumps(described))
    supervisor = [sys.executable, "-m", "navarch.app.supervisor", str(tmp_path), str(tmp_path / "run")]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, subprocess.Popen(supervisor) as running:
        try:
            asking.settimeout(30)
            asking.connect((LOCALHOST, port))
            first = answered(asking)
            for word in (b"die", b"one", b"two"):
                asking.send(word)  # would be refused, where nobody kept the socket
            found = [asking.recv(100).split() for _ in range(2)]
            assert [word for _, word in found] == [b"one", b"two"]
            assert {int(pid) for pid, _ in found} - {first}
            assert "not in use" not in (tmp_path / "server.log").read_text()
            (entry,) = [one for name, one in read_state(tmp_path / "run/supervisor.json").items() if name == AGENT]
            assert entry["lastExit"] == "killed by signal 9"
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(15)


def answered(asking: socket.socket) -> int:
    """By whom, once the server is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            asking.send(b"hello")
            return int(asking.recv(100).split()[0])
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise AssertionError("the server does not come up")
