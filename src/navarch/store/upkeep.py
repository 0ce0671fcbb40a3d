"""Keeps a SQLite file small: empties its write-ahead log and gives freed pages back to the disk.

Runs on the store's writer thread, after the writers of a commit were answered, so that nobody waits for it. SQLite's
own checkpoint inside COMMIT says nothing when it fails; this one is seen, logged once, and tried again as the log
grows: what is in the log is durable already, so a failure here loses nothing and refuses nobody.

Source: https://www.sqlite.org/wal.html#ckpt, https://www.sqlite.org/pragma.html#pragma_incremental_vacuum
"""

from __future__ import annotations

import apsw

from navarch.base.log import Log

log = Log("store")

LOG_PAGES = 1000
"""The log is emptied into the database from this length on (4 MB)."""
FREE_PAGES = 256
"""Free pages that are kept for the next rows, and how many are given back in one go."""


class Upkeep:
    """Of one connection, the one that writes."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._log_pages = 0
        self._due_pages = LOG_PAGES
        self._failing = False
        connection.set_wal_hook(self._committed)

    @property
    def failing(self) -> bool:
        """The last attempt failed; the log grows meanwhile."""
        return self._failing

    def _committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def after_commit(self, freed: bool) -> None:
        """freed: the commit deleted rows."""
        try:
            if freed:
                self._give_back()
            if self._log_pages >= self._due_pages:
                self._empty_log()
        except apsw.Error as error:
            self._failed(error)

    def _give_back(self) -> None:
        execute = self._connection.execute
        if execute("PRAGMA freelist_count").get > FREE_PAGES:
            execute(f"PRAGMA incremental_vacuum({FREE_PAGES})").fetchall()

    def _empty_log(self) -> None:
        pages, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if self._failing:
            log.info("the store's log is emptied again", pages=moved)
        self._failing = False
        self._due_pages = LOG_PAGES if moved >= pages else self._log_pages + LOG_PAGES // 4

    def _failed(self, error: apsw.Error) -> None:
        """Wait for the log to grow by some before the next attempt: each one writes what the last one did."""
        if not self._connection.getautocommit():
            self._connection.execute("ROLLBACK")
        self._due_pages = max(LOG_PAGES, self._log_pages + LOG_PAGES // 4)
        if not self._failing:
            log.warning(
                "the store's log cannot be emptied into the database and grows meanwhile; nothing is lost",
                error=f"{type(error).__name__}: {error}",
                pages=self._log_pages,
            )
        self._failing = True
