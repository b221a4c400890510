"""The terminal and the log of a run: results on stdout, logs and progress on stderr, JSON in run.log."""

import json
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from mm.base.held_file import hold_file
from mm.base.numbers import with_plain_minus
from mm.clock import iso, now_us

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

SECRET = re.compile(r"SECRET|PASSWORD|PASSPHRASE|WEBHOOK|TOKEN(?!S_FILE)|KEY(?!_FILE)")  # in the name of a setting
FAILED = "run_failed"  # only in the file: the command line prints the message
_LEVELS = logging.getLevelNamesMapping()


def _structlog() -> Any:
    with ExitStack() as stack:
        if "rich" not in sys.modules:
            sys.modules["rich"] = None  # type: ignore[assignment]  # "not installed"
            stack.callback(sys.modules.pop, "rich")
        import structlog
    return structlog


class Log:
    def __init__(self, path: Path | None, level: str, prefix: str = "", **bound: Any) -> None:
        structlog = _structlog()
        self._prefix = prefix  # of its lines on the terminal
        self.path, self._least = path, _LEVELS[level]
        self._hidden = {"ts", "level", "event", "run_id", *bound}  # on the terminal, or in front there
        self._file: TextIO | None = None
        self._refused = False
        self._behind: SimpleQueue[Callable[[], None] | None] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
            hold_file(self._file.fileno())  # mm watchdog sees by it whether the process lives
        # LOG_LEVEL does not reduce the file, because only the file is kept.
        kept = self._least if self._file is None else min(self._least, logging.INFO)
        wrapper = structlog.make_filtering_bound_logger(kept)
        self.logger: Logger = structlog.wrap_logger(
            None, [structlog.processors.add_log_level, self._write], wrapper_class=wrapper, **bound
        )
        self._others = _Forward(self.logger)
        logging.getLogger().addHandler(self._others)
        logging.captureWarnings(True)

    def failed(self, error: BaseException, exit_code: int) -> None:
        one_line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        trace = "".join(traceback.format_exception(error))
        self.logger.critical(FAILED, error=one_line, exit_code=exit_code, traceback=trace)

    @contextmanager
    def behind(self) -> Iterator[None]:
        """Write lines in a thread until the block ends: a disk or a terminal's reader may be slow."""
        waiting = self._behind = SimpleQueue()

        def write_lines() -> None:
            while (write := waiting.get()) is not None:
                write()

        thread = Thread(target=write_lines, name="log", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._behind = None
            waiting.put(None)
            thread.join()

    def close(self) -> None:
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(self._others)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _write(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> NoReturn:
        import structlog

        line = {"ts": iso(now_us()), "level": event.pop("level"), "event": event.pop("event"), **event}
        if self._behind is None:
            self._write_line(line)
        else:
            self._behind.put(partial(self._write_line, line))
        raise structlog.DropEvent

    def _write_line(self, line: dict[str, Any]) -> None:
        self._append(json.dumps(line, default=str, ensure_ascii=False) + "\n")
        if line["event"] != FAILED and _LEVELS[line["level"].upper()] >= self._least:
            colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
            with suppress(OSError):
                write_line(sys.stderr, self._prefix + _for_terminal(line, self._hidden, colour=colour))

    def _append(self, line: str) -> None:
        """Drop what a disk refuses: a log must not end what it tells about."""
        if self._file is None or self._file.closed:
            return
        try:
            self._file.write(line)
        except OSError as error:
            if not self._refused:
                self._refused = True
                with suppress(OSError):
                    write_line(sys.stderr, f"{self.path}: the disk refuses lines of the log ({error})")


class _Forward(logging.Handler):
    def __init__(self, logger: "Logger") -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        log = self._logger.error if record.levelno >= logging.ERROR else self._logger.warning
        log("package_said", package=record.name, message=record.getMessage().partition("\n")[0])


def _for_terminal(line: dict[str, Any], hidden: Set[str], *, colour: bool) -> str:
    numbers = " ".join(f"{key}={_value(value)}" for key, value in line.items() if key not in hidden)
    text = f"{line['ts'][11:19]} {line['level']:<7} {line['event']} {numbers}".rstrip()
    return f"\x1b[2m{text}\x1b[0m" if colour else text


def _value(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text


def write_line(stream: TextIO, text: str) -> None:
    """Write a line, or nothing more once the reader has closed the pipe."""
    if _bars:  # the next step draws the bar again, below
        _to_terminal(sys.stderr, "\r\x1b[K")
    _to_terminal(stream, (text if stream.isatty() else with_plain_minus(text)) + "\n")


def _to_terminal(stream: TextIO, text: str) -> None:
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError as error:  # a terminal without "−", or the name of a folder that is not UTF-8
            stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        stream.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end; that must not fail, either.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@dataclass(frozen=True)
class Elsewhere:
    sources: Mapping[str, str]
    texts: Mapping[str, str]
    found: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        by_source: dict[str, list[str]] = {}
        for name, source in self.sources.items():
            text = "…" if SECRET.search(name) else shlex.quote(self.texts[name])
            by_source.setdefault(source, []).append(f"{name}={text}")
        if by_source:
            yield "set by " + "; ".join(f"{source}: {' '.join(words)}" for source, words in by_source.items())
        yield from (f"{asked} is {path}" for asked, path in self.found.items())


class Console:
    prefix = ""

    def __init__(self, *, as_json: bool, level: str, elsewhere: "Elsewhere | None" = None) -> None:
        self.as_json = as_json
        self.level = level
        self._elsewhere = elsewhere
        self._told = False
        self._json: Mapping[str, Any] | None = None
        self._log: Log | None = None

    def print(self, text: str) -> None:
        if self.as_json:
            return
        if self._elsewhere and not self._told:
            self._told = True
            for line in self._elsewhere.lines():
                write_line(sys.stdout, line)
        write_line(sys.stdout, text)

    def set_json(self, content: Mapping[str, Any]) -> None:
        """``--json`` prints it at the end, even after an error."""
        self._json = content

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
        if self.as_json and self._json is not None:
            settings = {"settings_from": self._elsewhere.sources} if self._elsewhere and self._elsewhere.sources else {}
            write_line(sys.stdout, json.dumps({**self._json, **settings}, allow_nan=False))

    @property
    def log(self) -> "Logger":
        if self._log is None:
            self._log = Log(None, self.level)
        return self._log.logger

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Draw a bar on a terminal, nothing in a pipe; yield a function that advances it."""
        if not sys.stderr.isatty() or self.level not in ("DEBUG", "INFO"):
            yield lambda _steps: None
            return
        lock = Lock()  # steps come from several threads
        with click.progressbar(length=max(total, 1), label=label, file=sys.stderr) as bar:

            def advance(steps: int) -> None:
                with lock:
                    bar.update(steps)

            _bars.append(bar)
            try:
                yield advance
            finally:
                _bars.remove(bar)


_bars: list[object] = []  # the bars of this terminal
