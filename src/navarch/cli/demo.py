"""`navarch demo`: what a person sees in the first five minutes, told while it happens."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from navarch.app import ask
from navarch.app.layout import Layout, Settings, in_url, load_settings
from navarch.app.provision import NotProvisioned
from navarch.app.sample import build_images, folder
from navarch.app.voyage import NAMESPACE, NODE_PORT, PATIENCE_S, Load, Voyage
from navarch.cli import images, output

TIERS = ("redis", "api", "web")


def run(layout: Layout) -> None:
    """Raises: NotProvisioned when a step does not come true."""
    settings = load_settings(layout)
    if settings is None or ask.server_is_ready(layout.server_socket):
        raise NotProvisioned("there is no cluster running on this machine; `navarch up` makes one")
    voyage = Voyage(layout.server_socket)
    example = folder("voyage")
    title("1. The sample application: a web front end, an API, and Redis")
    with output.spinning("images") as say:
        for archive in build_images(example, layout.data / "examples", say):
            say(f"importing {archive.name}")
            images.import_archive(layout, archive)
    output.done("images built from Debian packages and imported")
    applied = voyage.apply(example / "manifests")
    output.done(f"{len(applied)} objects applied in namespace {NAMESPACE}")
    show_rollout(voyage)
    url = f"http://{in_url(settings.node_ip)}:{NODE_PORT}/"
    visits = ask_sample(voyage, settings)
    output.done(f"it answers at {url} (visits counted: {visits['visits']})")
    recover(voyage)
    roll_out(voyage, settings)
    kubectl = output.kubectl() or "kubectl"
    print(
        f"\nThe application goes on running at {url}\n"
        f"  {kubectl} -n voyage get pods,services    look at it\n"
        f"  {kubectl} delete namespace voyage        remove it"
    )


def title(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


def ask_sample(voyage: Voyage, settings: Settings) -> dict[str, Any]:
    from navarch.app.voyage import fetch

    answers: list[dict[str, Any]] = []

    def answered() -> bool:
        try:
            answers.append(fetch(settings.node_ip, NODE_PORT, "/api/visits"))
        except (OSError, ValueError):
            return False
        return True

    voyage.wait(f"http://{in_url(settings.node_ip)}:{NODE_PORT}/api/visits", answered, 30.0)
    return answers[-1]


def show_rollout(voyage: Voyage) -> None:
    """A bar for each tier, until all of them are complete."""
    start = time.monotonic()
    with bars() as move:

        def complete() -> bool:
            found = {rollout.name: rollout for rollout in voyage.rollouts()}
            for name in TIERS:
                if name in found:
                    move(name, min(found[name].updated, found[name].available), found[name].wanted)
            return all(name in found and found[name].done for name in TIERS)

        voyage.wait("the application is not complete", complete)
    output.done(f"all pods are ready after {time.monotonic() - start:.1f} s")


@contextmanager
def bars() -> Iterator[Any]:
    if not sys.stdout.isatty():
        yield lambda name, now, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(TextColumn("  {task.description:<6}"), BarColumn(), MofNCompleteColumn()) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in TIERS}
        yield lambda name, now, total: progress.update(tasks[name], completed=now, total=total)


def recover(voyage: Voyage) -> None:
    title("2. A pod is lost")
    before = voyage.ready_pods("web")
    victim = before[0]
    voyage.delete_pod(victim)
    output.done(f"deleted {victim}")
    with output.spinning("waiting for its replacement"):
        took_s = voyage.wait(
            "the pod was not replaced", lambda: len(set(voyage.ready_pods("web")) - {victim}) >= len(before)
        )
    new = sorted(set(voyage.ready_pods("web")) - set(before))
    output.done(f"{', '.join(new)} took its place after {took_s:.1f} s")


def roll_out(voyage: Voyage, settings: Settings) -> None:
    title("3. A new version, while a client keeps asking")
    now = next(iter(ask_sample(voyage, settings)["version"]))
    wanted = "1" if now == "2" else "2"
    load = Load(settings.node_ip, NODE_PORT, "/api/visits")
    load.start()
    try:
        time.sleep(1.0)
        voyage.roll_out(wanted)
        with output.spinning(f"version {now} → {wanted}") as say:

            def rolled_out() -> bool:
                say(f"{load.total} requests, {len(load.failures)} failed")
                return all(rollout.done for rollout in voyage.rollouts())

            took_s = voyage.wait("the rollout did not finish", rolled_out, PATIENCE_S)
            voyage.wait("the client did not ask enough", lambda: load.total >= 1000)
    finally:
        load.stop()
    shares = ", ".join(f"{count} from version {version}" for version, count in sorted(load.versions.items()))
    output.done(f"version {now} became {wanted} in {took_s:.1f} s: {shares}")
    if load.failures:
        raise NotProvisioned(f"{len(load.failures)} of {load.total} requests failed: {load.failures[0]}")
    output.done(f"{load.total} requests, none failed")
