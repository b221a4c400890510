"""``mm demo``."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from mm.base.knobs import knobs
from mm.cli.frame import command
from mm.cli.settings_file import LEFT_OUT
from mm.cli.task_knobs import GROUPS
from mm.report.contents import PAGE, SCHEDULE
from mm.terminal.console import Console

_ROOT = click.Option(
    ["--out-root"],
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/demo"),
    show_default=True,
    help="Folder of the day and of all runs.",
)


HOURS = 6
# A fee of 0.1 % is ten ticks per fill, more than these quotes earn.
TERMS = {"MAKER_FEE_RATE": "0"}
TERMS_TEXT = "Avellaneda-Stoikov quotes, and no fee."

Artefact = dict[str, Any]


@command(arguments=[_ROOT])
def demo(console: Console, out_root: Path) -> None:
    """Make a synthetic day, calibrate it, run three backtests, and print the estimates next to the true values.

    Example: mm demo
    """
    common = {"SYMBOL": "SIMUSDT", "DAY": "20260105", "DATA_ROOT": str(out_root / "data"), "OUT_ROOT": str(out_root)}
    mm = _Commands(console, common)
    console.print(f"$ export {' '.join(f'{name}={shlex.quote(value)}' for name, value in common.items())}")
    truth = _truth(mm)
    fit = mm.run("calibrate", "--method", "marks")
    fitted = {"FILL_PARAMS_FILE": _near(fit["path"]), **TERMS}
    drawn = mm.run("backtest", FILL_MODEL="poisson", **fitted)
    printed = mm.run("backtest", FILL_MODEL="trade_cross", **fitted)
    forward = mm.run("walkforward", "--wf-train-window-min", "60", **TERMS)
    places = _places(truth, fit, forward) | {"all runs": str(out_root)}
    shown = [f"{name:<10}{place}" for name, place in places.items()]
    console.print("\n".join(["", *_fit_lines(truth, fit), "", *_backtest_lines(drawn, printed, forward), "", *shown]))
    console.set_json(
        {"truth": truth, "fit": fit, "poisson": drawn, "trade_cross": printed, "walkforward": forward, "places": places}
    )


class _Commands:
    """Runs commands, each in its own process, with only the knobs that are shown."""

    def __init__(self, console: Console, common: dict[str, str]) -> None:
        self.console, self.common = console, common
        kept_out = {knob.variable for group in GROUPS for knob in knobs(group)} - {"LOG_LEVEL"}
        self._environment = {name: value for name, value in os.environ.items() if name not in kept_out}

    def run(self, *words: str, **variables: str) -> Artefact:
        shown = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        self.console.print(" ".join(["$", *shown, "mm", *words]))
        done = subprocess.run(
            [sys.executable, "-m", "mm", *words, "--json"],
            env=self._environment | LEFT_OUT | self.common | variables,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            print(f"error: the command above exited with code {done.returncode}", file=sys.stderr)
            raise click.exceptions.Exit(done.returncode)
        return dict(json.loads(done.stdout.splitlines()[-1]))


def _truth(mm: _Commands) -> Artefact:
    kept = Path(mm.common["DATA_ROOT"], mm.common["SYMBOL"], mm.common["DAY"], "truth.json")
    if kept.exists():
        mm.console.print(f"{kept.parent} exists from an earlier demo")
        return dict(json.loads(kept.read_text(encoding="utf-8"))) | {"path": str(kept)}
    return mm.run("sim", "day", "--hours", str(HOURS), "--seed", "7", "--scenario", "poisson")


def _fit_lines(truth: Artefact, fit: Artefact) -> list[str]:
    return [
        f"{'':<22}{'true':>10}{'estimate':>10}   95 % interval",
        _comparison_line("A, fills per second", truth["A"], fit["A"], fit["ci95_A_block"]),
        _comparison_line("k, per tick", truth["k"], fit["k"], fit["ci95_k_block"]),
        f"{fit['n_fills']:,} aggressive orders in {HOURS} hours; the fit is {fit['status']}",
    ]


def _comparison_line(name: str, truth: float, fitted: float, interval: tuple[float, float]) -> str:
    low, high = interval
    verdict = "contains the true value" if low <= truth <= high else "misses the true value, as 1 in 20 does"
    return f"{name:<22}{truth:>10.4f}{fitted:>10.4f}   {low:.4f} to {high:.4f}, {verdict}"


def _backtest_lines(*runs: Artefact) -> list[str]:
    segments = _segments(runs[-1])
    fitted = sum(segment["source"] == "fitted" for segment in segments)
    rows = {
        "orders": ("n_orders", ",d"),
        "fills": ("n_fills", ",d"),
        "fills expected": ("predicted_fills", ",.0f"),
        "PnL": ("pnl_quoting", ",.2f"),
        "  spread capture": ("pnl_spread_capture", ",.2f"),
        "  inventory": ("pnl_inventory", ",.2f"),
    }
    return [
        TERMS_TEXT,
        f"{'':<22}{'poisson':>14}{'trade_cross':>14}{'walk-forward':>14}",
        *(f"{name:<22}" + "".join(_cell(run[key], form) for run in runs) for name, (key, form) in rows.items()),
        f"The walk-forward has {len(segments)} segments, {fitted} with an own fit, and trades from the second hour on.",
        "Fills drawn from an intensity have no adverse selection: compare their PnL with the PnL under trade_cross.",
    ]


def _cell(value: float | None, form: str) -> str:
    return f"{'–' if value is None else format(value, form):>14}"


def _segments(forward: Artefact) -> list[Artefact]:
    schedule = Path(forward["path"]).parent.parent / SCHEDULE
    return list(json.loads(schedule.read_text(encoding="utf-8"))["segments"])


def _places(truth: Artefact, fit: Artefact, forward: Artefact) -> dict[str, str]:
    report = Path(forward["path"]).parent / PAGE
    places = {"the day": Path(truth["path"]).parent, "the fit": fit["path"], "a report": report}
    return {name: _near(place) for name, place in places.items()}


def _near(path: str | Path) -> str:
    here, there = Path.cwd(), Path(path).resolve()
    return str(there.relative_to(here) if there.is_relative_to(here) else there)
