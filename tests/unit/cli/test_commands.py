"""The words of the command line: what is taken, what is refused, what is printed where no cluster is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from navarch import __version__
from navarch.cli.main import app

COMMANDS = ("up", "down", "status", "kubeconfig", "demo", "version", "image", "image import", "addon")
COMMANDS += ("addon enable", "net trace")


def play(words: str | Sequence[str], *more: str) -> Result:
    return CliRunner().invoke(app, [*(words.split() if isinstance(words, str) else words), *more], prog_name="navarch")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_says_what_it_does(command: str) -> None:
    for option in ("--help", "-h"):
        done = play(command, option)
        assert done.exit_code == 0
        assert f"Usage: navarch {command}".rstrip() in done.output


def every_command(command: Any, *words: str) -> Iterator[tuple[str, Any]]:
    yield " ".join(words), command
    for name, one in getattr(command, "commands", {}).items():
        yield from every_command(one, *words, name)


def visible(parts: Iterable[Any]) -> list[Any]:
    return [one for one in parts if not getattr(one, "hidden", False)]


@pytest.mark.parametrize(("words", "command"), every_command(get_command(app)))
def test_help_is_shown_whole(words: str, command: Any) -> None:
    """Whatever stands in brackets, however long the name of an option is."""
    shown = " ".join(play(words, "--help").output.split())
    parameters = visible(command.params)
    told = [one.help for one in parameters if getattr(one, "help", None)]
    told += [name for one in parameters if one.param_type_name == "option" for name in one.opts]
    told += [one.get_short_help_str(limit=1000) for one in visible(getattr(command, "commands", {}).values())]
    assert told, words
    assert [text for text in told if " ".join(text.split()) not in shown] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("up", "--no-such-option"), "No such option"),
        (("up", "--api-port", "many"), "integer"),
        (("up", "--api-port", "70000"), "must be between 1 and 65535"),
        (("up", "--agent-port", "-1"), "must be between 1 and 65535"),
        (("up", "--node-ip", "300.1.1.1"), "does not appear to be"),
        (("up", "--node-ip", "192.0.2.1,192.0.2.2"), "one of IPv4 and one of IPv6"),
        (("up", "--node-name", "Not A Name"), "cannot name a node"),
        (("up", "--registry", "nonsense://"), "is no registry"),
        (("up", "--registry", "a=ftp://b"), "is no URL of a registry"),
        (("status", "-o", "xml"), "is not one of"),
        (("image", "import"), "Missing argument"),
        (("image", "import", "/no/such/file.tar"), "does not exist"),
        (("addon", "enable", "sails"), "no add-on is called 'sails': there is gateway"),
        (("net", "trace", "pod/a"), "Missing argument"),
        (("net", "trace", "pod/a", "web", "--protocol", "icmp"), "is not one of"),
        (("sail",), "No such command"),
    ],
)
def test_wrong_words_are_named_and_end_with_2(words: tuple[str, ...], told: str) -> None:
    done = play(words)
    assert done.exit_code == 2
    assert told in " ".join(done.output.replace("│", " ").split())


def test_the_version_is_told_in_both_forms() -> None:
    assert play("version").output.startswith(f"navarch {__version__} (Kubernetes API v1.36")
    assert json.loads(play("version -o json").output)["navarch"] == __version__


def test_where_no_cluster_is_the_status_says_so(tmp_path: Path) -> None:
    where = (f"--data-dir={tmp_path / 'data'}", f"--run-dir={tmp_path / 'run'}")
    done = play("status", *where)
    assert (done.exit_code, done.output) == (1, "There is no cluster on this machine. `navarch up` makes one.\n")
    found = json.loads(play("status -o json", *where).output)
    assert found["server"] == {"pid": None, "running": False, "restarts": 0, "lastExit": ""}
    assert (found["nodes"], found["addresses"]) == ([], {})
    assert play("down", *where).output == "There is no cluster on this machine.\n"


@pytest.mark.parametrize("words", ["addon list", "addon enable ingress", "addon disable ingress"])
def test_where_no_cluster_is_there_are_no_addons(tmp_path: Path, words: str) -> None:
    where = (f"--data-dir={tmp_path / 'data'}", f"--run-dir={tmp_path / 'run'}")
    done = play(words, *where)
    assert done.exit_code == 1
    assert "there is no server on this machine" in str(done.exception)
