"""Add-ons on a running cluster: what is there, applied and removed over the server's own socket.

What an add-on consists of is said elsewhere (`addon`); this only carries out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from navarch.app import ask, imagebuild, lan, tokens
from navarch.app.addons import addon as plans
from navarch.app.addons import image
from navarch.app.addons.addon import Addon, Choice, Document, Key, State
from navarch.app.layout import Layout
from navarch.app.machine import Say, Step
from navarch.app.provision import NotProvisioned
from navarch.kinds import ALL as KINDS
from navarch.kinds.kind import Kind

PATIENCE_S = 120.0
LOOK_S = 0.1
CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
KINDS_BY_NAME: Mapping[tuple[str, str], Kind] = {(kind.api_version, kind.name): kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Cluster:
    """That of this machine's server. Methods raise NotProvisioned when it refuses, Unavailable when it is away."""

    layout: Layout

    def found(self, addon: Addon) -> Mapping[Key, Document]:
        """Those of its objects that are there, whoever made them."""
        there: dict[Key, Document] = {}
        for document in addon.objects(Choice("", ())):
            status, said = ask.ask(self.layout.server_socket, path(document))
            if status != 404:
                there[plans.key_of(document)] = _checked(status, said, path(document))
        return there

    def state(self, addon: Addon) -> State:
        return plans.judge(addon, self.found(addon))

    def apply(self, documents: Sequence[Document]) -> None:
        """Server-side apply, over what others changed in them."""
        for document in documents:
            target = f"{path(document)}?fieldManager={plans.MANAGER}&force=true"
            self._ask("PATCH", target, document, "application/apply-patch+yaml")

    def delete(self, documents: Sequence[Document]) -> None:
        for document in documents:
            status, said = ask.ask(self.layout.server_socket, path(document), method="DELETE")
            if status != 404:
                _checked(status, said, path(document))

    def other_default(self, addon: Addon) -> str:
        return plans.other_default(self._ask("GET", CLASSES)["items"], addon.keys)

    def _ask(self, method: str, target: str, body: Document | None = None, form: str = "application/json") -> Any:
        status, said = ask.ask(self.layout.server_socket, target, method=method, body=body, content_type=form)
        return _checked(status, said, target)


def _checked(status: int, said: Any, target: str) -> Any:
    if status >= 300:
        message = said.get("message", said) if isinstance(said, dict) else said
        raise NotProvisioned(f"the server refuses {target.partition('?')[0]}: {message}")
    return said


def path(document: Document) -> str:
    """Of one object, in the API."""
    kind = KINDS_BY_NAME[document["apiVersion"], document["kind"]]
    metadata = document["metadata"]
    where = f"/namespaces/{metadata['namespace']}" if kind.namespaced else ""
    return f"/{'apis' if kind.group else 'api'}/{kind.api_version}{where}/{kind.plural}/{metadata['name']}"


def enabling(layout: Layout, addon: Addon) -> list[Step]:
    """Checked first: nothing is changed where it cannot be. Raises: NotProvisioned, Unavailable."""
    settings = tokens.settings_of(layout)
    version, program = image.find(addon)
    cluster = Cluster(layout)
    if taken := plans.strangers(cluster.found(addon)):
        raise NotProvisioned(
            f"{', '.join(taken)} is there already and was not made by `navarch addon`: remove it first, or keep it"
        )
    hosts = lan.present(layout, settings)
    layouts = [layout, *(one.layout for one in hosts)]
    tag = f"{addon.repository}:{version}"

    def put_image(say: Say) -> None:
        if lacking := asyncio.run(image.lacking(layouts, tag)):

            def play(archive: Path) -> None:
                image.build(addon, tag, program, archive, say)
                say("putting it onto the node")
                asyncio.run(image.put(lacking, archive))

            imagebuild.in_passing(play)

    def apply(say: Say) -> None:
        nodes = [settings.node_name, *(one.name for one in hosts)]
        cluster.apply(addon.objects(Choice(tag, nodes, not cluster.other_default(addon))))

    def wait(say: Say) -> None:
        hint = f"see `kubectl -n {addon.namespace} describe pods`"
        _until(f"{addon.name} is not ready", lambda: cluster.state(addon).word == "ready", hint)

    return [
        Step(f"Image {tag}", put_image, f"Making the image {tag}"),
        Step("Objects applied", apply, "Applying objects"),
        Step(f"{addon.program} is ready", wait, f"Waiting for {addon.program}"),
    ]


def disabling(layout: Layout, addon: Addon) -> list[Step]:
    """What others made is left alone. Raises: NotProvisioned, Unavailable."""
    settings = tokens.settings_of(layout)
    cluster = Cluster(layout)

    def remove(say: Say) -> None:
        found = cluster.found(addon)
        cluster.delete([found[key] for key in reversed(addon.keys) if key in found and plans.ours(found[key])])
        _until(
            f"{addon.name} is not gone",
            lambda: cluster.state(addon).word == "off",
            f"see `kubectl get namespace {addon.namespace} -o yaml`",
        )

    def drop(say: Say) -> None:
        layouts = [layout, *(one.layout for one in lan.present(layout, settings))]
        asyncio.run(image.drop(layouts, addon.repository))

    return [
        Step("Objects removed", remove, "Removing objects"),
        Step("Images removed", drop, "Removing images"),
    ]


def _until(fault: str, reached: Callable[[], bool], hint: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline:
            raise NotProvisioned(f"{fault} after {PATIENCE_S:.0f} s; {hint}")
        time.sleep(LOOK_S)
