"""The commands of signals: knobs, arguments and help."""

from dataclasses import dataclass
from pathlib import Path

import click

from mm.base.common_knobs import seed_knob
from mm.base.knobs import REQUIRED, knob, number, numbers, one_of
from mm.catalog.results import TRUST
from mm.cli.frame import command, runner
from mm.cli.task_knobs import SignalColumns
from mm.play.knobs import Day, Market, OtherMarkets

signals_list = command(
    body="mm.commands.signals:list_command",
    text="""
    List the signals: name, unit, formula and source.

    In names, {n} is a number of levels (imbalance_5), {w} a window (momentum_10s, momentum_500ms) and {e} a
    window in events (momentum_100e), each with any number; {o} is the name of another market (OTHERS) and {s} a
    signal of it (lead.imbalance_5). Without names the default ones are computed. A user's class is
    package.module:Class.

    Example: mm signals list
    """,
)

signals_compute = runner(
    "signals",
    Day,
    Market,
    OtherMarkets,
    SignalColumns,
    brief=(Day, OtherMarkets, SignalColumns),
    body="mm.commands.signals:compute_command",
    text="""
    Compute signals over recorded days: signals.parquet with recv_us, recv_seq and a column for each.

    One row per diff that changed the book, including the first one after a snapshot. Undefined values (an incomplete
    window, an empty side) are null, and never filled. micro_price is fitted on the recorded days before each day, which
    are in the metadata; without any it is null.

    Example: mm signals compute --symbol BTCUSDT --day 20251216 --signals imbalance_5,ofi_10s
    """,
)

signals_score = runner(
    "signals_score",
    Day,
    Market,
    OtherMarkets,
    SignalColumns,
    brief=(Day, OtherMarkets, SignalColumns),
    body="mm.commands.signals:score_command",
    text="""
    Score signals against the move of the mid over 100 ms to 60 s.

    Prints the rank correlation by horizon, with 95 % intervals by a block bootstrap; * if the interval excludes 0,
    ! if the halves of the day differ in sign. score.json has all results.

    Example: mm signals score --symbol BTCUSDT --day 20251216 --signals imbalance_5,ofi_10s
    """,
)


@dataclass(frozen=True, kw_only=True)
class PredictionTask:
    """The target of a prediction, and the model."""

    predict_target: str = knob(
        REQUIRED,
        one_of("return", "adverse", "fill"),
        "return: mid-price move; adverse: whether the move is against a fill; fill: whether an order is filled.",
        flag="--target",
    )
    predict_model: str = knob(
        "logistic",
        one_of("logistic", "forest", "mlp"),
        "logistic (linear for return), forest (random forest) or mlp (a small network).",
        flag="--model",
        common="logistic, forest or mlp",
    )
    predict_horizon_s: float = knob(
        10.0, number(0.001, 86400), "Horizon, in s.", flag="--horizon-s", common="Horizon, in s"
    )
    predict_distances: tuple[float, ...] | None = knob(
        None,
        numbers(0.5, 1_000_000),
        "Distances from the mid, in ticks, at which fill is measured; default: quantiles of those of trades.",
        flag="--distances",
    )
    seed: int = seed_knob(high=2**32 - 1, common="Seed of all random draws")


predict_fit = runner(
    "models",
    Day,
    Market,
    OtherMarkets,
    PredictionTask,
    SignalColumns,
    method="predict_target",
    brief=(Day, PredictionTask, SignalColumns),
    body="mm.commands.predict:fit_command",
    text="""
    Fit a predictor on recorded days, with its walk-forward score against baselines.

    The folder contains model.json, plain arrays and a page; expected_value, the steps around quote models and
    view.signal can use it. Exit code 4 if the predictor does not beat the best baseline: it is written, but not usable.

    Example: mm predict fit --target return --horizon-s 10 --symbol BTCUSDT --day 20251216
    """,
)

FOLDER = click.Argument(["folder"], type=click.Path(path_type=Path), metavar="FOLDER")


predict_score = runner(
    "predict_score",
    Day,
    Market,
    OtherMarkets,
    arguments=[FOLDER, TRUST],
    brief=(Day,),
    body="mm.commands.predict:score_command",
    text="""
    Score a fitted predictor on other days: score.json. Exit code 4 if it does not beat the best baseline.

    Example: mm predict score out/models/return/BTCUSDT/20251216_20251217T060000Z --symbol BTCUSDT --day 20251217
    """,
)

predict_apply = runner(
    "predictions",
    Day,
    Market,
    OtherMarkets,
    arguments=[FOLDER, TRUST],
    brief=(Day,),
    body="mm.commands.predict:apply_command",
    text="""
    Compute a predictor over recorded days: predictions.parquet with recv_us and prediction.

    One row per diff, null while a signal has no value. A predictor of both sides also has prediction_bid and
    prediction_ask, and prediction is their mean; a predictor of fill uses the middle one of its distances.

    Example: mm predict apply out/models/return/BTCUSDT/20251216_20251217T060000Z --symbol BTCUSDT --day 20251217
    """,
)

predict_show = command(
    arguments=[FOLDER],
    body="mm.commands.predict:show_command",
    text="""
    Show a fitted predictor: target, inputs and score.

    Example: mm predict show out/models/return/BTCUSDT/20251216_20251217T060000Z
    """,
)
