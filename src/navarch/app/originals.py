"""How settings of this machine's kernel were before a node changed them, so that they can be put back.

Who changes one notes first what is to be there again; it is on the disk before anything is changed, and what was noted
once is not noted over, since after a crash it is our own value that is found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from navarch.app.layout import write_atomically
from navarch.base.log import Log

log = Log("machine")


@dataclass(frozen=True, slots=True)
class Originals:
    """file: where they are noted. root: below which settings are files, by keys such as `net/ipv4/ip_forward`."""

    file: Path
    root: Path = Path("/proc/sys")

    def read(self, key: str) -> str | None:
        """None where this kernel has no such setting. Raises: OSError, where it may not be read."""
        try:
            return (self.root / key).read_text().strip()
        except FileNotFoundError:
            return None

    def write(self, values: Mapping[str, str]) -> None:
        """Raises: OSError."""
        for key, value in values.items():
            (self.root / key).write_text(value)

    def note(self, before: Mapping[str, str]) -> None:
        """Raises: OSError."""
        known = self._noted()
        found = {**before, **known}
        if found != known:
            write_atomically(self.file, orjson.dumps(found).decode())

    def restore(self, keys: Collection[str] | None = None) -> None:
        """What was noted, of these or of all; harmless where nothing was. Raises: OSError."""
        noted = self._noted().items()
        self.write({key: value for key, value in noted if (keys is None or key in keys) and self.read(key) is not None})

    def _noted(self) -> dict[str, str]:
        try:
            return dict(orjson.loads(self.file.read_bytes()))
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError):
            log.warning("the settings from before cannot be read and will not be restored", file=self.file)
            return {}
