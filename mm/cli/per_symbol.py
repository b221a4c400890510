"""Several symbols in one command: one process per symbol, and one combined answer."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mm.base.knobs import shown
from mm.errors import Incomplete
from mm.runs.manifest import SetKnob
from mm.terminal.console import Console, write_line


def each_symbol(console: Console, symbols: Sequence[str], program: str, settings: Mapping[str, SetKnob]) -> None:
    """Run as many processes at a time as there are processors."""
    command = [*_words(program), *(["--json"] if console.as_json else [])]
    for name, setting in settings.items():
        if setting.source == "flag" and name != "symbol":
            command += [setting.flag, shown(setting.value)]
    with ThreadPoolExecutor(max_workers=os.cpu_count() if settings["out_dir"].value is None else 1) as pool:
        ended = list(pool.map(lambda symbol: _run([*command, "--symbol", symbol], symbol), symbols))
    answers: dict[str, Any] = {}
    for symbol, done in zip(symbols, ended, strict=True):
        for line in done.stderr.splitlines():
            write_line(sys.stderr, f"{symbol}  {line}")
        for line in (line for line in done.stdout.splitlines() if not line.startswith("set by ")):  # said once, above
            console.print(f"{symbol}  {line}")
            if console.as_json:
                answers[symbol] = json.loads(line)
    console.set_json({"symbols": answers})
    failed = {symbol: process.returncode for symbol, process in zip(symbols, ended, strict=True) if process.returncode}
    if failed:
        failures = ", ".join(f"{symbol} (exit {code})" for symbol, code in failed.items())
        others = ", ".join(symbol for symbol in symbols if symbol not in failed)
        kept = f"; {others} succeeded" if others else ""
        raise Incomplete(f"{failures} failed{kept}; the error of each is above", next(iter(failed.values())))


def _words(program: str) -> list[str]:
    first, *rest = program.split()
    return [sys.executable, *rest] if first == "python" else [sys.executable, "-m", "mm", *rest]


def _run(command: Sequence[str], symbol: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYMBOL": symbol}
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
