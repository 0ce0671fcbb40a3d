"""Logs: one line an event, a short text followed by its facts as `key=value` or as JSON.

It stands on the standard library's `logging`, so that what libraries log arrives in the same place; this module adds
the facts and the two formats, and leaves to `app` where the lines go and from which level on.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson

Format = Literal["text", "json"]

LEVELS = ("debug", "info", "warning", "error")


class Log:
    """The log of one room. Facts are keyword arguments: `log.info("listening", port=6443)`."""

    __slots__ = ("_logger",)

    def __init__(self, room: str) -> None:
        self._logger = logging.getLogger(f"navarch.{room}")

    def debug(self, text: str, /, **facts: Any) -> None:
        self._write(logging.DEBUG, text, facts)

    def info(self, text: str, /, **facts: Any) -> None:
        self._write(logging.INFO, text, facts)

    def warning(self, text: str, /, **facts: Any) -> None:
        self._write(logging.WARNING, text, facts)

    def error(self, text: str, /, **facts: Any) -> None:
        self._write(logging.ERROR, text, facts)

    def exception(self, text: str, /, **facts: Any) -> None:
        """A bug: with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, text, facts, traceback=True)

    def _write(self, level: int, text: str, facts: dict[str, Any], traceback: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", text, extra={"facts": facts}, exc_info=traceback, stacklevel=3)


def quoted(value: Any) -> str:
    """A fact's value on one line: bare where that is unambiguous, else as a JSON string."""
    text = value if isinstance(value, str) else str(value)
    if text and not any(mark in text for mark in ' "=\n\r\t\\'):
        return text
    return orjson.dumps(text).decode()


class TextFormat(logging.Formatter):
    """`2026-01-01T00:00:00.000Z INFO apiserver: listening port=6443`; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = "".join(f" {key}={quoted(value)}" for key, value in getattr(record, "facts", {}).items())
        text = record.getMessage().replace("\n", "\\n")
        line = f"{moment} {record.levelname} {record.name.removeprefix('navarch.')}: {text}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormat(logging.Formatter):
    """One JSON object a line; a traceback is its member `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "room": record.name.removeprefix("navarch."),
            "text": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str = "info", form: Format = "text", stream: TextIO | None = None) -> None:
    """Send everything from `level` on to `stream` (standard error); replaces what was configured before.

    Raises:
        ValueError: no such level or format.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is not one of {', '.join(LEVELS)}")
    if form not in ("text", "json"):
        raise ValueError(f"log format {form!r} is neither text nor json")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(TextFormat() if form == "text" else JsonFormat())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
