"""``mm fills``."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.preset import PRESETS, hours_of
from mm.base.atomic_file import write_atomic
from mm.base.common_knobs import data_root_knob, day_knob, seed_knob, symbol_knob
from mm.base.knobs import JSON_OBJECT, PATH, SWITCH, day_list, integer, knob, matching, number, one_of
from mm.cli.frame import command
from mm.clock import us_from_ms
from mm.dayfolder.held_out import refuse_held
from mm.dayfolder.layout import day_folder
from mm.errors import DataError, FitError, Mismatch, MissingDay, MissingOrders, Sentence, UsageError
from mm.play.knobs import EXPONENT_FILE, DamagedDay, Day, Market, OpenedDay, OtherMarkets, Results, Source
from mm.terminal.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mm.backtest.days_without_us import OwnActivity
    from mm.probes.exponent_truth import AgreedExponent
    from mm.probes.own_orders import HeldOut, OwnExponent
    from mm.probes.virtual_orders import OrderPlan
    from mm.runs.finished import RunFolder
    from mm.tape.tape import Tape

    OwnDays = tuple[list[RunFolder], list[tuple[str, OwnActivity]], dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class VirtualLife(OpenedDay, DamagedDay, Results):
    """Lifetime of virtual orders, and the seed of their placement."""

    queue_life_s: float = knob(30.0, number(0.1, 86400), "Lifetime of a virtual order, in s.", flag="--life-s")
    seed: int = seed_knob()

    preset: str | None = knob(
        None,
        one_of(*PRESETS),
        "Asset class whose trading hours count, as in mm backtest; without it the market is always open.",
    )

    def life_us(self) -> int:
        return us_from_ms(1000 * self.queue_life_s)


_MODEL = matching(r"\w+|[\w.]+:\w+", "a model's name, or package.module:Class")


@dataclass(frozen=True, kw_only=True)
class Logged(VirtualLife):
    """The days with order logs, or an order log alone."""

    symbol: str | None = symbol_knob("Symbol of a simulated day.", None, common="")
    day: str | None = day_knob("The day, YYYYMMDD; also a list or a range.", None, many=True)
    data_root: Path = data_root_knob(common="")
    order_log: Path | None = knob(None, PATH, "An order log instead of a day; the tape is built from it.")
    queue_passes: int = knob(8, integer(1, 1000), "Number of passes over the day.", flag="--passes")


@dataclass(frozen=True, kw_only=True)
class Scored(OtherMarkets, Logged):
    """The order log to score against, one model in addition to the standard ones, and a strategy."""

    fill_model: str | None = knob(None, _MODEL, "An additional fill model: a name, or package.module:Class.")
    fill_params_json: str | None = knob(None, JSON_OBJECT, "Its constructor arguments.")

    strategy: str | None = knob(
        None, _MODEL, "A quote model, played under each fill model: its PnL less that under every order."
    )
    strategy_params_json: str | None = knob(None, JSON_OBJECT, "Its constructor arguments.")
    settings_json: str | None = knob(
        None, JSON_OBJECT, 'Settings of mm backtest for it, such as {"maker_fee_rate": "0"}.'
    )

    def place(self) -> tuple[str, str]:
        if self.symbol is None or self.day is None or self.order_log is not None:
            raise UsageError(Sentence("give either {symbol} and {day} of a simulated day, or {order_log} alone"))
        return self.symbol, self.day


@dataclass(frozen=True, kw_only=True)
class Fitted(VirtualLife, Source):
    """What tells the exponent: the sizes of a day, its order log, or our own orders."""

    day: str | None = day_knob("The day, YYYYMMDD; --trades knows its own.", None)
    truth: bool = knob(
        False,
        SWITCH,
        "1 fits the exponent to every order of the day's order log, and prints the one by sizes beside it.",
    )
    trades: str | None = knob(
        None,
        matching(r"[^,\s]+(,[^,\s]+)*", "the folders or RUN_IDs of trades, joined by commas", "RUN,RUN,…"),
        "Fits the exponent to the orders of these mm trade runs, played on the days that they recorded.",
    )


TRUE_PASSES = 8
BATCHED_US = 10_000  # from here on a depth message has several changes of a busy queue
STRATEGY_MODELS = (
    "trade_cross",
    "price_cross",
    "queue_back",
    "queue_front",
    "queue_prob_power",
    "queue_prob_log",
)
CHECKS = (0.0, 0.125, 0.25, 0.5)  # fractions of the lifetime at which queue positions are compared


@command()
def fills_score(console: Console, scored: Scored) -> None:
    """Score the fill models on a day with a full order log.

    Virtual orders join the queues of the day. The order log gives the true outcome of each, which a fill model
    estimates from the tape alone; the difference is printed, and written to OUT_ROOT/fills with a page.

    Example: mm fills score --symbol SIMUSDT --day 20260105
    """
    from mm.probes.queue_score import aligned, candidates, named, played_by, scored_day
    from mm.probes.score_page import ScoreReport
    from mm.probes.strategy_score import strategy_rows

    own = {}
    if scored.fill_model is not None:
        own = named(scored.fill_model, json.loads(scored.fill_params_json or "{}"))
    markets = list(_markets(console, scored))
    models = {**candidates(), **own}
    days, played = [], []
    with console.progress("models", len(models) * len(markets)) as step:
        for tape, log in markets:
            day = scored_day(tape, log, _plan(scored, scored.queue_passes))
            days.append(day)
            played.append(played_by(day.tape, day.orders, models, step))
            tape.release_memory()
    name = scored.order_log.name if scored.order_log is not None else f"{scored.symbol} {scored.day}"
    shown = next(iter(own), "queue_prob_power 3")
    report = ScoreReport.of(name, shown, days, played)
    strategy = _strategy(console, scored, [tape for tape, _ in markets], own)
    rows = strategy_rows(strategy["strategy"]["scores"]) if strategy else []
    content = report.to_dict() | strategy | {"checks_s": [check * scored.queue_life_s for check in CHECKS]}
    path = markets[0][1].resolve()
    if scored.order_log is None:
        symbol, names = scored.place()
        path = scored.out_root / "fills" / symbol / names.replace(":", "-").replace(",", "+") / "fills_score.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, (_json(content) + "\n").encode())
        write_atomic(path.with_suffix(".html"), report.page(rows).encode())
    console.set_json(json.loads(_json({**content, "path": str(path)})))
    console.print("\n".join(report.lines()))
    if rows:
        console.print("\n".join(["", *aligned(rows)]))
    if scored.order_log is None:
        console.print(str(path))


@command()
def fills_bounds(console: Console, logged: Logged) -> None:
    """Count how many true fills lie between the bounds of a queue, order by order.

    Virtual orders join the queues of each order log of DATA_ROOT, of a symbol, its days, or of one log. On a book made
    of the log that shows each change, every true fill must lie between queue_front and queue_back; on one of a message
    each 100 ms, additions and cancellations net, and the shares above and below say how often the bounds fail.

    Example: mm fills bounds --symbol SIMUSDT --day 20260105 --life-s 15
    """
    from mm.probes.fill_bounds import BOOKS, content, lines, log_bounds

    logs = _logs(logged)
    plan = _plan(logged, logged.queue_passes)
    with console.progress("books", len(logs) * len(BOOKS)) as step:
        rows = [row for log in logs for row in log_bounds(log, plan, step)]
    path = logged.out_root / "fills" / "fills_bounds.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (_json(content(rows, plan.life_us)) + "\n").encode())
    console.set_json({**json.loads(_json(content(rows, plan.life_us))), "path": str(path)})
    console.print("\n".join(lines(rows, plan.life_us)))
    console.print(str(path))


def _logs(logged: Logged) -> list[Path]:
    if logged.order_log is not None:
        if not logged.order_log.is_file():
            raise DataError("{order_log} {}: there is no such file", logged.order_log)
        return [logged.order_log]
    symbols = [logged.symbol] if logged.symbol else sorted(path.name for path in logged.data_root.glob("*"))
    days = day_list(logged.day) if logged.day else None
    folders = [
        day_folder(logged.data_root, symbol, day)
        for symbol in symbols
        for day in days or sorted(path.name for path in (logged.data_root / symbol).glob("[0-9]" * 8))
    ]
    for folder in [] if logged.open_held_out else folders:
        refuse_held(folder.root, folder.symbol, [folder.day])
    if not (logs := [folder.order_log for folder in folders if folder.order_log.is_file()]):
        raise DataError(
            "{data_root} {}: no such day has an order log; simulate one (mm sim day), or import orders (mm data import "
            "--format bitstamp)",
            logged.data_root,
        )
    return logs


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, default=asdict)


def _strategy(
    console: Console, scored: Scored, tapes: "Sequence[Tape]", own: "Mapping[str, Callable[[], object]]"
) -> dict[str, Any]:
    from mm.probes.strategy_score import strategy_scores

    if scored.strategy is None:
        return {}
    params, settings = (json.loads(text or "{}") for text in (scored.strategy_params_json, scored.settings_json))
    others = {name: _other_market(scored, name, declared) for name, declared in scored.declared().items()}
    models: dict[str, object] = {name: name for name in STRATEGY_MODELS}
    models |= {name: build() for name, build in own.items()}
    with console.progress("strategy", len(models) + 1) as step:
        played = {"preset": scored.preset, **settings, "others": others}
        scores = strategy_scores(tapes, (scored.strategy, params), models, played, step)
    about = {"name": scored.strategy, "params": params, "settings": settings, "others": scored.declared()}
    return {"strategy": {**about, "scores": scores}}


def _other_market(scored: Scored, name: str, declared: dict[str, Any]) -> dict[str, Any]:
    from mm.play.market import KEYS, open_days, other_day

    day = Day.like(scored, *scored.place())
    given = {key: value for key, value in declared.items() if key in KEYS}
    return {**given, "tape": open_days(other_day(day, scored, name), Market())}


def _plan(life: VirtualLife, passes: int) -> "OrderPlan":

    from mm.probes.virtual_orders import OrderPlan

    checks_us = tuple(round(check * life.life_us()) for check in CHECKS)
    return OrderPlan(life.life_us(), checks_us, passes, life.seed, hours_of(life.preset))


@command()
def fills_fit(console: Console, fitted: Fitted) -> None:
    """Estimate the exponent of queue_prob_power from a recorded day, and write it to a file if it is usable.

    It comes from the sizes of cancelled orders, from every order of the day (--truth), or from the fills of our trades
    (--trades). Later backtests of the symbol name it, and their sensitivity plays it as well.

    Example: mm fills fit --symbol BTCUSDT --day 20251216
    """
    from mm.probes.queue_exponent import fit_exponent

    if fitted.trades is not None:
        _fit_trades(console, fitted, fitted.trades)
        return
    day = fitted.day
    if day is None:
        raise UsageError(Sentence("give {day}, or {trades} with runs of mm trade"))
    tape = _tape(console, fitted, fitted.data_root, fitted.symbol, day)
    if fitted.truth:
        _fit_truth(console, fitted, day, tape)
        return
    hours = hours_of(fitted.preset)
    fit = fit_exponent(tape, life_us=fitted.life_us(), seed=fitted.seed, hours=hours)
    content = {"symbol": fitted.symbol, "day": day, "source": "sizes", **asdict(fit)}
    path = fitted.out_root / "fills" / fitted.symbol / f"{day}{EXPONENT_FILE}"
    if fit.usable:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())
    console.set_json({**content, "path": str(path if fit.usable else fitted.data_root / fitted.symbol / day)})
    if fit.exponent is not None:
        console.print(f"exponent = {fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})   {fit.status}")
    console.print(f"{fit.probes} of {fit.cancellations} cancellations with a known arrival of the order")
    if fit.ahead_share is not None and fit.predicted_share is not None:
        console.print(
            f"{100 * fit.ahead_share:.1f} % of the cancelled lots were ahead in the queue; "
            f"the model with this exponent predicts {100 * fit.predicted_share:.1f} %"
        )
    if fit.status == "misfit":
        console.print("misfit: cancellations of this day follow no power of the queue; the exponent is a rough guide")
    if not fit.usable:
        raise FitError(f"{fitted.symbol} {day}: the exponent is not usable ({fit.status}): {fit.reason}")
    console.print(str(path))


def _fit_truth(console: Console, fitted: Fitted, day: str, tape: "Tape") -> None:
    from mm.dayfolder.order_log import fifo_text
    from mm.probes.exponent_truth import true_exponent
    from mm.probes.queue_exponent import fit_exponent
    from mm.probes.queue_score import scored_day, stated
    from mm.tape.order_index import Consistency

    if tape.order_log is None:
        raise MissingOrders("{truth} fits to every order of the market: {}", tape.no_orders)
    scored = scored_day(tape, tape.order_log, _plan(fitted, TRUE_PASSES))
    fit = true_exponent(scored)
    by_sizes = fit_exponent(tape, life_us=fitted.life_us(), seed=fitted.seed, hours=hours_of(fitted.preset))
    fifo = scored.consistency or Consistency(0, 0)
    about = {"source": "truth", "fifo_consistency": fifo.share, "by_sizes": asdict(by_sizes)}
    path = _write_fit(console, fitted, day, fit, about)
    if fit.exponent is None or fit.bias is None or fit.default_bias is None:
        raise FitError(
            "{} {}: only {} orders had to wait; give a longer day, or a shorter {queue_life_s}",
            fitted.symbol,
            day,
            fit.n_orders,
        )
    console.print(f"exponent = {fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})   {fit.status}, by every order")
    sizes = by_sizes.reason
    if by_sizes.exponent is not None:
        interval = f"({by_sizes.low:.2f} to {by_sizes.high:.2f})"
        sizes = f"exponent = {by_sizes.exponent:.2f} {interval}   {by_sizes.status}, by sizes"
    console.print(sizes)
    console.print(
        f"{fit.n_orders:,} orders: share filled {stated(fit.bias, 100, '+')} points off the truth with it, "
        f"{stated(fit.default_bias, 100, '+')} with the default"
    )
    console.print(fit.definition)
    if said := fifo_text(fifo.executed_lots, fifo.first_lots):
        console.print(said)
    console.print(str(path))
    if not fit.usable:
        raise FitError(
            f"{fitted.symbol} {day}: the exponent is not usable ({fit.status}): the least error is at the edge "
            f"of the tried exponents, as places in these queues do not depend on it; keep the default"
        )


def _fit_trades(console: Console, fitted: Fitted, names: str) -> None:
    from mm.probes.own_orders import own_exponent

    if fitted.day is not None or fitted.truth:
        raise UsageError(Sentence("{trades} knows the days of its runs; leave out {day} and {truth}"))
    runs, days, run_of = _own_days(fitted, names.split(","))
    fit = own_exponent(
        ((_tape(console, fitted, fitted.data_root, fitted.symbol, day), own) for day, own in days), run_of
    )
    day = days[-1][0]
    path = _write_fit(console, fitted, day, fit, {"source": "trades", "runs": [run.run_id for run in runs]})
    console.print("\n".join(_lines_of_trades(fit)))
    console.print(str(path))
    if not fit.shown:
        raise FitError(
            "{} {}: the exponent is not usable ({}): {} orders had to wait, and {} of them filled, which tells too "
            "little; give more runs of mm trade to {trades}, or keep the default",
            fitted.symbol,
            names,
            fit.status,
            fit.n_orders,
            fit.n_fills,
        )


def _write_fit(console: Console, fitted: Fitted, day: str, fit: "AgreedExponent", about: dict[str, Any]) -> Path:
    """Return the path of ``fills_fit.json``; a usable fit also gets the file that later backtests read.

    Fits to trades have their own folder: the same day may be fitted to every order too.
    """
    bias = {"bias": fit.bias and fit.bias.value, "ci95": fit.bias and fit.bias.ends}
    content = {"symbol": fitted.symbol, "day": day, **about, **asdict(fit), **bias}
    folder = fitted.out_root / "fills" / fitted.symbol
    path = folder / (day if about["source"] == "truth" else f"{day}_{about['source']}") / "fills_fit.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (json.dumps(content, indent=1) + "\n").encode()
    write_atomic(path, text)
    if fit.usable:
        write_atomic(folder / f"{day}{EXPONENT_FILE}", text)
    console.set_json({**content, "path": str(path)})
    return path


def _own_days(fitted: Fitted, names: "Sequence[str]") -> "OwnDays":
    """The runs, the orders of each day, and the run of each client order id."""
    from mm.backtest.days_without_us import OwnActivity
    from mm.base.audit_chain import audit_path
    from mm.play.own_activity import own_activity
    from mm.runs.find import open_run

    found = (open_run(name, fitted.out_root, ("trade",), fitted.symbol) for name in names)
    runs = {run.run_id: run for run in found}
    days: dict[str, list[OwnActivity]] = {}
    run_of: dict[str, str] = {}
    for run in runs.values():
        if run.kind != "trade":
            raise UsageError(
                "{} is a run of kind {!r}, whose fills are assumed; {trades} takes runs of mm trade (mm runs list)",
                run.folder,
                run.kind,
            )
        if run.symbol != fitted.symbol:
            raise Mismatch(
                "{} is a trade of {}, and {symbol} is {}; fit each symbol to its own trades",
                run.folder,
                run.symbol,
                fitted.symbol,
            )
        day = str(run.manifest["day"])
        recorded = fitted.folder(day)
        if not recorded.is_dir():
            raise MissingDay(
                "{}: there is no such folder, and the orders of the trade {} are played on the day that it recorded; "
                "give the {data_root} of that trade",
                recorded,
                run.run_id,
            )
        log = audit_path(run.folder.absolute().parents[2], run.symbol, day, run.run_id)
        if not log.is_file():
            raise DataError(
                f"{log}: there is no such file, and the audit log has the orders of the trade {run.run_id}; give its "
                f"run folder where it was written, with the folder audit beside trade"
            )
        activity = own_activity(log)
        days.setdefault(day, []).append(activity)
        run_of |= {order.client_id: run.run_id for order in activity.orders}
    own = [(day, OwnActivity.joined(parts)) for day, parts in sorted(days.items())]
    orders = [order for _, activity in own for order in activity.orders]
    if not any(order.fills for order in orders):
        raise DataError(
            "{}: none of {} orders filled, and only fills tell when a queue had passed; give trades with fills to "
            "{trades}, or fit by sizes: mm fills fit --symbol {} --day {}",
            ", ".join(str(run.folder) for run in runs.values()),
            len(orders),
            fitted.symbol,
            own[-1][0],
        )
    return list(runs.values()), own, run_of


def _lines_of_trades(fit: "OwnExponent") -> "Iterator[str]":
    from mm.probes.queue_score import aligned, stated

    waited = f"{fit.n_orders:,} orders of ours that had to wait, {fit.n_fills:,} of them filled"
    if fit.exponent is None or fit.bias is None or fit.default_bias is None:
        yield waited
    else:
        interval = "" if fit.low is None else f" ({fit.low:.2f} to {fit.high:.2f})"
        yield f"exponent = {fit.exponent:.2f}{interval}   {fit.status}, by {waited}"
        if not fit.usable:
            yield "backtests keep the default: " + (
                "the interval has every exponent tried; more runs make it narrower"
                if fit.status == "wide"
                else "the likelihood is highest at the edge of the tried exponents"
            )
        yield (
            f"share filled {stated(fit.bias, 100, '+')} points off the exchange's with it, "
            f"{stated(fit.default_bias, 100, '+')} with the default"
        )
    if fit.message_us is not None and fit.message_us >= BATCHED_US:
        yield (
            f"the book comes every {fit.message_us / 1000:,.0f} ms: orders that join and leave between two messages "
            f"are not seen, so every order of the day (--truth) may tell a higher exponent than these fills"
        )
    if fit.left_out:
        yield "left out: " + ", ".join(f"{count:,} {reason}" for reason, count in fit.left_out.items())
    if fit.large:
        named = ", ".join([*(order["client_id"] for order in fit.large[:3]), *["…"][: len(fit.large) > 3]])
        yield (
            f"{len(fit.large):,} orders of at least half of the lots ahead of them ({named}): the market "
            f"may have reacted to them"
        )
    rows = [
        (f"{own.by} {own.bin}", f"{100 * own.predicted:.1f}", f"{100 * own.observed:.1f}", f"{own.n:,}")
        for own in fit.reliability
    ]
    if rows:
        yield from aligned([("share filled, %", "predicted", "true", "orders"), *rows])
    yield from _held_out_lines(fit.held_out)
    yield fit.definition


def _held_out_lines(found: "HeldOut | None") -> "Iterator[str]":
    from mm.probes.queue_score import aligned, stated

    if found is None:
        yield "not scored on other runs: give two or more runs that filled"
        return
    least, most = min(found.exponents.values()), max(found.exponents.values())
    yield (
        f"each of {len(found.exponents)} runs with the fit to the others (exponents {least:.2f} to {most:.2f}): "
        f"{found.n_fills:,} of {found.n_orders:,} orders filled"
    )
    head = ("on runs not fitted to", "hits", "misses", "false fills", "log score", "share filled off, points")
    rows = [
        (
            name,
            f"{one.hits:,}",
            f"{one.misses:,}",
            f"{one.false_fills:,}",
            "–" if one.log_score is None else f"{one.log_score:.3f}",
            stated(one.bias, 100, "+"),
        )
        for name, one in found.models.items()
    ]
    yield from aligned([head, *rows])


def _markets(console: Console, scored: Scored) -> "Iterator[tuple[Tape, Path]]":
    from mm.probes.log_tape import tape_of_log

    if scored.order_log is not None and scored.symbol is None and scored.day is None:
        if not scored.order_log.is_file():
            raise DataError("{order_log} {}: there is no such file", scored.order_log)
        yield tape_of_log(scored.order_log), scored.order_log
        return

    symbol, days = scored.place()
    folders = [day_folder(scored.data_root, symbol, day) for day in day_list(days)]
    for folder in folders:
        if not folder.order_log.is_file():
            raise DataError(
                f"{folder.order_log}: there is no such file; only a simulated day (mm sim day) or an order-by-order "
                f"import (mm data import --format bitstamp) has an order log"
            )
    for folder in folders:
        yield _tape(console, scored, scored.data_root, symbol, folder.day), folder.order_log


def _tape(console: Console, life: VirtualLife, root: Path, symbol: str, day: str) -> "Tape":
    from mm.play.notes import day_notes
    from mm.tape.load import load_day
    from mm.trials.openings import write_openings

    folder, opened = day_folder(root, symbol, day), life.open_held_out
    tape = load_day(folder, cache=life.out_root / "tapes", damaged=life.damaged, open_held_out=opened)
    for problem in write_openings(life.out_root, [tape], "fills"):
        console.print(f"note: {problem}")
    for note in day_notes([tape]):
        console.print(f"note: {note}")
    return tape
