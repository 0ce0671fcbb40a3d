"""What the server is told to record: from its settings to a policy and a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.app.layout import BadSettings, Layout, Settings
from navarch.app.server import audit_settings

POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"


def test_nothing_is_recorded_unless_a_policy_says_so(tmp_path: Path) -> None:
    assert audit_settings(Layout(tmp_path), Settings("a", "192.0.2.1")) is None


def test_the_file_lies_beside_the_other_logs_unless_another_is_named(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    found = audit_settings(Layout(tmp_path), Settings("a", "192.0.2.1", audit_policy_file=str(policy)))
    assert found is not None
    assert found.log.path == str(tmp_path / "log" / "audit.log")
    assert (found.log.size_bytes, found.log.backups) == (100 << 20, 10)
    named = Settings("a", "192.0.2.1", audit_policy_file=str(policy), audit_log_path="-", audit_log_maxsize=1)
    found = audit_settings(Layout(tmp_path), named)
    assert found is not None
    assert (found.log.path, found.log.size_bytes) == ("-", 1 << 20)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    layout, bad = Layout(tmp_path), tmp_path / "bad.yaml"
    with pytest.raises(BadSettings, match="--audit-policy-file"):
        audit_settings(layout, Settings("a", "192.0.2.1", audit_log_path="/x"))
    with pytest.raises(BadSettings, match="No such file"):
        audit_settings(layout, Settings("a", "192.0.2.1", audit_policy_file=str(bad)))
    bad.write_text(POLICY.replace("Metadata", "All"))
    with pytest.raises(BadSettings, match=r"rules\[0\]\.level"):
        audit_settings(layout, Settings("a", "192.0.2.1", audit_policy_file=str(bad)))
