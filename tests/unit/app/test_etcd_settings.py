"""What `navarch server` is told of etcd, and how it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.app.layout import Layout, Settings, load_settings, save_settings
from navarch.app.machine import check_endpoints, keep_server_settings, seconds
from navarch.app.server import etcd_settings


@pytest.mark.parametrize(
    ("text", "means"),
    [("5m", 300), ("90s", 90), ("1h30m", 5400), ("0", 0), ("0s", 0), ("1.5s", 1.5), ("250ms", 0.25), ("7", 7)],
)
def test_a_duration_is_read(text: str, means: float) -> None:
    assert seconds(text) == means


@pytest.mark.parametrize("text", ["", "m", "5 m", "-5m", "5d", "5m!", "ms5"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


def test_every_member_is_looked_at() -> None:
    check_endpoints("http://a:1,https://b")
    with pytest.raises(ValueError, match="'b:1' is no URL of an etcd member"):
        check_endpoints("http://a:1,b:1")


def test_what_is_said_is_kept_and_the_rest_left(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    keep_server_settings(layout, {})
    assert load_settings(layout) is None, "nothing said, nothing made"
    save_settings(layout, Settings("me", "127.0.0.1", api_port=7443))
    keep_server_settings(layout, {"etcd_servers": ["http://a:1"], "etcd_compaction_interval_s": 0.0})
    found = load_settings(layout)
    assert found is not None
    assert (found.node_name, found.api_port, found.etcd_servers) == ("me", 7443, ("http://a:1",))
    made = etcd_settings(found)
    assert (made.endpoints, made.prefix, made.compaction_s) == (("http://a:1",), "/registry", 0.0)
    assert (made.ca, made.certificate, made.key) == (None, None, None)


def test_files_for_tls_are_paths() -> None:
    made = etcd_settings(Settings("me", "127.0.0.1", etcd_cafile="/a", etcd_certfile="/b", etcd_keyfile="/c"))
    assert (made.ca, made.certificate, made.key) == (Path("/a"), Path("/b"), Path("/c"))
