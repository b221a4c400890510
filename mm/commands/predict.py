"""``mm predict``."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mm.base.common_knobs import seed_knob
from mm.base.knobs import REQUIRED, knob, number, numbers, one_of
from mm.base.numbers import fixed, signed
from mm.base.user_code import import_trusted
from mm.cli.frame import command, runner
from mm.cli.options import TRUST
from mm.cli.task_knobs import SignalColumns
from mm.commands.signals import OTHER_USUAL
from mm.errors import FitError, UsageError
from mm.play.knobs import Day, Market, OtherMarkets
from mm.runs.in_progress import Run
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.signals.artefact import Artefact
    from mm.tape.tape import Tape


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
        "Distances from the mid, in ticks, at which fill is measured; default: quantiles of the trades' distances.",
        flag="--distances",
    )
    seed: int = seed_knob(high=2**32 - 1, common="Seed of all random draws")


FOLDER = click.Argument(["folder"], type=click.Path(path_type=Path), metavar="FOLDER")


SIGNALS = (
    *("spread", "imbalance_1", "imbalance_5", "imbalance_10", "ofi_1s", "ofi_10s", "multilevel_ofi_5_10s"),
    *("signed_volume_1s", "signed_volume_10s", "momentum_1s", "momentum_10s", "realised_volatility_60s"),
)
SCORE, PREDICTIONS = "score.json", "predictions.parquet"


@runner("models", method="predict_target", brief=(Day, PredictionTask, SignalColumns))
def predict_fit(
    run: Run, day: Day, market: Market, others: OtherMarkets, prediction: PredictionTask, columns: SignalColumns
) -> None:
    """Fit a predictor on recorded days, with its walk-forward score against baselines.

    The folder has model.json, plain arrays and a page; expected_value, the steps around quote models and view.signal
    can use it. Exit code 4 if it does not beat the best baseline: it is written, but not usable.

    Example: mm predict fit --target return --horizon-s 10 --symbol BTCUSDT --day 20251216
    """
    from mm.predict.samples import Task, distances_of
    from mm.predict.walk import WINDOWS, learn
    from mm.report.predictor_page import predictor_page
    from mm.runs.noted import opened, said_days
    from mm.signals.artefact import MODEL, Artefact, write

    usual = [f"{name}.{signal}" for name in others.declared() for signal in OTHER_USUAL]
    names = tuple(columns.signals.split(",")) if columns.signals else (*SIGNALS, *usual)
    _check(names, prediction)
    markets = opened(run, day, market, others)
    said_days(run, markets)
    tapes, feeds = markets.tapes, markets.others
    distances = prediction.predict_distances or ()
    if prediction.predict_target == "fill" and not distances:
        distances = distances_of(tapes)
    task = Task(prediction.predict_target, prediction.predict_horizon_s, names, distances)
    with run.timing("fit"), run.progress("fits", WINDOWS) as step:
        about, arrays = learn(
            *(tapes, task, prediction.predict_model, prediction.seed, step),
            drop_constant=columns.signals is None,
            others=feeds,
        )
    if constant := [name for name in names if name not in about["signals"]]:
        run.log.warning("constant_signals", message=f"{', '.join(constant)}: constant in all samples, and left out")
    excluded = {"excluded": list(run.about.excluded)} if run.about.excluded else {}
    run.path(MODEL)
    content = write(run.partial, {**about, **excluded}, arrays)
    run.write_page(predictor_page(content, run.about))
    run.artefact = MODEL
    run.summary = {key: content[key] for key in ("target", "model", "horizon", "usable", "hash")}
    run.summary["difference"] = content["score"]["difference"]
    for line in lines(Artefact(content, arrays, str(run.folder))):
        run.print(line)
    if not content["usable"]:
        raise FitError(f"{day.symbol} {day.label()}: {_why(content)}")


@runner("predict_score", arguments=[FOLDER, TRUST], brief=(Day,))
def predict_score(
    run: Run, day: Day, market: Market, others: OtherMarkets, folder: Path, trust: tuple[Path, ...]
) -> None:
    """Score a fitted predictor on other days: score.json. Exit code 4 if it does not beat the best baseline.

    Example: mm predict score out/models/return/BTCUSDT/20251216_20251217T060000Z --symbol BTCUSDT --day 20251217
    """
    from mm.predict.apply import rescore
    from mm.predict.scoring import beats
    from mm.runs.noted import opened, said_days

    import_trusted(trust)
    artefact = _read(run, folder)
    markets = opened(run, day, market, others)
    said_days(run, markets)
    tapes = markets.tapes
    for note in _overlap_notes(artefact, tapes):
        run.print(note)
    with run.timing("score"):
        scores = rescore(artefact, tapes, markets.others)
    content = {**artefact.about, "path": str(folder), "score": scores, "usable": beats(scores)}
    run.artefact = SCORE
    run.summary = {"score": scores, "usable": content["usable"], "model": str(folder), "days": list(day.days())}
    run.path(SCORE).write_text(json.dumps(run.summary, indent=1) + "\n", encoding="utf-8")
    for line in score_lines(content):
        run.print(line)
    if not content["usable"]:
        raise FitError(f"{folder} on {day.symbol} {day.label()}: {_why(content)}")


@runner("predictions", arguments=[FOLDER, TRUST], brief=(Day,))
def predict_apply(
    run: Run, day: Day, market: Market, others: OtherMarkets, folder: Path, trust: tuple[Path, ...]
) -> None:
    """Compute a predictor over recorded days: predictions.parquet with recv_us and prediction.

    One row per diff, null while a signal has no value. A predictor of both sides also has prediction_bid and
    prediction_ask, and prediction is their mean; a predictor of fill uses the middle one of its distances.

    Example: mm predict apply out/models/return/BTCUSDT/20251216_20251217T060000Z --symbol BTCUSDT --day 20251217
    """
    from mm.predict.apply import predict_over, write_predictions
    from mm.runs.noted import opened, said_days

    import_trusted(trust)
    artefact = _read(run, folder)
    markets = opened(run, day, market, others)
    said_days(run, markets)
    tapes, feeds = markets.tapes, markets.others
    for note in _overlap_notes(artefact, tapes):
        run.print(note)

    def pieces() -> Iterator[Any]:
        with run.progress("events", sum(len(tape) for tape in tapes)) as step:
            for tape in tapes:
                yield from predict_over(tape, artefact, feeds)
                step(len(tape))

    about = {key: artefact.about[key] for key in ("target", "model", "horizon", "symbol", "tick", "hash")}
    with run.timing("play"):
        rows, known = write_predictions(run.output(PREDICTIONS), artefact, pieces(), about)
    run.artefact = PREDICTIONS
    run.summary = {**about, "model_path": str(folder), "rows": rows, "known": known}
    run.print(f"{rows:,} rows, {known:,} of them predicted")


@command(arguments=[FOLDER])
def predict_show(console: Console, folder: Path) -> None:
    """Show a fitted predictor: target, inputs and score.

    Example: mm predict show out/models/return/BTCUSDT/20251216_20251217T060000Z
    """
    from mm.signals.artefact import MODEL, Artefact

    artefact = Artefact.read(folder)
    console.set_json({**artefact.about, "path": str((folder / MODEL).resolve())})
    console.print("\n".join(lines(artefact)))


def lines(artefact: "Artefact") -> list[str]:
    about = artefact.about
    where = f"{about['symbol']} {','.join(about['days'])}"
    far = ", ".join(f"{distance:g}" for distance in about["distances_ticks"])
    text_lines = [
        f"{about['target']} over {about['horizon']:g} s by {about['model']}, fitted on {where}",
        f"from {', '.join(about['signals'])}",
        *([f"at {far} ticks from the mid"] if far else []),
        *score_lines(about),
    ]
    rows = sorted(about["score"]["importance"].items(), key=lambda pair: -pair[1])[:5]
    return [*text_lines, "most important: " + ", ".join(f"{name} {fixed(value, 4)}" for name, value in rows)]


def score_lines(about: dict[str, Any] | Any) -> list[str]:
    score = about["score"]
    name = {"r2": "R²", "log_loss": "log loss"}[score["metric"]]
    baselines = ", ".join(f"{baseline} {value:.5f}" for baseline, value in score["baselines"].items())
    ends = score["difference_ci95"]
    interval = f"[{fixed(ends[0], 5)}, {fixed(ends[1], 5)}]" if ends else "unknown, the time span is too short"
    shown = [
        f"{name} out of sample {score['value']:.5f} over {score['samples']:,} samples; baselines: {baselines}",
        f"better than {score['best_baseline']} by {fixed(score['difference'], 5)}, 95 % {interval}",
    ]
    if "brier" in score:
        shown.append(
            f"Brier score {score['brier']['value']:.5f}; "
            + ", ".join(f"{baseline} {value:.5f}" for baseline, value in score["brier"]["baselines"].items())
        )
        if score.get("pnl"):
            shown.append(_money(score["pnl"], score["best_baseline"]))
    elif score["trading"]["trades"]:
        earned = score["trading"]
        shown.append(
            f"trading it, net of half the spread: {earned['trades']:,} trades, {fixed(earned['ticks'], 1)} ticks"
        )
    else:
        shown.append("trading on it: no predicted move exceeds half the spread")
    return [*shown, "usable" if about["usable"] else "not usable"]


def _money(pnl: dict[str, Any], best: str) -> str:
    from mm.predict.scoring import PNL_HINT

    baselines = ", ".join(f"{name} {signed(value)}" for name, value in pnl["baselines"].items())
    ends = pnl["difference_ci95"]
    interval = f", 95 % [{signed(ends[0], 3)}, {signed(ends[1], 3)}]" if ends else ""
    return (
        f"PnL per {pnl['per']} {signed(pnl['value'])}, {signed(pnl['difference'], 3)} beyond {best}{interval}; "
        f"baselines: {baselines}; {PNL_HINT[pnl['per']]}"
    )


def _why(about: dict[str, Any]) -> str:
    score = about["score"]
    ends = score["difference_ci95"]
    if ends is None:
        return "the predictor is not usable: too little time for an interval; give more days or a shorter horizon"
    return (
        f"the predictor is not usable: it does not beat {score['best_baseline']} out of sample (difference "
        f"{fixed(score['difference'], 5)}, 95 % {fixed(ends[0], 5)} to {fixed(ends[1], 5)})"
    )


def _check(names: Sequence[str], prediction: PredictionTask) -> None:
    from mm.signals.families import SIGNALS as KNOWN

    KNOWN.check(names)
    for name in names:
        if name == "micro_price" or "/" in name:
            raise UsageError("{signals} includes {}, which is itself fitted; give the signals that it reads", name)
    if prediction.predict_distances and prediction.predict_target != "fill":
        raise UsageError("{predict_distances} is for --target fill, not {}; leave it out", prediction.predict_target)


def _read(run: Run, folder: Path) -> "Artefact":
    from mm.signals.artefact import ARRAYS, MODEL, Artefact

    artefact = Artefact.read(folder)
    run.input_file(folder / MODEL)
    run.input_file(folder / ARRAYS)
    return artefact


def _overlap_notes(artefact: "Artefact", tapes: "Sequence[Tape]") -> list[str]:
    from mm.trials.openings import refuse_trained

    window = artefact.about["train_window"]
    for tape in tapes:
        artefact.check(tape.symbol, tape.instrument.tick_e8)
    refuse_trained(f"the predictor {artefact.path}", artefact.about["days"].__contains__, tapes)
    overlap = [
        day
        for tape in tapes
        if len(tape) and tape.event_us[0] <= window["end_us"] and tape.event_us[-1] >= window["start_us"]
        for day in tape.days
    ]
    return (
        [f"note: {','.join(overlap)}: the predictor was fitted on it, so its predictions are not out of sample"]
        if overlap
        else []
    )
