"""`/version`: which Kubernetes API we speak, and which release of ours speaks it."""

from __future__ import annotations

import platform

import orjson

from navarch import __version__

KUBERNETES = "1.36.0"


def document() -> bytes:
    major, minor, _ = KUBERNETES.split(".")
    return orjson.dumps(
        {
            "major": major,
            "minor": minor,
            "emulationMajor": major,
            "emulationMinor": minor,
            "minCompatibilityMajor": major,
            "minCompatibilityMinor": str(int(minor) - 1),
            "gitVersion": f"v{KUBERNETES}+navarch.{__version__}",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": platform.python_implementation(),
            "platform": f"linux/{MACHINES.get(platform.machine(), platform.machine())}",
        },
        option=orjson.OPT_INDENT_2,
    )


MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
