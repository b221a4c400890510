"""The commands of calibration: knobs, arguments and help."""

from dataclasses import dataclass
from pathlib import Path

import click

from mm.backtest.rules import Account, Execution
from mm.base.common_knobs import data_root_knob, day_knob, seed_knob, symbol_knob
from mm.base.knobs import JSON_OBJECT, PATH, integer, knob, matching, number
from mm.cli.config import OrdersFile
from mm.cli.frame import command, runner
from mm.clock import us_from_ms
from mm.errors import UsageError
from mm.play.calibration_knobs import Calibration, Fit, Windows
from mm.play.knobs import DamagedDay, Day, Market, Models, Results, Source

calibrate = runner(
    *("calibration", Day, Market, Calibration, Fit, Execution, Account, OrdersFile),
    method="calib_method",
    brief=(Day, Calibration, Fit),
    body="mm.commands.calibrate:main",
    text="""
    Measure how often trades reach each distance, and fit A and k; several days are pooled.

    Example: mm calibrate --symbol BTCUSDT --day 20251216 --method ladder --deltas 1,2,3,5,8,13
    """,
)

fit = command(
    Fit,
    arguments=[click.Argument(["points"], type=click.Path(path_type=Path), metavar="POINTS.csv")],
    defaults={"min_exposure_s": 0.0, "max_delta_ticks": None},
    body="mm.commands.fit:main",
    text="Fit λ(δ) = A·exp(-k·δ) to POINTS.csv: columns delta_ticks, exposure_s, fills, optionally side and block.",
)

schedule = runner(
    "schedule",
    *(Day, Market, Calibration, Fit, Windows, Execution, Account, Models),
    resumable=True,
    brief=(Day, Calibration, Fit, Windows),
    body="mm.commands.schedule:main",
    text="""
    Fit A and k in rolling windows of one day or more; each segment uses only earlier data.

    Example: mm schedule --symbol BTCUSDT --day 20251216 --wf-train-window-min 120 --wf-step-min 15
    """,
)


@dataclass(frozen=True, kw_only=True)
class VirtualLife(DamagedDay, Results):
    """Lifetime of virtual orders, and the seed of their placement."""

    queue_life_s: float = knob(30.0, number(0.1, 86400), "Lifetime of a virtual order, in s.", flag="--life-s")
    seed: int = seed_knob()

    def life_us(self) -> int:
        """Return the lifetime in µs."""
        return us_from_ms(1000 * self.queue_life_s)


_MODEL = matching(r"\w+|[\w.]+:\w+", "a model's name, or package.module:Class")


@dataclass(frozen=True, kw_only=True)
class Scored(VirtualLife):
    """The order log to score against, and one model in addition to the standard ones."""

    symbol: str | None = symbol_knob("Symbol of a simulated day.", None, common="")
    day: str | None = day_knob("The day, YYYYMMDD.", None)
    data_root: Path = data_root_knob(common="")
    order_log: Path | None = knob(None, PATH, "An order log instead of a day; the tape is built from it.")
    queue_passes: int = knob(8, integer(1, 1000), "Number of passes over the day.", flag="--passes")
    fill_model: str | None = knob(None, _MODEL, "An additional fill model: a name, or package.module:Class.")
    fill_params_json: str | None = knob(None, JSON_OBJECT, "Its constructor arguments.")

    def place(self) -> tuple[str, str]:
        """Return symbol and day.

        Raises:
            UsageError: If one is missing, or an order log is given as well.
        """
        if self.symbol is None or self.day is None or self.order_log is not None:
            raise UsageError(
                "give either --symbol and --day (SYMBOL, DAY) of a simulated day, or --order-log (ORDER_LOG) alone"
            )
        return self.symbol, self.day


fills_score = command(
    Scored,
    body="mm.commands.fills:score",
    text="""
    Score the fill models on a day with a full order log.

    Virtual orders join the queues of the day. The order log gives the true outcome of each, and a fill model estimates
    it from the tape alone; the command prints the difference. No run folder is written.

    Example: mm fills score --symbol SIMUSDT --day 20260105
    """,
)


@dataclass(frozen=True, kw_only=True)
class Fitted(VirtualLife, Source):
    """The day."""

    day: str = day_knob()


fills_fit = command(
    Fitted,
    body="mm.commands.fills:fit",
    text="""
    Estimate the exponent of queue_prob_power from a recorded day, and write it to a file if it is usable.

    Later backtests of the symbol name it, and their sensitivity plays it as well.

    Example: mm fills fit --symbol BTCUSDT --day 20251216
    """,
)
