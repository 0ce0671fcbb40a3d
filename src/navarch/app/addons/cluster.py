"""Add-ons on a running cluster: what is there, applied and removed over the server's own socket.

What an add-on consists of is said elsewhere (`addon`); this only carries out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from navarch.agent.imagefile import full_name
from navarch.app import ask, imagebuild, lan, tokens
from navarch.app.addons import ALL, image
from navarch.app.addons import addon as plans
from navarch.app.addons.addon import Addon, Choice, Document, Key, State
from navarch.app.layout import Layout, load_settings
from navarch.app.machine import Say, Step
from navarch.app.provision import NotProvisioned
from navarch.kinds import ALL as KINDS

PATIENCE_S = 120.0
LOOK_S = 0.1
ANSWER_S = 30.0
"""What is applied is large, and the machine may be busy."""
CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
NODES = "/api/v1/nodes"


def _collections() -> Mapping[tuple[str, str], tuple[str, bool]]:
    """By version and kind: the plural, and whether objects are in namespaces."""
    found = {(kind.api_version, kind.name): (kind.plural, kind.namespaced) for kind in KINDS}
    for each in ALL:
        for document in each.own(plans.NO_CHOICE):
            if document["kind"] == plans.DEFINITION:
                spec = document["spec"]
                for version in spec["versions"]:
                    key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                    found[key] = spec["names"]["plural"], spec["scope"] == "Namespaced"
    return found


COLLECTIONS = _collections()


@dataclass(frozen=True, slots=True)
class Cluster:
    """That of this machine's server. Methods raise NotProvisioned when it refuses, Unavailable when it is away."""

    layout: Layout

    def one(self, document: Document) -> Document | None:
        status, said = self._told(path(document))
        return None if status == 404 else _checked(status, said, path(document))

    def found(self, addon: Addon) -> Mapping[Key, Document]:
        """Those of its objects that are there, whoever made them."""
        there = {plans.key_of(document): self.one(document) for document in addon.objects(plans.NO_CHOICE)}
        return {key: document for key, document in there.items() if document is not None}

    def state(self, addon: Addon) -> State:
        return plans.judge(addon, self.found(addon))

    def beside(self, addon: Addon) -> list[str]:
        """Names of other add-ons of its program that are enabled."""
        others = (other for other in ALL if other.base == addon.base and other.name != addon.name)
        return [other.name for other in others if self.state(other).word != "off"]

    def runs(self, addon: Addon) -> bool:
        deployment = self.one(addon.base(plans.NO_CHOICE)[-1])
        return deployment is not None and plans.available(deployment)

    def served(self, definition: Document) -> bool:
        status, _ = self._told(_all_of(definition))
        return status == 200

    def used(self, definition: Document) -> bool:
        """There are objects of the kind that it defines."""
        status, said = self._told(_all_of(definition))
        return status == 200 and bool(said["items"])

    def nodes_with(self, image: str) -> list[str]:
        return plans.nodes_with(image, self._ask("GET", NODES)["items"])

    def apply(self, documents: Sequence[Document]) -> None:
        """Server-side apply, over what others changed in them."""
        for document in documents:
            target = f"{path(document)}?fieldManager={plans.MANAGER}&force=true"
            self._ask("PATCH", target, document, "application/apply-patch+yaml")

    def delete(self, documents: Sequence[Document]) -> None:
        for document in documents:
            status, said = self._told(path(document), method="DELETE")
            if status != 404:
                _checked(status, said, path(document))

    def other_default(self, addon: Addon) -> str:
        return plans.other_default(self._ask("GET", CLASSES)["items"], addon.keys)

    def _ask(self, method: str, target: str, body: Document | None = None, form: str = "application/json") -> Any:
        return _checked(*self._told(target, method=method, body=body, content_type=form), target)

    def _told(self, target: str, **more: Any) -> tuple[int, Any]:
        return ask.ask(self.layout.server_socket, target, timeout_s=ANSWER_S, **more)


def _checked(status: int, said: Any, target: str) -> Any:
    if status >= 300:
        message = said.get("message", said) if isinstance(said, dict) else said
        raise NotProvisioned(f"the server refuses {target.partition('?')[0]}: {message}")
    return said


def path(document: Document) -> str:
    """Of one object, in the API."""
    version, metadata = document["apiVersion"], document["metadata"]
    plural, namespaced = COLLECTIONS[version, document["kind"]]
    where = f"/namespaces/{metadata['namespace']}" if namespaced else ""
    return f"/{'apis' if '/' in version else 'api'}/{version}{where}/{plural}/{metadata['name']}"


def _all_of(definition: Document) -> str:
    spec = definition["spec"]
    return f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}?limit=1"


def enabling(layout: Layout, addon: Addon) -> list[Step]:
    """Checked first: nothing is changed where it cannot be. Raises: NotProvisioned, Unavailable."""
    settings = tokens.settings_of(layout)
    version, program = image.find(addon)
    cluster = Cluster(layout)
    found = cluster.found(addon)
    if taken := plans.strangers(found):
        raise NotProvisioned(
            f"{', '.join(taken)} is there already and was not made by `navarch addon`: remove it first, or keep it"
        )
    kept = {key for key, document in found.items() if not plans.ours(document)}
    hosts = lan.present(layout, settings)
    layouts = [layout, *(one.layout for one in hosts)]
    tag = f"{addon.repository}:{version}"

    def apply(say: Say) -> None:
        here = [settings.node_name, *(one.name for one in hosts)]
        elsewhere = [name for name in cluster.nodes_with(full_name(tag)) if name not in here]
        fronts = (addon.name, *cluster.beside(addon))
        choice = Choice(tag, [*here, *elsewhere], fronts, not cluster.other_default(addon))
        wanted = [document for document in addon.objects(choice) if plans.key_of(document) not in kept]
        definitions = [document for document in wanted if document["kind"] == plans.DEFINITION]
        cluster.apply(definitions)
        for each in definitions:
            hint = f"see `kubectl describe crd {each['metadata']['name']}`"
            _until(f"{each['metadata']['name']} is not served", partial(cluster.served, each), hint)
        cluster.apply([document for document in wanted if document["kind"] != plans.DEFINITION])

    def wait(say: Say) -> None:
        hint = f"see `kubectl -n {addon.namespace} describe pods`"
        _until(f"{addon.name} is not ready", lambda: cluster.runs(addon), hint)

    return [
        _image_put(addon, tag, program, layouts),
        Step("Objects applied", apply, "Applying objects"),
        Step(f"{addon.program} is ready", wait, f"Waiting for {addon.program}"),
    ]


def placing(layout: Layout, addon: Addon) -> list[Step]:
    """Its image onto the nodes of this machine, whose server may be elsewhere. Raises: NotProvisioned."""
    version, program = image.find(addon)
    layouts = [layout, *(one.layout for one in lan.present(layout, load_settings(layout)))]
    return [_image_put(addon, f"{addon.repository}:{version}", program, layouts)]


def _image_put(addon: Addon, tag: str, program: Path, layouts: Sequence[Layout]) -> Step:
    def put(say: Say) -> None:
        if lacking := asyncio.run(image.lacking(layouts, tag)):

            def play(archive: Path) -> None:
                image.build(addon, tag, program, archive, say)
                say("putting it onto the node")
                asyncio.run(image.put(lacking, archive))

            imagebuild.in_passing(play)

    return Step(f"Image {tag}", put, f"Making the image {tag}")


def disabling(layout: Layout, addon: Addon) -> list[Step]:
    """What others made is left alone, and so is what runs it while another add-on needs that.

    Raises: NotProvisioned, Unavailable.
    """
    settings = tokens.settings_of(layout)
    cluster = Cluster(layout)
    others = cluster.beside(addon)

    def remove(say: Say) -> None:
        found = cluster.found(addon)
        wanted = addon.own(plans.NO_CHOICE) if others else addon.objects(plans.NO_CHOICE)
        keys = [key for key in map(plans.key_of, reversed(wanted)) if key in found and plans.ours(found[key])]
        cluster.delete([found[key] for key in keys if key[0] != plans.DEFINITION])
        deployment = found.get(("Deployment", addon.deployment))
        if others and deployment:
            cluster.apply(addon.base(plans.applied_choice(deployment, others)))
        unused = [found[key] for key in keys if key[0] == plans.DEFINITION and not cluster.used(found[key])]
        cluster.delete(unused)
        gone = [*unused, *(found[key] for key in keys if key[0] != plans.DEFINITION)]
        hint = f"see `kubectl get namespace {addon.namespace} -o yaml`"
        _until(f"{addon.name} is not gone", lambda: all(cluster.one(one) is None for one in gone), hint)

    def settle(say: Say) -> None:
        hint = f"see `kubectl -n {addon.namespace} describe pods`"
        _until(f"{addon.program} is not ready", lambda: cluster.runs(addon), hint)

    def drop(say: Say) -> None:
        layouts = [layout, *(one.layout for one in lan.present(layout, settings))]
        asyncio.run(image.drop(layouts, addon.repository))

    last = (
        Step(f"{addon.program} serves on for {', '.join(others)}", settle, f"Waiting for {addon.program}")
        if others
        else Step("Images removed", drop, "Removing images")
    )
    return [Step("Objects removed", remove, "Removing objects"), last]


def left(layout: Layout, addon: Addon) -> list[str]:
    """Kinds that it defined and that stay defined, since there are objects of them."""
    found = Cluster(layout).found(addon)
    return [
        document["spec"]["names"]["kind"]
        for key, document in found.items()
        if key[0] == plans.DEFINITION and plans.ours(document)
    ]


def _until(fault: str, reached: Callable[[], bool], hint: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline:
            raise NotProvisioned(f"{fault} after {PATIENCE_S:.0f} s; {hint}")
        time.sleep(LOOK_S)
