"""Joining a real server over TLS, up to where containers would start: token, authority, certificates, the Node."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from navarch.app import ask, cidr, enrolment, identity, joining, tokens
from navarch.app.joining import Invitation
from navarch.app.layout import Layout, Settings, load_settings, save_settings
from navarch.app.provision import NotProvisioned
from navarch.base.certificate import read_pem
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import ApiError, Forbidden, Retryable
from navarch.base.pki import Authority, hosts_of, new_request, subject_of
from navarch.client.http import HttpClient
from navarch.client.target import Target
from navarch.kinds import CERTIFICATESIGNINGREQUEST, NODE, SECRET
from navarch.kinds.bootstraptoken import Token
from navarch.objects.value import dig

HASH = "sha256:" + "0" * 64


def until(what: str, found: Callable[[], Any], patience_s: float = 60.0) -> Any:
    deadline = time.monotonic() + patience_s
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what}: not within {patience_s:.0f} s"
        time.sleep(0.05)
    return answer


def quiet(text: str) -> None:
    """Nobody watches."""


class Home:
    """The machine of a server, which runs there."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.layout = Layout(folder / "data", folder / "run")
        self.settings = Settings("home", "127.0.0.1", api_port=port)
        save_settings(self.layout, self.settings)

    def token(self, **more: Any) -> Token:
        made = tokens.make(tokens.new_text(SystemIds()), SystemClock().now(), **more)
        tokens.create(self.layout, made)
        return made

    def invitation(self, name: str, number: int, token: Token | None = None, **more: Any) -> Invitation:
        text = (token or self.token()).text
        return Invitation(self.settings.public_url, text, name=name, address=f"192.0.2.{number}", **more)

    def ask(self, target: str, **more: Any) -> tuple[int, Any]:
        return ask.ask(self.layout.server_socket, target, **more)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    found = Home(tmp_path_factory.mktemp("home"))
    words = [sys.executable, "-m", "navarch.app.server", str(found.layout.data), str(found.layout.run)]
    with (found.layout.data / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        until("the server", lambda: not ask.server_is_ready(found.layout.server_socket), 90)
        yield found
    finally:
        process.terminate()
        process.wait(60)


def as_node(layout: Layout, settings: Settings, act: Callable[[HttpClient], Any]) -> Any:
    async def play() -> Any:
        who = identity.load_node(layout)
        async with HttpClient(enrolment.node_target(settings, who), "tests") as client:
            return await act(client)

    return asyncio.run(play())


def test_a_machine_joins_and_renews_what_it_shows(home: Home, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    hash_ = tokens.hash_of(home.layout.pki / "ca.crt")
    settings = joining.enter(layout, home.invitation("guest", 7, ca_hashes=(hash_,)), {"agent_port": 10999}, quiet)
    assert settings == load_settings(layout)
    assert (settings.server, settings.agent_port) == (home.settings.public_url, 10999)
    assert (settings.cluster_cidr, settings.dns_ip) == (home.settings.cluster_cidr, home.settings.dns_ip)
    assert joining.joined(layout, settings.server) == settings
    who = identity.load_node(layout)
    assert subject_of(who.node.certificate) == ("system:node:guest", ("system:nodes",))
    assert (layout.pki / "agent-client.key").stat().st_mode & 0o777 == 0o600

    status, node = home.ask("/api/v1/nodes/guest")
    assert status == 200
    assert node["spec"]["podCIDR"] == cidr.known(layout, settings) != ""

    serving = enrolment.wanted(settings)[1]
    assert enrolment.due_at(layout, settings, serving, 0.7) == enrolment.NOW, "what it has is for the beginning alone"
    addresses = {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.7"}]}}
    as_node(layout, settings, lambda client: client.patch(NODE, "", "guest", addresses, subresource="status"))
    assert asyncio.run(enrolment.renew(layout, settings, SystemClock(), 0.7)) == ["agent"]
    assert {"guest", "192.0.2.7"} == hosts_of(identity.load_node(layout).agent.certificate)
    assert asyncio.run(enrolment.renew(layout, settings, SystemClock(), 0.7)) == []
    assert asyncio.run(enrolment.renew(layout, settings, SystemClock(), 0.0)) == ["agent-client", "agent"]
    renewed = identity.load_node(layout)
    assert {renewed.node, renewed.agent}.isdisjoint({who.node, who.agent})
    assert as_node(layout, settings, lambda client: client.get(NODE, "", "guest")).name == "guest"
    _, requests = home.ask("/apis/certificates.k8s.io/v1/certificatesigningrequests")
    reasons = [
        one["status"]["conditions"][0]["message"] for one in requests["items"] if "guest" in one["spec"]["username"]
    ]
    assert any("self kubelet client" in reason for reason in reasons)
    assert any("kubelet serving" in reason for reason in reasons)


def test_a_node_may_delete_itself_and_no_other(home: Home, tmp_path: Path) -> None:
    layouts = [Layout(tmp_path / name, tmp_path / f"{name}-run") for name in ("one", "two")]
    one, two = (
        joining.enter(layout, home.invitation(layout.data.name, 20 + n), {}, quiet) for n, layout in enumerate(layouts)
    )
    with pytest.raises(Forbidden):
        as_node(layouts[0], one, lambda client: client.delete(NODE, "", "two"))
    as_node(layouts[0], one, lambda client: client.delete(NODE, "", "one"))
    assert home.ask("/api/v1/nodes/one")[0] == 404
    assert home.ask("/api/v1/nodes/two")[0] == 200
    with pytest.raises(NotProvisioned, match="has joined"):
        joining.joined(layouts[1], "https://192.0.2.99:6443")
    assert two.node_name == "two"


def test_a_newcomer_can_do_nothing_but_join(home: Home, tmp_path: Path) -> None:
    token = home.token()
    ca = (home.layout.pki / "ca.crt").read_bytes()
    newcomer = Target(home.settings.public_url, ca, token=token.text)
    key = (home.layout.pki / "agent.key").read_bytes()

    async def refused(act: Callable[[HttpClient], Any]) -> bool:
        async with HttpClient(newcomer, "tests") as client:
            with pytest.raises(Forbidden):
                await act(client)
        return True

    assert asyncio.run(refused(lambda client: client.list(SECRET, "kube-system")))
    assert asyncio.run(refused(lambda client: client.list(NODE)))
    assert asyncio.run(refused(lambda client: client.delete(NODE, "", "guest")))

    async def unsigned(common_name: str, groups: tuple[str, ...]) -> bool:
        """Asked for in vain: nobody approves it."""
        settings = Settings("x", "192.0.2.1", server=home.settings.public_url)
        request = new_request(key, common_name, groups)
        document = enrolment.new_document(settings, enrolment.wanted(settings)[0], request)
        async with HttpClient(newcomer, "tests") as client:
            made = await client.create(CERTIFICATESIGNINGREQUEST, document)
            good = await enrolment.enrol(
                client, Layout(tmp_path / "d", tmp_path / "r"), settings, enrolment.wanted(settings)[0], SystemClock()
            )
            assert good.certificate, "which was asked for later, so the other was looked at"
            found = await client.get(CERTIFICATESIGNINGREQUEST, "", made.name)
        return not dig(found.document(), "status", "certificate", default="")

    for name, groups in (("admin", ("system:masters",)), ("system:node:a", ("system:nodes", "system:masters"))):
        try:
            assert asyncio.run(unsigned(name, groups))
        except Forbidden:
            continue  # refused outright


@pytest.mark.parametrize("what", ["hash", "token", "deleted", "ended", "signing", "address"])
def test_a_machine_that_should_not_does_not_join(
    home: Home, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "SIGNED_S", 1.5 if what == "hash" else 0.0)
    layout = Layout(tmp_path / "data", tmp_path / "run")
    asked = home.invitation("stranger", 30)
    if what == "hash":
        asked, said = replace(asked, ca_hashes=(HASH,)), f"not {HASH}"
        monkeypatch.setattr(joining, "SIGNED_S", 30.0)
    elif what == "token":
        asked, said = (
            replace(asked, token=f"{asked.token[:-1]}{'0' if asked.token[-1] != '0' else '1'}"),
            "knows the token",
        )
    elif what == "deleted":
        tokens.delete(home.layout, asked.token)
        until("the signature to go", lambda: asked.token[:6] not in str(joining.cluster_info(asked.server)))
        said = "knows the token"
    elif what == "ended":
        token = home.token(life=tokens.LIFE)
        path = f"{tokens.SECRETS}/bootstrap-token-{token.id}"
        patch = {"stringData": {"expiration": "2020-01-01T00:00:00Z"}}
        assert home.ask(path, method="PATCH", body=patch, content_type="application/merge-patch+json")[0] == 200
        until("it to be cleared away", lambda: home.ask(path)[0] == 404)
        asked, said = replace(asked, token=token.text), "knows the token"
    elif what == "signing":
        asked, said = replace(asked, token=home.token(usages=["signing"]).text), "does not take the token"
        monkeypatch.setattr(joining, "SIGNED_S", 30.0)
    else:
        asked, said = replace(asked, server="https://127.0.0.1:1"), "no API server answers"
    with pytest.raises(NotProvisioned, match=said):
        joining.enter(layout, asked, {}, quiet)
    assert load_settings(layout) is None
    assert home.ask("/api/v1/nodes/stranger")[0] == 404


def test_a_name_that_lives_is_not_taken(home: Home, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    settings = joining.enter(layout, home.invitation("alive", 40), {}, quiet)
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    as_node(layout, settings, lambda client: client.patch(NODE, "", "alive", ready, subresource="status"))
    again = Layout(tmp_path / "again", tmp_path / "again-run")
    with pytest.raises(NotProvisioned, match="has a node alive, which is Ready"):
        joining.enter(again, home.invitation("alive", 41), {}, quiet)
    ready["status"]["conditions"][0]["status"] = "Unknown"
    as_node(layout, settings, lambda client: client.patch(NODE, "", "alive", ready, subresource="status"))
    assert joining.enter(again, home.invitation("alive", 41), {}, quiet).node_name == "alive"


def test_whoever_answers_in_the_cluster_s_place_is_not_believed(home: Home, tmp_path: Path) -> None:
    """Somebody between has the token's id and any text, but not its secret."""
    token = home.token()
    asked = home.invitation("x", 50, token)
    until("a signature", lambda: token.id in str(joining.cluster_info(asked.server)))
    data = joining.cluster_info(asked.server)
    assert joining.authority(data, asked) == (home.layout.pki / "ca.crt").read_bytes()
    mine = Authority.create("navarch-ca", SystemClock(), SystemIds()).pair.certificate
    from navarch.app.welcome import cluster_info

    with pytest.raises(joining.Unsigned):
        joining.authority({**data, "kubeconfig": cluster_info(home.settings, mine)}, asked)
    with pytest.raises(joining.Unsigned):
        joining.authority({}, asked)
    assert read_pem(mine).not_before < read_pem(mine).not_after


def test_the_commands_for_tokens(home: Home) -> None:
    def navarch(*words: str) -> subprocess.CompletedProcess[str]:
        folders = ["--data-dir", str(home.layout.data), "--run-dir", str(home.layout.run)]
        return subprocess.run(
            [sys.executable, "-m", "navarch", "token", *words, *folders], capture_output=True, text=True, timeout=120
        )

    made = navarch("create", "zzzzzz.0123456789abcdef", "--ttl", "2h", "--description", "for a test")
    assert made.returncode == 0, made.stderr
    hash_ = tokens.hash_of(home.layout.pki / "ca.crt")
    assert made.stdout.endswith(f"join {home.settings.public_url} --token zzzzzz.0123456789abcdef --ca-hash {hash_}\n")
    [row] = [line.split() for line in navarch("list").stdout.splitlines() if line.startswith("zzzzzz")]
    assert row == [
        "zzzzzz.0123456789abcdef",
        "2h",
        "authentication,signing",
        "system:bootstrappers:kubeadm:default-node-token",
        *["for", "a", "test"],
    ]
    again = navarch("create", "zzzzzz.0123456789abcdef")
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert navarch("delete", "zzzzzz").returncode == 0
    assert "zzzzzz" not in navarch("list").stdout
    assert navarch("delete", "zzzzzz").returncode == 1
    for words in (
        ("create", "short"),
        ("create", "--groups", "system:masters"),
    ):
        assert navarch(*words).returncode == 2, words


def test_a_request_that_is_refused_says_why(home: Home, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    settings = joining.enter(layout, home.invitation("wary", 60), {}, quiet)
    foreign = settings.having(node_ip="127.0.0.1")
    addresses = {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}
    as_node(layout, settings, lambda client: client.patch(NODE, "", "wary", addresses, subresource="status"))
    serving = enrolment.wanted(foreign)[1]

    async def ask_for(client: HttpClient) -> None:
        with pytest.raises(Retryable, match="was not signed within 1 s"):
            await enrolment.enrol(client, layout, foreign, serving, SystemClock(), wait_s=1.0)
        with pytest.raises(ApiError):
            await enrolment.enrol(
                client, layout, settings.having(node_name="!"), replace(serving, signer="x"), SystemClock()
            )

    as_node(layout, settings, ask_for)
