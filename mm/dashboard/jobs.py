"""A command as a separate process: started and followed from a page, ended with the dashboard."""

import atexit
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mm.base.knobs import REQUIRED, Knob
from mm.cli.env_file import ENV_FILE, NO_FILE
from mm.errors import Sentence, UsageError, parameter

ENDING_S = 3.0
"""Time for a process to end gracefully before it is killed, s."""
_SHARE = re.compile(r"(\w+)  \[[#-]+\]\s+(\d+)%")
_ERROR = re.compile(r"error: (.*)")
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASS|CREDENTIAL|TRADE_PRODUCTION")
_PASSWORD = re.compile(r"\w+://[^/@\s]*:[^/@\s]+@")  # in an address
_RUNNING: set["StartedCommand"] = set()


def words_of(command: str, texts: Mapping[str, str], knobs: Iterable[Knob]) -> list[str]:
    declared = {knob.name: knob for knob in knobs}
    if unknown := texts.keys() - declared.keys():
        raise UsageError(f"mm {command} has no knob {sorted(unknown)[0]!r}")
    words = ["mm", command]
    for name, knob in declared.items():
        text = texts.get(name, "").strip()
        if text:
            for part in text.split(knob.joined) if knob.joined else [text]:
                if part.strip():
                    words += [knob.flag, part.strip()]
            knob.read(text)
        elif knob.default is REQUIRED:
            raise UsageError(Sentence("{} is missing; fill it in", parameter(knob.name)))
    return words


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """A job runs code that a knob names, so it inherits no keys, tokens or passwords."""
    kept = {
        name: value
        for name, value in environment.items()
        if not _SECRET.search(name.upper()) and not _PASSWORD.search(value)
    }
    return kept | {ENV_FILE: NO_FILE}


class StartedCommand:
    def __init__(self, words: Sequence[str], name: str) -> None:
        self.name, self.line = name, shlex.join(words)
        self._output = ""
        # The command draws its progress only on a terminal.
        terminal, behind = pty.openpty()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mm", *words[1:], "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=behind,
                env={**without_secrets(os.environ), "NO_COLOR": "1"},
            )
        finally:
            os.close(behind)
        self._answer = b""
        self._readers = [
            threading.Thread(target=target, daemon=True) for target in (partial(self._read, terminal), self._take)
        ]
        for reader in self._readers:
            reader.start()
        _RUNNING.add(self)

    @property
    def running(self) -> bool:
        if self._process.poll() is None:
            return True
        _RUNNING.discard(self)
        return False

    @property
    def code(self) -> int | None:
        return self._process.poll()

    @property
    def share(self) -> tuple[str, float]:
        shares = _SHARE.findall(self._output)
        return (shares[-1][0], int(shares[-1][1]) / 100) if shares else ("starting", 0.0)

    @property
    def error(self) -> str:
        self._wait()
        errors = _ERROR.findall(self._output.replace("\r", ""))
        return str(errors[-1]) if errors else ""

    def answer(self) -> dict[str, Any]:
        self._wait()
        lines = self._answer.decode().splitlines()
        answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return answer

    def folder(self) -> Path | None:
        path = self.answer().get("path")
        return Path(path).parent if path else None

    def end(self) -> None:
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _RUNNING.discard(self)

    def _wait(self) -> None:
        for reader in self._readers:
            reader.join(ENDING_S)

    def _take(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as file:
            self._answer = file.read()

    def _read(self, terminal: int) -> None:
        with suppress(OSError):
            while piece := os.read(terminal, 65_536):
                self._output = (self._output + piece.decode(errors="replace"))[-65_536:]
        os.close(terminal)


@atexit.register
def end_all() -> None:
    for job in list(_RUNNING):
        job.end()
