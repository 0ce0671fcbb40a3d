"""A SQLite file system that fails where it is told to, in this process."""

from __future__ import annotations

import itertools
from typing import Any

import apsw

_numbers = itertools.count()


class FaultyVfs(apsw.VFS):
    """fails: (what, end of the file's name), such as ("sync", "-wal"); what is "sync" or "write"."""

    def __init__(self) -> None:
        self.name = f"faulty{next(_numbers)}"
        self.fails: set[tuple[str, str]] = set()
        self.error: type[apsw.Error] = apsw.IOError
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: Any) -> FaultyFile:
        return FaultyFile(self, name, flags)

    def check(self, what: str, file: str) -> None:
        if any(what == failing and file.endswith(end) for failing, end in self.fails):
            raise self.error(f"planted: cannot {what} {file}")


class FaultyFile(apsw.VFSFile):
    def __init__(self, vfs: FaultyVfs, name: Any, flags: Any) -> None:
        self.vfs = vfs
        self.file = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:
        self.vfs.check("sync", self.file)
        super().xSync(flags)

    def xWrite(self, data: Any, offset: int) -> None:
        self.vfs.check("write", self.file)
        super().xWrite(data, offset)
