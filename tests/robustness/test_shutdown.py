"""Told to stop, a server says so first, finishes what it was asked, ends its watches properly, and is gone in time."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from serverprocess import CONFIGMAPS, ServerProcess

from navarch.app.layout import Settings, save_settings

PATIENCE_S = 60.0
DELAY_S = 4.0


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status(server: ServerProcess, target: str) -> int:
    session = server.session(PATIENCE_S)
    try:
        answer = session.begin(target)
        answer.read()
        return answer.status
    finally:
        session.close()


def watched(server: ServerProcess, ready: threading.Event, lines: list[bytes], ended: list[str]) -> None:
    """Reads a watch to its end; says whether the last chunk came."""
    session = server.session(PATIENCE_S)
    stream = session.begin(f"{CONFIGMAPS}?watch=1&resourceVersion=0")
    ready.set()
    try:
        while line := stream.readline():
            lines.append(line)
        ended.append("complete" if stream.isclosed() else "open")
    except (OSError, http.client.HTTPException) as error:
        ended.append(repr(error))
    finally:
        session.close()


def written(server: ServerProcess, made: list[str], broken: list[str]) -> None:
    """Creates objects until nobody answers; an answer that began must come whole."""
    session = server.session(PATIENCE_S)
    for number in range(1_000_000):
        name = f"w-{number}"
        body = json.dumps({"metadata": {"name": name}})
        try:
            session.request("POST", CONFIGMAPS, body, {"Content-Type": "application/json"})
            answer = session.getresponse()
        except (OSError, http.client.HTTPException):
            return  # not taken any more
        try:
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            broken.append(f"{name}: {error!r}")
            return
        if answer.status != 201:
            broken.append(f"{name}: {answer.status} {said[:200]!r}")
            return
        made.append(name)
        time.sleep(0.005)


def test_a_server_that_is_told_to_stop(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", tmp_path / "run")
    server.run.mkdir(parents=True)
    save_settings(server.layout, Settings("robust", "127.0.0.1", api_port=server.port, shutdown_delay_s=DELAY_S))
    server.start()
    assert server.process is not None
    try:
        for number in range(6):
            large = {"metadata": {"name": f"large-{number}"}, "data": {"a": "x" * 900_000}}
            assert server.ask(CONFIGMAPS, "POST", large)[0] == 201
        ready, lines, ended, made, broken = threading.Event(), [], [], [], []  # type: ignore[var-annotated]
        watcher = threading.Thread(target=watched, args=(server, ready, lines, ended), daemon=True)
        writer = threading.Thread(target=written, args=(server, made, broken), daemon=True)
        watcher.start()
        assert ready.wait(PATIENCE_S)
        writer.start()
        until(lambda: len(made) > 5)
        idle, half, deaf = (connected(server) for _ in range(3))
        half.sendall(b"GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nX-Never")
        deaf.sendall(f"GET {CONFIGMAPS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())  # takes nothing of the answer
        begun = server.session(PATIENCE_S)
        body = json.dumps({"metadata": {"name": "begun"}}).encode()
        begun.putrequest("POST", CONFIGMAPS)
        begun.putheader("Content-Type", "application/json")
        begun.putheader("Content-Length", str(len(body)))
        begun.endheaders(body[:10])

        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: status(server, "/readyz") == 500)
        assert status(server, "/livez") == 200
        before = len(made)
        begun.send(body[10:])
        answer = begun.getresponse()
        assert answer.status == 201
        assert json.loads(answer.read())["metadata"]["name"] == "begun"
        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(PATIENCE_S) == 0, server.log.read_text()[-3000:]
        assert time.monotonic() - told >= DELAY_S, "it served on while others were told"
        watcher.join(PATIENCE_S)
        writer.join(PATIENCE_S)
        assert broken == []
        assert len(made) > before, "it took writes after it had said that it was stopping"
        assert ended == ["complete"]
        events = [json.loads(line) for line in lines]
        named = {event["object"]["metadata"]["name"] for event in events}
        assert named >= {"begun", *made}, "the watch told of every write that was answered"
        for one in (idle, half, deaf):
            one.close()
        assert not server.socket.exists()

        server.start()
        assert set(made) <= {item["metadata"]["name"] for item in server.ask(CONFIGMAPS)[1]["items"]}, (
            "nothing that was answered is lost"
        )
    finally:
        server.stop()


def connected(server: ServerProcess) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.settimeout(PATIENCE_S)
    found.connect(str(server.socket))
    return found
