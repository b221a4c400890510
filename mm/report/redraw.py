"""A finished run, loaded to draw it again: its knobs, its inputs, and its backtest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mm.backtest.replay import by_events
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.backtest.sensitivity import Strategy
from mm.base.knobs import knobs, shown
from mm.cli.config import Day, Market, Models
from mm.cli.console import Console
from mm.cli.task_knobs import Drawn
from mm.commands import assemble
from mm.errors import Mismatch, MMError
from mm.models.builder import ModelBuilder, read_fitted
from mm.report.run_columns import market_of
from mm.runs.find import Found, InputPlaces, check_inputs, knob_files

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.report.run_columns import MarketColumns

Group = TypeVar("Group")
SCHEDULE = "poisson_schedule.json"


@dataclass(frozen=True)
class Redraw:
    """One run to draw.

    Attributes:
        run: Its folder and manifest.
        drawn: What to draw.
        console: Shows the progress of a backtest.
        notes: Parts that could not be drawn, and the reasons; appended by the methods.
    """

    run: Found
    drawn: Drawn
    console: Console
    notes: list[str]

    def located(self) -> dict[str, Path]:
        """Return the current paths of the files named by knobs, after verifying that no input has changed.

        Raises:
            DataError: If one is missing or changed.
        """
        return knob_files(self.run, check_inputs(self.run, InputPlaces(self.data_root, self.drawn.out_root)))

    @property
    def data_root(self) -> Path:
        """Folder of the days."""
        return self.drawn.data_root or Path(self.run.knob("data_root") or "data")

    def group(self, kind: type[Group], **others: Any) -> Group:
        """Return the run's knobs of one *kind*, except *others*; a knob added since then has its default."""
        values = {
            one.name: one.read(shown(value)) for one in knobs(kind) if (value := self.run.knob(one.name)) is not None
        }
        return kind(**{**values, **others})

    def day(self) -> Day:
        """Return the run's days, with their current folder."""
        return self.group(Day, data_root=self.data_root, out_root=self.drawn.out_root, out_dir=None)


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
        redraw.located()
        tapes = assemble.open_days(redraw.day(), redraw.group(Market), redraw.drawn.out_root / "tapes")
        return market_of(tapes, summary.get("feed"))
    except MMError as error:
        redraw.notes.append(f"drawn without the market's prices and trades: {error}")
        return None


def _strategy(redraw: Redraw) -> "Strategy":
    """Return the strategy of the run: the same days, rules and models."""

    files = redraw.located()
    models = redraw.group(Models, **{name: path for name, path in files.items() if name == "fill_params_file"})
    latencies = {name: path for name, path in files.items() if name == "latency_file"}
    execution, account = redraw.group(Execution, **latencies), redraw.group(Account)
    tapes = assemble.open_days(redraw.day(), redraw.group(Market), redraw.drawn.out_root / "tapes")
    rules = assemble.rules(tapes[0], execution, account, models, risk=redraw.group(Risk))
    forward = redraw.run.manifest["kind"] == "walkforward"
    builder = ModelBuilder(None, assemble.unfitted(models) if forward else models, tapes[0], account.seed)
    if forward:
        builder.use(read_fitted(redraw.run.folder / SCHEDULE))
    kept = redraw.drawn.out_root / "tapes"
    rules = assemble.with_micro_price(None, rules, builder.quotes(), redraw.day(), redraw.group(Market), tapes[0], kept)
    return Strategy(tapes, rules, builder.quotes, builder.fills, builder.intensity, account.seed)


def _check_same(run: Found, again: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Raise Mismatch if playing the run again gave another result."""
    for name in ("pnl_total", "n_orders", "n_fills"):
        if again[name] != summary[name]:
            raise Mismatch(
                f"{run.folder} has {name} {summary[name]}, but this version plays it to {again[name]}; "
                f"it was made by version {run.manifest['version']} {run.manifest['commit'] or ''}".rstrip()
            )
