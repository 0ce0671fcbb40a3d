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
    tool = _tool(pod_cidr)
    if not _barred(tool):
        return
    for rule in _rules(pod_cidr):
        if not _is_there(tool, rule):
            done = _run(tool, "-I", *rule)
            if done.returncode:
                raise Retryable(f"pods cannot be let through the firewall: {done.stderr.strip()}")


def stop_letting_through(pod_cidr: str) -> None:
    tool = _tool(pod_cidr)
    if shutil.which(tool) is None:
        return
    for rule in _rules(pod_cidr):
        while _is_there(tool, rule) and not _run(tool, "-D", *rule).returncode:
            pass


def _tool(pod_cidr: str) -> str:
    return "ip6tables" if ":" in pod_cidr else "iptables"


def _barred(tool: str) -> bool:
    if shutil.which(tool) is None:
        return False
    return _run(tool, "-S", "FORWARD").stdout.startswith("-P FORWARD DROP")


def _rules(pod_cidr: str) -> tuple[tuple[str, ...], ...]:
    return tuple(("FORWARD", side, pod_cidr, "-j", "ACCEPT") for side in ("-s", "-d"))


def _is_there(tool: str, rule: tuple[str, ...]) -> bool:
    return _run(tool, "-C", *rule).returncode == 0


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool, "-w", "5", *arguments], capture_output=True, text=True, timeout=30)
