"""The example's device plugin, as tests use it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[4] / "examples" / "device-plugin" / "plugin.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("device_plugin_example", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DevicePlugin = load().DevicePlugin
