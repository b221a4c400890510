"""A finished run, loaded to draw it again: its knobs, its inputs, and its backtest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.replay import by_events
from mm.backtest.sensitivity import ExponentEstimate, Strategy
from mm.cli.console import Console
from mm.cli.task_knobs import Drawn
from mm.commands import assemble
from mm.commands.setup import Setup
from mm.errors import Mismatch, MMError
from mm.models.builder import ModelBuilder, read_fitted
from mm.play.knobs import Day, Market, Sensitivity
from mm.report.run_columns import market_of
from mm.runs.find import Found
from mm.runs.trusted import InputPlaces, check_inputs, playable

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.report.run_columns import MarketColumns
    from mm.tape.tape import Tape

SCHEDULE = "poisson_schedule.json"


@dataclass(frozen=True)
class Redraw:
    """One run to draw.

    Attributes:
        run: Its folder and manifest.
        drawn: What to draw.
        console: Shows the progress of a backtest.
        notes: Parts that could not be drawn, and the reasons; appended by the methods.
        trusted: The files of code that may be executed if its manifest names it.
    """

    run: Found
    drawn: Drawn
    console: Console
    notes: list[str]
    trusted: Sequence[Path] = ()

    @property
    def places(self) -> InputPlaces:
        """Where the inputs of the run are searched."""
        return InputPlaces(self.drawn.data_root or Path(self.run.knob("data_root") or "data"), self.drawn.out_root)

    @property
    def tapes(self) -> Path:
        """Folder of the kept tapes."""
        return self.drawn.out_root / "tapes"

    def days(self) -> "list[Tape]":
        """Return the tapes of the run's days, whose files must be unchanged."""
        check_inputs(self.run, self.places)
        known = playable(self.run, self.places, (), (), days=False)
        roots = {"data_root": self.places.data_root, "out_root": self.drawn.out_root, "out_dir": None}
        return assemble.open_days(known.group(Day, **roots), known.group(Market), self.tapes)


def played(redraw: Redraw, summary: Mapping[str, Any]) -> "Result | None":
    """Return the run played again with the sensitivity block; None if that is off or, with a note, impossible.

    A run that already has the block is not played again.
    """
    if not redraw.drawn.sensitivity or "sensitivity" in summary:
        return None

    try:
        strategy = _strategy(redraw)
        events = sum(map(len, strategy.tapes))
        with redraw.console.progress("play", events * (1 + strategy.plays())) as advance:
            step = by_events(strategy.tapes, advance)
            again = strategy.play(step)
            _check_same(redraw.run, again.summary, summary)
            return strategy.with_sensitivity(again, strategy.further(step))
    except MMError as error:
        redraw.notes.append(f"not played under other assumptions: {error}")
        return None


def market(redraw: Redraw, summary: Mapping[str, Any]) -> "MarketColumns | None":
    """Return the best prices and prints of the run's days; None, with a note, if the days have changed."""

    try:
        return market_of(redraw.days(), summary.get("feed"))
    except MMError as error:
        redraw.notes.append(f"drawn without the market's prices and trades: {error}")
        return None


def _strategy(redraw: Redraw) -> "Strategy":
    """Return the strategy of the run: the same days, other markets, rules and models."""
    setup, known = Setup.of_manifest(redraw.run, redraw.places, redraw.trusted)
    day, market, models, account = setup.day, setup.market, setup.models, setup.account
    tapes = assemble.open_days(day, market, redraw.tapes)
    rules = assemble.rules(tapes[0], setup.execution, account, models, risk=setup.risk)
    feeds = assemble.open_others(day, market, setup.others, tapes, redraw.tapes)
    rules = assemble.with_others(rules, feeds, setup.others.declared(), account)
    forward = redraw.run.manifest["kind"] == "walkforward"
    builder = ModelBuilder(None, assemble.unfitted(models) if forward else models, tapes[0], account.seed)
    if forward:
        builder.use(read_fitted(redraw.run.folder / SCHEDULE))
    rules = assemble.with_micro_price(None, rules, builder.quotes(), day, market, tapes[0], redraw.tapes)
    path = known.group(Sensitivity).queue_exponent_file
    estimate = None if path is None else ExponentEstimate.read(path, tapes[0].symbol)
    return Strategy(tapes, rules, builder.quotes, builder.fills, builder.intensity, account.seed, estimate)


def _check_same(run: Found, again: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Raise Mismatch if playing the run again gave another result."""
    for name in ("pnl_total", "n_orders", "n_fills"):
        if again[name] != summary[name]:
            raise Mismatch(
                f"{run.folder} has {name} {summary[name]}, but this version plays it to {again[name]}; "
                f"it was made by version {run.manifest['version']} {run.manifest['commit'] or ''}".rstrip()
            )
