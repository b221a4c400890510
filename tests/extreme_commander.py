"""Runs a command of the program with one extreme value, a case a line of stdin, in a process that may die.

Each answer is one line: ``ok``, ``refused`` with the one line that was printed, or ``raised`` with anything else.
A command that runs until a signal gets one after a while.
"""

import io
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extreme_process import answer_lines
from mm.cli.commands import COMMANDS, SECTIONS
from mm.cli.frame import Program
from mm.cli.options import KnobOption

if TYPE_CHECKING:
    from mm.base.knobs import Knob
from mm.clock import day_of, now_us
from mm.errors import UsageError
from simulation import simulate_day
from state_servers import free_port
from support import ROOT

RUNS_S, TRADES_S = 1.5, 2.5
SYMBOL, DAYS = "SIMUSDT", ("20260105", "20260106", "20260107")
TEXTS = ["0", "1", "-1", "5e-324", "1e-300", "1e-9", "0.3", "1e6", "1e9", "1e18", "1e300", "-1e300", "1e400"]
TEXTS += ["nan", "inf", "-inf", "", str(2**31), str(2**53 + 1), str(2**63 - 1), str(2**63), str(-(2**63)), "9" * 40]
TEXTS += ["1e308", "9" * 5_000, "-0", "٣", "0x10", "1_000"]
ONE, ALL = ("--symbol", SYMBOL, "--day", DAYS[0]), ("--symbol", SYMBOL, "--day", f"{DAYS[0]}:{DAYS[-1]}")
UNREACHABLE = ("--rest-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9")
BASE = {
    "calibrate": ONE,
    "schedule": ONE,
    "fit": ("points.csv",),
    "fills score": ONE,
    "fills bounds": ONE,
    "fills fit": ONE,
    "signals compute": (*ONE, "--signals", "imbalance_1"),
    "signals score": (*ONE, "--signals", "imbalance_1"),
    "predict fit": (*ALL, "--signals", "imbalance_1", "--target", "return"),
    "sim day": ("--symbol", "OTHUSDT", "--day", DAYS[0], "--hours", "0.01", "--data-root", "made"),
    "sim serve": ("--symbol", "OTHUSDT"),
    "sim as2008": ("--paths", "2", "--gamma", "0.1"),
    "record": ("--symbol", SYMBOL, *UNREACHABLE, "--data-root", "recorded"),
    "walkforward": ALL,
    "sweep": (*ONE, "--grid", "QUOTE_QTY=1"),
    "evaluate": ONE,
    "backtest": ONE,
    "data import": ("table.csv", "--format", "table", "--symbol", "TABUSDT", "--data-root", "imported"),
    "sim api": ("--symbol", "OTHUSDT"),
    "latency": ("--symbol", SYMBOL, *UNREACHABLE),
    "rl referee": ("--seeds", "1", "--referee-timesteps", "1"),
    "trade": ("--window-start", "always", "--snapshot-limit", "100"),
    "shadow": ("--window-start", "always", "--snapshot-limit", "100"),
}
"""The words with which a command runs on the small days here, or at an exchange in a box."""
BY_BOUNDS = ("data import", "sim api", "latency", "rl referee", "trade", "shadow")
"""Commands that take each of their numbers at its bounds, since some numbers mean something else there."""
AT_BOX = ("trade", "shadow")
UNTIL_SIGNAL = ("sim serve", "record", "sim api", *AT_BOX)
NUMBERS = {"NUMBER", "INTEGER", "DECIMAL", "N,N,…"}
PORTS = ("--port", "--metrics-port")
LONG = ("--seeds", "--paths", "--search")
"""Counts of what a command plays: with many it takes hours, as it says."""


def commands(program: Program | None = None, above: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command of the program with its name."""
    program = program or Program("mm", "", COMMANDS, SECTIONS)
    context = click.Context(program)
    if program.has_own:
        yield " ".join(above), program.own()
    for name in program.list_commands(context):
        found = program.get_command(context, name)
        if isinstance(found, Program):
            yield from commands(found, (*above, name))
        else:
            yield " ".join((*above, name)), found


def numbers(command: click.Command) -> dict[str, "Knob"]:
    """Return a command's knobs that are a number, by flag."""
    own = [one.knob for one in command.params if isinstance(one, KnobOption)]
    return {one.flag: one for one in own if NUMBERS & set(one.reader.metavar.split("|"))}


def bounds(knob: "Knob") -> list[str]:
    """Return the least and the greatest number of a knob that its error names."""
    try:
        knob.read("x")
    except UsageError as error:
        return [text.rstrip(",") for pair in re.findall(r"between (\S+) and (\S+)", str(error)) for text in pair]
    return []


def accepted(knob: "Knob", text: str) -> bool:
    """Return whether a knob takes a text, which it refuses in words otherwise."""
    try:
        knob.read(text)
    except UsageError:
        return False
    return True


def cases() -> list[dict]:
    """Return a case for each value of each knob, at the first command of `BASE` that has it, or at its bounds."""
    there, found, known = dict(commands()), [], set()
    for name in BASE:
        for flag, knob in numbers(there[name]).items():
            texts = dict.fromkeys((*TEXTS, *bounds(knob)))
            if name in BY_BOUNDS:
                texts = [text for text in bounds(knob) or TEXTS if accepted(knob, text)]
            elif flag in known:
                continue
            known.add(flag)
            found += [{"command": name, "flag": flag, "text": text} for text in texts if flag not in PORTS + LONG]
    return found


class Commander:
    """Runs cases in a folder with a few small days."""

    def __init__(self) -> None:
        self._count = 0
        for day in DAYS:
            simulate_day(Path("data"), hours=0.05, seed=1, symbol=SYMBOL, day=day)
        rows = "".join(f"{ticks},{100 / 2**ticks},{100}\n" for ticks in range(1, 6))
        Path("points.csv").write_text(f"delta_ticks,fills,exposure_s\n{rows}")
        rows = "".join(f"2026-01-05T10:00:{second:02}Z,100.{second:02},{second + 1},buy\n" for second in range(60))
        Path("table.csv").write_text(f"timestamp,price,qty,side\n{rows}")
        self._held = ExitStack()
        self._variables: dict[str, str] = {}

    def box(self, name: str) -> dict[str, str]:
        """Return the environment of a trader at an exchange in a box, which runs from the first one on."""
        if not self._variables:
            sys.path.append(str(ROOT / "tests" / "live"))
            from hosted_box import hosted

            self._variables = self._held.enter_context(hosted(Path())).variables(FEED_STALE_S="1000")
        return {
            key: text
            for key, text in self._variables.items()
            if name == "trade" or not key.startswith(("BINANCE", "WS_API", "VENUE"))
        }

    def answer(self, case: dict) -> str:
        """Return the outcome of a case in one line."""
        self._count += 1
        name, ports = case["command"], []
        words = [*name.split(), *BASE[name], f"{case['flag']}={case['text']}"]
        if name in AT_BOX:
            os.environ.update(self.box(name))  # a command removes its keys from the environment
            shutil.rmtree("data/SIMUSDT/" + day_of(now_us()), ignore_errors=True)
        if name in ("sim serve", "sim api"):
            ports = ["--port", str(free_port())]
        out, err = io.StringIO(), io.StringIO()
        runs_s = TRADES_S if name in AT_BOX else RUNS_S
        timer = threading.Timer(runs_s, os.kill, (os.getpid(), signal.SIGTERM))
        if name in UNTIL_SIGNAL:
            timer.start()
        try:
            with redirect_stdout(out), redirect_stderr(err):
                Program("mm", "", COMMANDS, SECTIONS).main([*words, *ports], prog_name="mm")
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException as error:
            return f"raised {type(error).__name__}: {error}"
        finally:
            timer.cancel()
            shutil.rmtree("out", ignore_errors=True)
        lines = [line for line in err.getvalue().splitlines() if line.startswith(("error:", "Traceback"))]
        if code == 143 and name in UNTIL_SIGNAL:  # the signal came before its own handler
            return "ok"
        if code in (0, 4) and not any(line.startswith("Traceback") for line in lines):
            return "ok"
        if code in (2, 3, 5, 75) and len(lines) == 1:
            return f"refused {lines[0]}"
        return f"raised {code}: {err.getvalue()[-600:]!r}"


def ready(scratch: Path) -> Callable[[dict[str, Any]], str]:
    """Return the function that answers a case; commands run in *scratch*."""
    os.chdir(scratch)
    return Commander().answer


if __name__ == "__main__":
    answer_lines(ready)
