"""A way for pods through a host's own firewall, where its default is to forward nothing.

Docker, for one, sets the policy of iptables' FORWARD chain to DROP; pods would then reach neither the world nor, where
bridged packets are filtered, each other. A rule of another table cannot overrule that, so the rules go into that chain.
"""

from __future__ import annotations

import shutil
import subprocess

from navarch.base.errors import Retryable


def let_through(pod_cidr: str) -> None:
    """Harmless when repeated, and where nothing is barred. Raises: Retryable."""
    if not _barred():
        return
    for rule in _rules(pod_cidr):
        if not _is_there(rule):
            done = _iptables("-I", *rule)
            if done.returncode:
                raise Retryable(f"pods cannot be let through the firewall: {done.stderr.strip()}")


def stop_letting_through(pod_cidr: str) -> None:
    if shutil.which("iptables") is None:
        return
    for rule in _rules(pod_cidr):
        while _is_there(rule) and not _iptables("-D", *rule).returncode:
            pass


def _barred() -> bool:
    if shutil.which("iptables") is None:
        return False
    return _iptables("-S", "FORWARD").stdout.startswith("-P FORWARD DROP")


def _rules(pod_cidr: str) -> tuple[tuple[str, ...], ...]:
    return tuple(("FORWARD", side, pod_cidr, "-j", "ACCEPT") for side in ("-s", "-d"))


def _is_there(rule: tuple[str, ...]) -> bool:
    return _iptables("-C", *rule).returncode == 0


def _iptables(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["iptables", "-w", "5", *arguments], capture_output=True, text=True, timeout=30)
