"""The server with a weakness planted in its store, to prove that the durability tests can fail.

`weak_server.py normal DATA RUN` does not wait for the disk; `weak_server.py eio=FILE DATA RUN` has every sync fail with
EIO for as long as FILE exists.
"""

from __future__ import annotations

import sys
from pathlib import Path

import apsw

from navarch.app import server
from navarch.store import sqlite


class FailingFile(apsw.VFSFile):
    def __init__(self, flag: Path, name: object, flags: object) -> None:
        super().__init__("", name, flags)  # type: ignore[arg-type]
        self.flag = flag

    def xSync(self, flags: int) -> None:
        if self.flag.exists():
            raise apsw.IOError("planted: the disk failed")
        super().xSync(flags)


class FailingVfs(apsw.VFS):
    def __init__(self, flag: Path) -> None:
        self.flag = flag
        super().__init__("failing", "")

    def xOpen(self, name: object, flags: object) -> FailingFile:
        return FailingFile(self.flag, name, flags)


weakness, *arguments = sys.argv[1:]
if weakness == "normal":
    settings = sqlite.Settings(synchronous="NORMAL")
else:
    vfs = FailingVfs(Path(weakness.removeprefix("eio=")))
    settings = sqlite.Settings(vfs="failing")
sqlite.Settings = lambda: settings  # type: ignore[assignment,misc]
sys.exit(server.run_process(arguments, server.serve))
