"""Credential plugins: their configuration, what they are asked, and how long their answers hold."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from navarch.agent.pulling.keyring import Origin
from navarch.agent.pulling.names import parse
from navarch.agent.pulling.plugins import Account, NoAnswer, Plugins, read_answer
from navarch.agent.pulling.providers import BadProviders, Provider, TokenAttributes, read_providers, seconds
from navarch.base.clock import SystemClock
from navarch.kinds.pod import Pod
from tests.unit.agent.pods import pod

V1 = "credentialprovider.kubelet.k8s.io/v1"
GOOD: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1",
    "kind": "CredentialProviderConfig",
    "providers": [
        {
            "name": "keys",
            "matchImages": ["*.r.test", "r.test:5000/team"],
            "defaultCacheDuration": "1h30m",
            "apiVersion": V1,
            "args": ["get"],
            "env": [{"name": "REGION", "value": "north"}],
        }
    ],
}
TOKENS = {"serviceAccountTokenAudience": "r.test", "cacheType": "Token", "requireServiceAccount": True}


def with_(**changes: Any) -> str:
    entry = {**GOOD["providers"][0], **changes}
    return yaml.safe_dump({**GOOD, "providers": [{key: value for key, value in entry.items() if value is not None}]})


def test_a_good_configuration_is_read() -> None:
    [found] = read_providers(json.dumps(GOOD))
    assert found == Provider("keys", ("*.r.test", "r.test:5000/team"), 5400.0, V1, ("get",), (("REGION", "north"),))
    assert found.wants("eu.r.test/a")
    assert found.wants("r.test:5000/team/a")
    assert not found.wants("r.test/a")
    [found] = read_providers(with_(tokenAttributes={**TOKENS, "requiredServiceAccountAnnotationKeys": ["team"]}))
    assert found.token == TokenAttributes("r.test", True, ("team",), (), True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no YAML"),
        ("[]", "no CredentialProviderConfig"),
        (yaml.safe_dump({**GOOD, "kind": "X"}), "no CredentialProviderConfig"),
        (yaml.safe_dump({**GOOD, "providers": []}), "at least one"),
        (yaml.safe_dump({**GOOD, "extra": 1}), "unknown field extra"),
        (yaml.safe_dump({**GOOD, "providers": GOOD["providers"] * 2}), "each name"),
        (yaml.safe_dump({**GOOD, "providers": ["x"]}), "providers[0] is no object"),
        (with_(name="../sh"), "providers[0].name"),
        (with_(apiVersion="v1"), "providers[0].apiVersion"),
        (with_(matchImages=[]), "providers[0].matchImages"),
        (with_(defaultCacheDuration=None), "defaultCacheDuration: is required"),
        (with_(defaultCacheDuration="soon"), "no duration"),
        (with_(env=[1]), "providers[0].env"),
        (with_(typo=1), "unknown field typo"),
        (with_(tokenAttributes={}), "serviceAccountTokenAudience: is required"),
        (with_(tokenAttributes={**TOKENS, "cacheType": "x"}), "cacheType: must be"),
        (with_(tokenAttributes={**TOKENS, "requireServiceAccount": None}), "requireServiceAccount"),
        (
            with_(
                tokenAttributes={
                    **TOKENS,
                    "requireServiceAccount": False,
                    "requiredServiceAccountAnnotationKeys": ["a"],
                }
            ),
            "needs requireServiceAccount",
        ),
        (with_(apiVersion="credentialprovider.kubelet.k8s.io/v1beta1", tokenAttributes=TOKENS), "is only for"),
    ],
)
def test_a_bad_configuration_is_refused_with_the_place(text: str, why: str) -> None:
    with pytest.raises(BadProviders) as caught:
        read_providers(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(("text", "found"), [("0", 0.0), ("0s", 0.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("10ms", 0.01)])
def test_durations(text: str, found: float) -> None:
    assert seconds(text) == pytest.approx(found)


@pytest.mark.parametrize("text", ["", "1", "h", "1h 2m", "-1s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


# the programs

SCRIPT = """#!/bin/sh
echo "$1 $REGION $(cat)" >>"$0.asked"
cat "$0.answer"
"""


def answer(scope: str = "Image", auth: Any = None, **more: Any) -> dict[str, Any]:
    given = {"r.test": {"username": "u", "password": "p"}} if auth is None else auth
    return {
        "kind": "CredentialProviderResponse",
        "apiVersion": V1,
        "cacheKeyType": scope,
        "auth": given,
        **more,
    }


class FakeAccounts:
    def __init__(self, **annotations: str) -> None:
        self._annotations = annotations
        self.tokens = 0

    async def find(self, pod: Pod) -> Account:
        return Account(Origin("sa-uid", pod.metadata.namespace, pod.spec.service_account_name), self._annotations)

    async def token(self, pod: Pod, audience: str) -> str:
        self.tokens += 1
        return f"token-{self.tokens}-for-{audience}"


class Scene:
    def __init__(self, folder: Path, told: Any, accounts: FakeAccounts | None = None, **changes: Any) -> None:
        self.program = folder / "keys"
        self.program.write_text(SCRIPT)
        self.program.chmod(0o755)
        text = told if isinstance(told, str) else json.dumps(told)
        (folder / "keys.answer").write_text(text)
        providers = read_providers(with_(matchImages=["r.test", "*.r.test"], **changes))
        self.plugins = Plugins(providers, folder, SystemClock(), accounts)

    def ask(self, *images: str, account: str = "default") -> list[list[str]]:
        """The user names that each image gets."""

        async def run() -> list[list[str]]:
            found = []
            for image in images:
                given = await self.plugins.credentials(pod(serviceAccountName=account), image, parse(image))
                found.append([credential.auth.username for credential in given])
            return found

        return asyncio.run(run())

    @property
    def asked(self) -> list[Any]:
        path = Path(f"{self.program}.asked")
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line.split(" ", 2)[2]) for line in lines]


def test_a_plugin_is_asked_for_its_images_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, answer())
    assert scene.ask("r.test/a:1", "other.test/a:1") == [["u"], []]
    assert scene.asked == [{"kind": "CredentialProviderRequest", "apiVersion": V1, "image": "r.test/a:1"}]
    assert Path(f"{scene.program}.asked").read_text().startswith("get north ")


@pytest.mark.parametrize(("scope", "times"), [("Image", 3), ("Registry", 2), ("Global", 1)])
def test_answers_hold_for_what_they_say(tmp_path: Path, scope: str, times: int) -> None:
    scene = Scene(tmp_path, answer(scope, {"*.test": {"username": "u"}, "*.*.test": {"username": "u"}}))
    images = ("r.test/a:1", "r.test/b:1", "eu.r.test/a:1", "r.test/a:1", "r.test/b:1")
    assert scene.ask(*images) == [["u"]] * 5
    assert len(scene.asked) == times


def test_answers_that_hold_for_no_time_are_asked_for_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, answer(cacheDuration="0s"))
    assert scene.ask("r.test/a:1", "r.test/a:1") == [["u"], ["u"]]
    assert len(scene.asked) == 2


@pytest.mark.parametrize("told", ["", "no json", "[]", answer("Elsewhere"), {**answer(), "apiVersion": "v2"}])
def test_a_plugin_that_says_nonsense_gives_nothing(tmp_path: Path, told: Any) -> None:
    assert Scene(tmp_path, told).ask("r.test/a:1") == [[]]


def test_a_plugin_that_fails_or_is_not_there_gives_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, answer())
    scene.program.write_text("#!/bin/sh\nexit 3\n")
    assert scene.ask("r.test/a:1") == [[]]
    scene.program.unlink()
    assert scene.ask("r.test/a:1") == [[]]


@pytest.mark.parametrize("auth", [[1], {"r": 1}, "x"])
def test_an_answer_without_credentials_is_none(auth: Any) -> None:
    with pytest.raises(NoAnswer):
        read_answer(json.dumps(answer(auth=auth)).encode(), V1)


def test_a_token_of_the_pods_account_is_handed_on(tmp_path: Path) -> None:
    tokens = {**TOKENS, "requiredServiceAccountAnnotationKeys": ["team"], "optionalServiceAccountAnnotationKeys": ["x"]}
    scene = Scene(tmp_path, answer(), FakeAccounts(team="red"), tokenAttributes=tokens)
    assert scene.ask("r.test/a:1") == [["u"]]
    [request] = scene.asked
    assert request["serviceAccountToken"] == "token-1-for-r.test"
    assert request["serviceAccountAnnotations"] == {"team": "red"}
    assert scene.ask("r.test/a:1", account="") == [[]], "it requires an account"
    lacking = Scene(tmp_path, answer(), FakeAccounts(), tokenAttributes=tokens)
    assert lacking.ask("r.test/a:1") == [[]], "it is only asked for accounts with the annotation"
    assert len(lacking.asked) == 1


@pytest.mark.parametrize(("kind", "times"), [("Token", 2), ("ServiceAccount", 1)])
def test_answers_for_an_account_hold_for_it_or_for_its_token(tmp_path: Path, kind: str, times: int) -> None:
    scene = Scene(tmp_path, answer("Global"), FakeAccounts(), tokenAttributes={**TOKENS, "cacheType": kind})
    assert scene.ask("r.test/a:1", "r.test/a:1") == [["u"], ["u"]]
    assert len(scene.asked) == times
    assert scene.ask("r.test/a:1", account="other") == [["u"]]
    assert len(scene.asked) == times + 1
