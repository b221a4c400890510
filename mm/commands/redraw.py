"""A finished run, loaded to draw it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.replay import by_events
from mm.cli.task_knobs import PageKnobs
from mm.errors import Mismatch, MMError
from mm.play.calibration import unfitted
from mm.play.knobs import Day, Market, Sensitivity, TradeAgain
from mm.play.market import Markets
from mm.play.models import read_fitted
from mm.play.play import OFF, Play
from mm.play.setup import Setup
from mm.report.contents import SCHEDULE
from mm.report.run_columns import market_of
from mm.runs.finished import RunFolder
from mm.runs.trusted import InputPlaces, check_inputs, playable, setup_of
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.report.run_columns import MarketColumns
    from mm.tape.tape import Tape


@dataclass(frozen=True)
class Redraw:
    run: RunFolder
    drawn: PageKnobs
    console: Console
    notes: list[str]
    trusted: Sequence[Path] = ()

    @property
    def places(self) -> InputPlaces:
        return InputPlaces(self.drawn.data_root or Path(self.run.knob("data_root") or "data"), self.drawn.out_root)

    def days(self) -> "Sequence[Tape]":
        check_inputs(self.run, self.places)
        known = playable(self.run, self.places, (), (), days=False)
        roots = {"data_root": self.places.data_root, "out_root": self.drawn.out_root, "out_dir": None}
        opened = {"open_held_out": True}  # the run has played them
        day = known.group(Day, **roots, **opened)
        return Markets.open(day, known.group(Market), again=known.group(TradeAgain)).tapes


def played(redraw: Redraw) -> "Result | None":
    """Replay with the sensitivity; None if it is off, done already, or (with a note) impossible."""
    if not redraw.drawn.sensitivity or "sensitivity" in redraw.run.summary:
        return None
    try:
        with setup_of(redraw.run, redraw.places, redraw.trusted) as (setup, known):
            play = play_of(redraw.run, setup, replace(known.group(Sensitivity), sensitivity=True))
            with redraw.console.progress("play", play.events) as advance:
                step = by_events(play.tapes, advance)
                again = play.run_base(step)
                _check_same(redraw.run, again.summary)
                return play.with_further(again, step)
    except MMError as error:
        redraw.notes.append(f"not played under other assumptions: {error}")
        return None


def market(redraw: Redraw) -> "MarketColumns | None":
    try:
        return market_of(redraw.days(), redraw.run.summary.get("feed"))
    except MMError as error:
        redraw.notes.append(f"drawn without the market's prices and trades: {error}")
        return None


def play_of(run: RunFolder, setup: Setup, sensitivity: Sensitivity = OFF) -> Play:
    fit = None
    if run.manifest["kind"] == "walkforward":
        setup, fit = replace(setup, models=unfitted(setup.models)), read_fitted(run.folder / SCHEDULE)
    opened = replace(setup.day, open_held_out=True)  # the run has played them
    return Play.of(setup, Markets.open(opened, setup.market, setup.others, setup.again), fit, sensitivity)


def _check_same(run: RunFolder, again: Mapping[str, Any]) -> None:
    for name in ("pnl_total", "n_orders", "n_fills"):
        if again[name] != run.summary[name]:
            raise Mismatch(
                f"{run.folder} has {name} {run.summary[name]}, but this version plays it to {again[name]}; "
                f"it was made by version {run.manifest['version']} {run.manifest['commit'] or ''}".rstrip()
            )
