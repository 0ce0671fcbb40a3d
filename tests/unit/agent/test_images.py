"""Getting images: by policy, with credentials, once."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from navarch.agent.fake import FakeRuntime, Pull
from navarch.agent.images import Images, credentials
from navarch.agent.runtime import Image, RegistryAuth, RuntimeFailure
from navarch.base.clock import SeededIds, SystemClock
from tests.unit.agent.pods import pod


def ensure(
    policy: str, present: bool, image: str = "app:1", error: str = ""
) -> tuple[list[str], list[tuple[str, str]]]:
    """What was pulled, and what was told (reason, message)."""
    told: list[tuple[str, str]] = []

    async def run() -> list[str]:
        clock = SystemClock()
        runtime = FakeRuntime(
            clock, SeededIds(1), images=[image] if present else [], pulls=lambda name: Pull(error=error)
        )
        found = pod({"name": "main", "image": image, "imagePullPolicy": policy})
        images = Images(runtime, clock)
        try:
            await images.ensure(
                found, found.spec.containers[0], lambda plural, name: None, lambda t, r, m: told.append((r, m))
            )
        except RuntimeFailure as failure:
            told.append(("raised", failure.reason))
        return [subject for verb, subject in runtime.calls if verb == "pull"]

    return asyncio.run(run()), told


def test_the_policy_decides() -> None:
    assert ensure("IfNotPresent", present=True) == (
        [],
        [("Pulled", 'Container image "app:1" already present on machine and can be accessed by the pod')],
    )
    pulled, told = ensure("IfNotPresent", present=False)
    assert pulled == ["app:1"]
    assert told[0] == ("Pulling", 'Pulling image "app:1"')
    assert told[1][1].startswith('Successfully pulled image "app:1" in ')
    assert told[1][1].endswith(" including waiting). Image size: 1048576 bytes.")
    assert ensure("Always", present=True)[0] == ["app:1"]
    message = 'Container image "app:1" is not present with pull policy of Never'
    assert ensure("Never", present=False) == ([], [("ErrImageNeverPull", message), ("raised", "ErrImageNeverPull")])
    assert ensure("Never", present=True)[0] == []


def test_a_failed_pull_says_why() -> None:
    _, told = ensure("Always", present=True, error="no route")
    assert told == [
        ("Pulling", 'Pulling image "app:1"'),
        ("Failed", 'Failed to pull image "app:1": no route'),
        ("Failed", "Error: ErrImagePull"),
        ("raised", "ErrImagePull"),
    ]


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "a:b:c", "-x", "a//b", "x@sha256:zz", "https://x/y"])
def test_a_name_that_is_none_is_refused_before_anything_is_asked(name: str) -> None:
    pulled, told = ensure("Always", present=False, image=name or " ")
    assert pulled == []
    assert told[-1] == ("raised", "InvalidImageName")


@pytest.mark.parametrize(
    "name", ["nginx", "a/b", "localhost:5000/a/b:1", "r.test/a_b/c--d:v1.2", "a@sha256:" + "0" * 64]
)
def test_good_names_pass(name: str) -> None:
    assert ensure("IfNotPresent", present=True, image=name)[1][-1][0] == "Pulled"


def test_many_pods_pull_an_image_once() -> None:
    async def run() -> list[Image]:
        clock = SystemClock()
        runtime = FakeRuntime(clock, SeededIds(1), pulls=lambda name: Pull(seconds=0.05))
        images = Images(runtime, clock)
        found = pod({"name": "main", "image": "app:1"})

        def one() -> Any:
            return images.ensure(found, found.spec.containers[0], lambda plural, name: None, lambda t, r, m: None)

        result = await asyncio.gather(*(one() for _ in range(5)))
        assert [verb for verb, _ in runtime.calls] == ["pull"]
        return result

    assert len({image.id for image in asyncio.run(run())}) == 1


def secret(auths: Mapping[str, Any], old: bool = False) -> Mapping[str, bytes]:
    if old:
        return {".dockercfg": json.dumps(auths).encode()}
    return {".dockerconfigjson": json.dumps({"auths": auths}).encode()}


def test_credentials_are_those_for_the_images_registry() -> None:
    packed = base64.b64encode(b"bob:pass:word").decode()
    data = {
        "one": secret({"r.test": {"auth": packed}, "other.test": {"username": "x", "password": "y"}}),
        "two": secret({"https://index.docker.io/v1/": {"username": "hub", "password": "p"}}, old=True),
        "bad": {".dockerconfigjson": b"no json"},
    }
    found = pod(imagePullSecrets=[{"name": name} for name in ("bad", "one", "two", "absent")])

    def of(image: str) -> Any:
        return credentials(found, image, lambda plural, name: data.get(name))

    assert of("r.test/app:1") == [RegistryAuth("bob", "pass:word")]
    assert of("nginx") == [RegistryAuth("hub", "p")]
    assert of("elsewhere.test/x") == [None]
    assert credentials(pod(), "nginx", lambda plural, name: None) == [None]


def test_a_registry_may_be_given_with_a_path_or_a_star() -> None:
    data = {"s": secret({"r.test/team": {"username": "team", "password": "p"}, "*.star.test": {"username": "s"}})}
    found = pod(imagePullSecrets=[{"name": "s"}])

    def of(image: str) -> Any:
        return [auth and auth.username for auth in credentials(found, image, lambda plural, name: data.get(name))]

    assert of("r.test/team/app:1") == ["team"]
    assert of("r.test/else/app:1") == [None]
    assert of("a.star.test/app:1") == ["s"]
    assert of("a.b.star.test/app:1") == [None]
