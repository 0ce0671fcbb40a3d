"""Getting images: by policy, with credentials, once."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.fake import FakeRuntime, Pull
from navarch.agent.images import Images, credentials
from navarch.agent.pulling.keyring import Origin
from navarch.agent.pulling.names import parse
from navarch.agent.pulling.records import Verification
from navarch.agent.pulling.settings import PullSettings
from navarch.agent.runtime import Image, RegistryAuth, RuntimeFailure, SandboxSpec
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
        given = credentials(found, parse(image), lambda plural, name: data.get(name), lambda name: f"uid-{name}")
        return [(one.auth, one.secret) for one in given]

    assert of("r.test/app:1") == [(RegistryAuth("bob", "pass:word"), Origin("uid-one", "default", "one"))]
    assert of("nginx") == [(RegistryAuth("hub", "p"), Origin("uid-two", "default", "two"))]
    assert of("elsewhere.test/x") == []
    assert credentials(pod(), parse("nginx"), lambda plural, name: None) == []


# a registry that wants to know who asks


class Guarded(FakeRuntime):
    """Lets those pull whose user name is in `users`; counts who tried."""

    def __init__(self, *users: str, images: Sequence[str] = ()) -> None:
        super().__init__(SystemClock(), SeededIds(1), images=images)
        self.users = users
        self.tried: list[str] = []

    async def pull(self, image: str, auth: RegistryAuth | None = None, sandbox: SandboxSpec | None = None) -> str:
        user = auth.username if auth is not None else ""
        self.tried.append(user)
        if user not in self.users:
            raise RuntimeFailure(f"authorization failed for {user or 'nobody'}", reason="ErrImagePull")
        return await super().pull(image, auth, sandbox)


def used_by(images: Images, *users: str, policy: str = "IfNotPresent", image: str = "r.test/app:1") -> list[str]:
    """For pods with pull secrets of these users, one after another ("" for a pod without): how each fared."""

    async def run() -> list[str]:
        found = []
        for user in users:
            secrets = [{"name": name} for name in user.split("+") if name]
            wanted = pod({"name": "main", "image": image, "imagePullPolicy": policy}, imagePullSecrets=secrets)
            try:
                await images.ensure(
                    wanted,
                    wanted.spec.containers[0],
                    lambda plural, name: secret({"r.test": {"username": name, "password": "p"}}),
                    lambda t, r, m: None,
                    lambda name: f"uid-{name}",
                )
                found.append("ok")
            except RuntimeFailure as failure:
                found.append(failure.reason)
        return found

    return asyncio.run(run())


def test_several_credentials_are_tried_in_order() -> None:
    runtime = Guarded("carol")
    images = Images(runtime, SystemClock())
    assert used_by(images, "alice+bob+carol+dave") == ["ok"]
    assert runtime.tried == ["alice", "bob", "carol"]
    runtime.users = ()
    assert used_by(images, "alice+bob", policy="Always") == ["ErrImagePull"]


def test_an_image_that_was_pulled_with_credentials_is_for_those_who_have_them(tmp_path: Path) -> None:
    runtime = Guarded("alice", "bob")
    settings = PullSettings(records=tmp_path)
    images = Images(runtime, SystemClock(), settings)
    assert used_by(images, "alice", "mallory", "", "alice", "bob", "bob") == [
        "ok",
        "ErrImagePull",
        "ErrImagePull",
        "ok",
        "ok",
        "ok",
    ]
    assert runtime.tried == ["alice", "mallory", "", "bob"], "who had pulled it does not pull again"
    assert used_by(images, "mallory", "alice", policy="Never") == ["ErrImageNeverPull", "ok"]
    restarted = Images(runtime, SystemClock(), settings)
    assert used_by(restarted, "bob", "mallory") == ["ok", "ErrImagePull"]
    careless = Images(runtime, SystemClock(), replace(settings, verification=Verification("NeverVerify")))
    assert used_by(careless, "mallory", "") == ["ok", "ok"]


def test_an_image_that_was_there_before_is_for_all_unless_the_policy_says_otherwise(tmp_path: Path) -> None:
    def scene(policy: str, *allowed: str) -> list[str]:
        folder = tmp_path / f"{policy}{len(allowed)}"
        settings = PullSettings(records=folder, verification=Verification(policy, allowed))
        return used_by(Images(Guarded("alice", images=["r.test/app:1"]), SystemClock(), settings), "", "alice", "")

    refused = ["ErrImagePull", "ok", "ErrImagePull"]
    assert scene("NeverVerifyPreloadedImages") == ["ok", "ok", "ok"]
    assert scene("AlwaysVerify") == refused
    assert scene("NeverVerifyAllowlistedImages") == refused
    assert scene("NeverVerifyAllowlistedImages", "r.test/app") == ["ok", "ok", "ok"]


def test_an_image_that_was_pulled_without_credentials_is_for_all(tmp_path: Path) -> None:
    runtime = Guarded("", "alice")
    images = Images(runtime, SystemClock(), PullSettings(records=tmp_path))
    assert used_by(images, "", "mallory", "alice") == ["ok", "ok", "ok"]
    assert runtime.tried == [""]


def test_who_waits_for_the_pull_of_another_must_have_credentials_too(tmp_path: Path) -> None:
    async def run() -> list[Any]:
        clock = SystemClock()
        runtime = Guarded("alice")
        runtime.pulls = lambda name: Pull(seconds=0.05)
        images = Images(runtime, clock, PullSettings(records=tmp_path))

        async def one(user: str) -> str:
            wanted = pod({"name": "main", "image": "r.test/app:1"}, imagePullSecrets=[{"name": user}])
            data = secret({"r.test": {"username": user, "password": "p"}})
            try:
                await images.ensure(wanted, wanted.spec.containers[0], lambda plural, name: data, lambda t, r, m: None)
            except RuntimeFailure as failure:
                return failure.reason
            return "ok"

        return await asyncio.gather(one("alice"), one("mallory"), one("alice"))

    assert asyncio.run(run()) == ["ok", "ErrImagePull", "ok"]


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (
            "RegistryUnavailable: no route",
            "RegistryUnavailable",
            "image pull failed for app:1 because the registry is unavailable: no route",
        ),
        (
            "SignatureValidationFailed: who?",
            "SignatureValidationFailed",
            "image pull failed for app:1 because the signature validation failed: who?",
        ),
        ("no such host", "ErrImagePull", 'failed to pull image "app:1": no such host'),
    ],
)
def test_what_the_runtime_names_is_named(error: str, reason: str, message: str) -> None:
    async def run() -> RuntimeFailure:
        runtime = FakeRuntime(SystemClock(), SeededIds(1), pulls=lambda name: Pull(error=error))
        found = pod({"name": "main", "image": "app:1"})
        with pytest.raises(RuntimeFailure) as caught:
            await Images(runtime, SystemClock()).ensure(
                found, found.spec.containers[0], lambda plural, name: None, lambda t, r, m: None
            )
        return caught.value

    failure = asyncio.run(run())
    assert (failure.reason, str(failure)) == (reason, message)
