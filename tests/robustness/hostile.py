"""The hostile soak: a real server process, sent made-up and heavy requests, while another process asks for `/livez`."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool

sys.path.insert(0, str(Path(__file__).parents[1] / "compat"))

from heavy import heavy
from hostile_schema import groups, send
from serverprocess import ServerProcess, Session, serving

http.client._MAXHEADERS = 10_000  # type: ignore[attr-defined]  # one for each warning
HERE = Path(__file__).parent
BUGS = ("navarch_bugs_total", "navarch_controller_bugs_total", "navarch_scheduler_bugs_total")


class _Socket(HTTPAdapter):
    """Everything goes to one Unix socket, whatever host is named."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        return _Pool(self._path)


class _Pool(HTTPConnectionPool):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> Any:
        found = super()._new_conn()
        session = Session(self._path, 60.0)

        def connect() -> None:
            session.connect()
            found.sock = session.sock

        found.connect = connect  # type: ignore[method-assign]
        return found


@dataclass
class RealServer:
    """As `hostile_schema.Asked`: the server's own socket, where every caller is an administrator."""

    process: ServerProcess
    base: str = "http://localhost"

    def http(self) -> requests.Session:
        found = requests.Session()
        found.trust_env = False
        found.mount("http://", _Socket(self.process.socket))
        return found


@dataclass
class Waited:
    """What the probe says at its end."""

    found: dict[str, Any] = field(default_factory=dict)


@contextmanager
def probing(server: ServerProcess) -> Iterator[Waited]:
    waited = Waited()
    command = [sys.executable, str(HERE / "livez_probe.py"), str(server.socket)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
        try:
            assert probe.stdout is not None
            assert probe.stdout.readline() == "asking\n"
            yield waited
        finally:
            said, _ = probe.communicate(timeout=90)
    waited.found = json.loads(said)


def bugs(server: ServerProcess) -> list[str]:
    """What the server's own metrics call bugs."""
    session = server.session(60.0)
    answer = session.begin("/metrics").read().decode()
    session.close()
    lines = [line for line in answer.splitlines() if line.startswith(BUGS)]
    return [f"a bug: {line}" for line in lines if not line.endswith(" 0.0")]


def send_heavy(
    server: ServerProcess, codes: Counter[int], about: str = ""
) -> tuple[list[str], dict[str, tuple[float, float]]]:
    """Everything of `heavy` whose name holds `about`, one after another. Returns what was answered wrongly; by name,
    the seconds of the request and the longest that `/livez` waited meanwhile."""
    wrong: list[str] = []
    took: dict[str, tuple[float, float]] = {}
    for name, method, target, type_, body in heavy():
        if about not in name:
            continue
        session: http.client.HTTPConnection = server.session(60.0)
        with probing(server) as waited:
            began = time.monotonic()
            accepted = type_ if method == "GET" else "application/json"
            session.request(method, target, body, {"Content-Type": type_, "Accept": accepted})
            answer = session.getresponse()
            said = answer.read()
            took_s = time.monotonic() - began
        session.close()
        codes[answer.status] += 1
        took[f"{name}: {answer.status}"] = (took_s, waited.found["worst_s"])
        wrong += waited.found["wrong"]
        if answer.status >= 500:
            wrong.append(f"{name}: {method} {target[:100]}: {answer.status} {said[:300]!r}")
    return wrong, took


def play(folder: Path, seed: int, examples: int = 3) -> dict[str, Any]:
    """One round on a fresh server: made-up requests to every operation, then the heavy ones."""
    with serving(folder) as process:
        server = RealServer(process)
        names = groups(server)
        with probing(process) as waited:
            sent = send(server, names, examples, seed, probe=False)
        wrong, took = send_heavy(process, sent.codes)
        wrong += [*sent.faults[:20], *waited.found["wrong"], *bugs(process)]
    name, (heavy_s, heavy_livez_s) = max(took.items(), key=lambda item: item[1][1])
    print(f"slowest: {sent.slowest}; heaviest: {name}: {heavy_s:.2f} s, /livez {heavy_livez_s:.2f} s", flush=True)
    return {
        "wrong": wrong,
        "requests": sent.count,
        "taken": sum(count for code, count in sent.codes.items() if code < 400),
        "heavy": len(took),
        "livez": waited.found["asked"],
        "livez_over_100_ms": waited.found["late"],
        "livez_worst_s": waited.found["worst_s"],
        "livez_p99_s": waited.found["p99_s"],
        "livez_heavy_worst_s": heavy_livez_s,
    }


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="navarch-heavy-") as where, serving(Path(where)) as one:
        counted: Counter[int] = Counter()
        faults, times = send_heavy(one, counted, *sys.argv[1:2])
        for what, (seconds, livez_s) in sorted(times.items(), key=lambda item: -item[1][1]):
            print(f"{livez_s:7.3f} s of {seconds:7.3f} s  {what}")
        print(counted, faults, bugs(one))
