"""A logger of events: a name and numbers, ``log.info("day_loaded", events=804_000, took_ms=310)``."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

Write = Callable[[str, str, Mapping[str, Any]], None]
"""Writes one line: the level in lower case, the event, and its values."""


class Logger:
    """Passes events from a level on, each with the bound values, and after them its own.

    Any thread may log, if *write* may be called by any.

    Args:
        write: Writes a line.
        least: The lowest level that is passed on, of `logging`.
        bound: Values of each line.
    """

    __slots__ = ("_bound", "_least", "_write")

    def __init__(self, write: Write, least: int = logging.INFO, bound: Mapping[str, Any] | None = None) -> None:
        self._write, self._least, self._bound = write, least, dict(bound or {})

    def bind(self, **values: Any) -> "Logger":
        """Return a logger to the same place with more bound values."""
        return Logger(self._write, self._least, {**self._bound, **values})

    def debug(self, event: str, **values: Any) -> None:
        """Log an event that only development needs."""
        self._pass_on(logging.DEBUG, "debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        """Log an event of a normal run."""
        self._pass_on(logging.INFO, "info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Log an event that a person should read."""
        self._pass_on(logging.WARNING, "warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        """Log an event after which something does not work."""
        self._pass_on(logging.ERROR, "error", event, values)

    def critical(self, event: str, **values: Any) -> None:
        """Log an event that ends the run, or needs a person now."""
        self._pass_on(logging.CRITICAL, "critical", event, values)

    def _pass_on(self, number: int, level: str, event: str, values: Mapping[str, Any]) -> None:
        if number >= self._least:
            self._write(level, event, {**self._bound, **values})
