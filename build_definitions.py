"""Takes the published Kubernetes v1.36 definitions out of `kubernetes-validate` into the package, at build time.

Run by hatchling for every wheel and editable install; run it by hand (`python build_definitions.py`) in a checkout
that is used without installing. The file is data under Apache-2.0 (see NOTICE) and is never committed.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

VERSION = "v1.36.0-local"
TARGET = Path(__file__).parent / "src" / "navarch" / "kinds" / "definitions.json"


def write_definitions(target: Path = TARGET) -> int:
    """Write the definitions as one compact JSON object, name -> schema, and return how many there are."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise SystemExit("kubernetes-validate is not installed: pip install 'kubernetes-validate==1.36.0'")
    source = Path(spec.origin).parent / "kubernetes-json-schema" / VERSION / "_definitions.json"
    definitions: dict[str, Any] = json.loads(source.read_text())["$defs"]
    text = json.dumps(definitions, separators=(",", ":"), sort_keys=True)
    if not target.exists() or target.read_text() != text:
        target.write_text(text)
    return len(definitions)


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # a checkout without hatchling: only `write_definitions` is of use
    pass
else:

    class DefinitionsHook(BuildHookInterface):  # type: ignore[misc]
        """What hatchling calls before it collects the files of the wheel."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            write_definitions()


if __name__ == "__main__":
    print(f"{write_definitions()} definitions -> {TARGET}")
