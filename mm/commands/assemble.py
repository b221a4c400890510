"""Convert knobs to objects: names, decimals and milliseconds become models, integers and µs only here."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.io import load_day
from mm.backtest.latency import Latencies
from mm.backtest.quotes.agent_file import SavedAgent, read_agent
from mm.backtest.quotes.base import QuoteModel
from mm.backtest.risk import NO_RISK, Risk, limits_of, ramped_lots
from mm.backtest.rules import Account, Execution, Rules, feed_terms, terms
from mm.backtest.run_terms import (
    DAYS_NOT_PLAYED,
    FEE_RATE,
    IMPLAUSIBLE_FEE,
    SPOT_FEES,
    UNEARNED_FEE,
    break_even_ticks,
    fraction_of,
)
from mm.base.knobs import groups_of
from mm.clock import missing_days, us_from_ms
from mm.dayfolder.layout import USDM, day_folder, days_of
from mm.dayfolder.ledger import LedgerView
from mm.dayfolder.rows import DefectList
from mm.errors import Mismatch, UsageError
from mm.instrument import E8, Instrument, e8, short_text
from mm.models.builder import ModelBuilder, agent_files, check_names, read_fitted, takes_clustering
from mm.play.knobs import Day, Market, Models, OtherMarkets
from mm.play.nested_quotes import Tree, volatility
from mm.play.other_markets import feed_of_market
from mm.predict.artefact import ARRAYS, MODEL
from mm.runs.in_progress import Run
from mm.runs.trusted import FILES_NAMED, KEPT, KEPT_INDEX
from mm.signals.micro_price import MicroPriceFit, fit_micro_price
from mm.signals.other_feed import OtherFeed

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.calibration.calibrator import CalibrationConfig, FillsMeasured
    from mm.calibration.windows import Fallback, WindowPlan
    from mm.dayfolder.layout import DayFolder
    from mm.play.calibration_knobs import Calibration, Fit, Windows
    from mm.tape.tape import Tape

MICRO_PRICE = "micro_price"
MICRO_PRICE_DAYS = 5  # maximum number of earlier days for the fit of the micro-price
_CHUNK = 4_096  # events searched at once for the first mid
LEG_REQUOTE_US = 3_600_000_000  # nothing quotes in another market: the strategy's own calls send its orders
NOTIONAL_MARGIN = 0.9  # of the first mid: quotes below it must still reach the least notional


def tapes(run: Run, day: Day, market: Market) -> "list[Tape]":
    """Open the tapes of the days, on one grid, and record their files as inputs of the run.

    Raises:
        Mismatch: If the days have different tick sizes.
    """
    with run.timing("load"):
        opened = open_days(day, market, run.tapes)
    for tape in opened:
        _note(run, tape)
    run.timings.update(events=sum(len(tape) for tape in opened), rows=sum(len(tape.row_ticks) for tape in opened))
    run.timings["tape_cache"] = "hit" if all(tape.meta.cache == "hit" for tape in opened) else opened[0].meta.cache
    return opened


def open_days(day: Day, market: Market, cache: Path) -> "list[Tape]":
    """Return the tapes of the days, on one grid, with order steps that every day allows; *cache* is the tape folder.

    Raises:
        Mismatch: If the days have different tick sizes.
        MissingDay: If a day does not exist; none is read then.
    """
    folders = [day_folder(day.data_root, day.symbol, name) for name in day.days()]
    opened = [
        load_day(
            folder,
            cache=cache,
            damaged=day.damaged,
            tick_size_e8=_e8(market.tick_size),
            qty_step_e8=_e8(market.qty_step),
            min_notional_e8=_e8(market.min_notional),
        )
        for folder in folders
    ]
    return on_one_grid([_without_us(tape, folder, day) for tape, folder in zip(opened, folders, strict=True)])


def audit_folder(day: Day, folder: "DayFolder") -> Path:
    """Return the folder of the audit logs of a day's symbol."""
    return day.out_root / "audit" / folder.symbol


def _without_us(tape: "Tape", folder: "DayFolder", day: Day) -> "Tape":
    """Return a day without the orders and trades of ours that OWN_ORDERS takes off it, with their logs as inputs."""
    if day.own_orders == "keep" or (day.own_orders == "auto" and not audit_folder(day, folder).is_dir()):
        return tape
    from mm.backtest.days_without_us import OwnActivity, without_us  # imported here: most days have no orders of ours
    from mm.live.own_activity import logs_of_day, own_activity

    view = LedgerView.of(folder, DefectList(folder))
    if day.own_orders == "auto":
        logs = logs_of_day(day.out_root, folder.symbol, folder.day, view.runs)
    else:
        path = Path(day.own_orders).expanduser()
        logs = sorted(path.glob("*.ndjson")) if path.is_dir() else [path]
    if not logs:
        return tape
    own = OwnActivity.joined(own_activity(path) for path in logs)
    if view.knob("trade_stream", "trade") != "trade":  # an aggregate is of several trades, and stays
        own = replace(own, trade_ids=frozenset())
    found = without_us(tape, own)
    read = [
        (os.path.relpath(path, day.data_root), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in logs
    ]
    return replace(found, meta=replace(found.meta, inputs=(*found.meta.inputs, *read)))


def on_one_grid(opened: "Sequence[Tape]") -> "list[Tape]":
    """Return days of one symbol with a common lot size, and order steps that every day allows.

    Raises:
        Mismatch: If they have different tick sizes.
    """
    ticks = {tape.instrument.tick_e8: tape.days[0] for tape in opened}
    if len(ticks) > 1:
        found = ", ".join(f"{name} has {short_text(tick)}" for tick, name in ticks.items())
        raise Mismatch(
            f"{opened[0].symbol}: the days have different tick sizes ({found}); run them separately, or set --tick-size"
        )
    lot_e8 = math.gcd(*(tape.instrument.lot_e8 for tape in opened))
    opened = [tape.with_lot(lot_e8) for tape in opened]
    ticks_of, lots_of = {tape.step_ticks for tape in opened}, {tape.step_lots for tape in opened}
    if len(ticks_of) == len(lots_of) == 1:
        return opened
    return [replace(tape, step_ticks=math.lcm(*ticks_of), step_lots=math.lcm(*lots_of)) for tape in opened]


def other_feeds(
    run: Run, day: Day, market: Market, others: OtherMarkets, own: "Sequence[Tape]"
) -> dict[str, OtherFeed]:
    """Open the days of the other markets, and return their feeds; their files are inputs of the run.

    Raises:
        Mismatch: If one does not overlap with the run's own days.
        MissingDay: If it lacks one of the days.
    """
    with run.timing("load"):
        feeds = open_others(day, market, others, own, run.tapes)
    for name, feed in feeds.items():
        for tape in feed.tapes:
            _note(run, tape, os.path.relpath(other_day(day, others, name).data_root, day.data_root))
        for note in feed.notes:
            run.log.warning("other_market", name=name, message=note)
    return feeds


def other_day(day: Day, others: OtherMarkets, name: str) -> Day:
    """Return the days of the other market called *name*."""
    one = others.declared()[name]
    return replace(day, symbol=one["symbol"], data_root=Path(one.get("data_root") or day.data_root))


def open_others(
    day: Day, market: Market, others: OtherMarkets, own: "Sequence[Tape]", cache: Path
) -> dict[str, OtherFeed]:
    """Return the feeds of the other markets beside the *own* days; raises as `other_feeds`."""
    grid = replace(market, tick_size=None, qty_step=None, min_notional=None)
    return {
        name: feed_of_market(
            name, own, open_days(other_day(day, others, name), grid, cache), one.get("feed_latency_ms")
        )
        for name, one in others.declared().items()
    }


def with_others(
    known: Rules, feeds: Mapping[str, OtherFeed], declared: Mapping[str, Any], account: Account, way: str = "OTHERS"
) -> Rules:
    """Return *known* rules with other markets, and with rules for those that are *declared* with ``orders``.

    Raises:
        UsageError: If ``orders`` has an unknown or invalid knob, which *way* leads to.
    """
    legs = {}
    for name, feed in feeds.items():
        orders = declared[name].get("orders") if isinstance(declared[name], Mapping) else None
        if orders is None:
            continue
        execution, own, models = leg_knobs(name, orders, account, way)
        legs[name] = replace(rules(feed.first, execution, own, models), requote_us=LEG_REQUOTE_US)
    return replace(known, others=dict(feeds), legs=legs)


def leg_knobs(
    name: str, orders: Mapping[str, Any], account: Account, way: str = "OTHERS"
) -> tuple[Execution, Account, Models]:
    """Return the knobs of the orders in another market, given as ``orders``; *account* is that of the run.

    Raises:
        UsageError: If there is an unknown or invalid knob, which *way* leads to.
    """
    given = {"seed": account.seed, "state_interval_ms": account.state_interval_ms} | dict(orders)
    try:
        execution, own, models = groups_of((Execution, Account, Models), given, "orders")
    except TypeError as error:
        raise UsageError(f"{way}: {name}: {error}") from None
    except UsageError as error:
        raise UsageError(f"{way}: {name}: orders: {error}") from None
    if execution.feed_latency not in ("auto", "none"):
        raise UsageError(f"{way}: {name}: orders has feed_latency; give feed_latency_ms beside orders")
    return replace(execution, feed_latency="none"), own, models


def micro_price_before(run: Run | None, day: Day, market: Market, tape: "Tape", cache: Path) -> MicroPriceFit | None:
    """Return the micro-price fitted on the recorded days before *tape*, at most the last `MICRO_PRICE_DAYS`.

    Days with another tick size are excluded. The files of the days are inputs of *run*.

    Returns:
        None if there are no such days, or the mid does not move on them.
    """
    names = [name for name in days_of(day.data_root, day.symbol) if name < tape.days[0]][-MICRO_PRICE_DAYS:]
    if not names:
        return None
    grid = replace(market, qty_step=None, min_notional=None)
    opened = [one for name in names for one in open_days(replace(day, day=name), grid, cache)]
    fitting = [one for one in opened if one.instrument.tick_e8 == tape.instrument.tick_e8]
    if run is not None:
        for one in fitting:
            _note(run, one)
    return fit_micro_price(fitting) if fitting else None


def with_micro_price(
    run: Run | None, rules: Rules, quotes: object, day: Day, market: Market, tape: "Tape", cache: Path
) -> Rules:
    """Return *rules* with the fit of ``micro_price`` if a quote model reads it (`micro_price_before`)."""
    if MICRO_PRICE not in getattr(quotes, "signals", ()):
        return rules
    return replace(rules, micro_price=micro_price_before(run, day, market, tape, cache))


def keep_models(run: Run, models: Models) -> None:
    """Copy the agents and predictors of the models' parameters into *run*, because a later fit may overwrite them."""
    kept: dict[str, str] = {}
    for text in artefacts([models.quote_params(), models.fill_params()]):
        source, place = Path(text), f"{KEPT}/{len(kept)}"
        kept[text] = place if source.is_dir() else f"{place}/{source.name}"
        for path in [source / name for name in (MODEL, ARRAYS)] if source.is_dir() else [source]:
            run.path(f"{place}/{path.name}").write_bytes(path.read_bytes())
    if kept:
        run.path(f"{KEPT}/{KEPT_INDEX}").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def kept_models(models: Models, folder: Path) -> Models:
    """Return *models* with references to the copies in the run's *folder*; unchanged if it has none."""
    index = folder / KEPT / KEPT_INDEX
    if not index.is_file():
        return models
    places = {text: str(folder / place) for text, place in json.loads(index.read_text(encoding="utf-8")).items()}
    return moved_models(models, places)


def moved_models(models: Models, places: Mapping[str, str]) -> Models:
    """Return *models* with files and folders in their parameters replaced by *places*."""
    quotes, fills = (json.dumps(moved(one, places)) for one in (models.quote_params(), models.fill_params()))
    return replace(
        models,
        quote_params_json=models.quote_params_json and quotes,
        fill_params_json=models.fill_params_json and fills,
    )


def artefacts(value: object, key: str = "") -> Iterator[str]:
    """Yield the texts in JSON parameters that name a predictor's folder or an agent."""
    if isinstance(value, str):
        folder = value.removesuffix(":bid").removesuffix(":ask")
        if (Path(folder) / MODEL).is_file() or (key in FILES_NAMED and Path(value).is_file()):
            yield folder
    elif isinstance(value, Mapping | list):
        pairs = value.items() if isinstance(value, Mapping) else ((key, one) for one in value)
        for name, one in pairs:
            yield from artefacts(one, name)


def moved(value: Any, places: Mapping[str, str]) -> Any:
    """Return parameters with the name of each artefact replaced by its path."""
    if isinstance(value, Mapping):
        return {key: moved(one, places) for key, one in value.items()}
    if isinstance(value, list):
        return [moved(one, places) for one in value]
    if not isinstance(value, str):
        return value
    folder = value.removesuffix(":bid").removesuffix(":ask")
    return places.get(folder, folder) + value.removeprefix(folder)


def check_agents(run: Run | None, models: Models, execution: Execution, tapes: "Sequence[Tape]") -> None:
    """Refuse trained agents with another tick size, and record their files as inputs.

    A warning is logged in *run* if an agent was trained on another symbol, with another requote interval, or on a
    replayed day.

    Raises:
        Mismatch: If the tick size differs from that of the training.
    """
    for path in agent_files(models):
        agent = read_agent(path)
        for tape in tapes:
            agent.terms.check_tick(tape.instrument.tick_e8)
        if run is not None:
            run.input_file(path)
            warn_of_agent(run.log, path, agent, execution, tapes)


def warn_of_agent(log: "Logger", path: Path, agent: SavedAgent, execution: Execution, tapes: "Sequence[Tape]") -> None:
    """Warn if a market or a run differs from the training of an agent; *path* is the agent's file."""
    trained, symbol = agent.terms.symbol, tapes[0].symbol
    if trained != symbol:
        log.warning("agent_of_another_symbol", path=str(path), trained_on=trained, symbol=symbol)
    trained_ms, played_ms = agent.requote_interval_ms, execution.requote_interval_ms
    if trained_ms != played_ms:
        way_out = f"set REQUOTE_INTERVAL_MS={trained_ms:g}, or train an agent with {played_ms:g}"
        log.warning("agent_requotes_otherwise", path=str(path), trained_ms=trained_ms, way_out=way_out)
    overlap = sorted({day for tape in tapes for day in tape.days} & set(agent.about.get("days", ())))
    if overlap:
        log.warning("agent_in_sample", path=str(path), days=",".join(overlap))


def warn_of_missing_days(log: "Logger", day: Day) -> None:
    """Warn if whole days are missing between the replayed days: positions and orders carry over them."""
    if between := missing_days(day.days()):
        log.warning(DAYS_NOT_PLAYED, days=between, way_out="run the parts separately, or add these days")


def warn_of_fees(log: "Logger", tape: "Tape", *rules: Rules) -> None:
    """Warn once about each implausible fee rate in *rules*, and about futures with the default maker fee of Spot."""
    odd = {(knob, rate_e8): None for one in rules for knob, rate_e8 in one.implausible_fees.items()}
    for knob, rate_e8 in odd:
        log.warning(IMPLAUSIBLE_FEE, knob=knob, rate=short_text(rate_e8), way_out=fraction_of(knob, rate_e8))
    if tape.meta.venue == USDM and any("MAKER_FEE_RATE" in one.default_fees for one in rules):
        log.warning(SPOT_FEES, day=tape.days[0], rate=FEE_RATE, way_out="set MAKER_FEE_RATE to your account's rate")


def warn_of_unearned_fee(log: "Logger", found: Sequence[tuple[float, float] | None]) -> None:
    """Warn once if quotes cannot earn their maker fee, with the greatest lack; *found* is `unearned_fee` by play."""
    lacking = [one for one in found if one is not None]
    if lacking:
        half, fee = max(lacking, key=lambda one: one[1] - one[0])
        points = {"points": f"{len(lacking)} of {len(found)}"} if len(found) > 1 else {}
        way_out = "set MAKER_FEE_RATE to your account's rate, or quote wider"
        ticks = {"half_spread_ticks": round(half, 3), "fee_ticks": round(fee, 3)}
        log.warning(UNEARNED_FEE, **ticks, **points, way_out=way_out)


def median_touch(tape: "Tape") -> tuple[int, int]:
    """Return the medians of the best bid and of the spread, in ticks; 0 for both if the book is never valid."""
    bids, asks = tape.top_bid_ticks, tape.top_ask_ticks
    both = (bids > 0) & (asks > 0)
    return (int(np.median(bids[both])), int(np.median((asks - bids)[both]))) if both.any() else (0, 0)


def unearned_fee(
    touch: tuple[int, int], rules: Rules, quotes: object | None, us: int = 0
) -> tuple[float, float] | None:
    """Return half-spread and maker fee, in ticks, if the half-spread that *quotes* shows before any move is below it.

    It is shown the *touch*, a `median_touch`, at the instant *us*. Without *quotes*, as for a user's model, and for one
    that quotes nothing there, it is the displayed half-spread.
    """
    bid, spread = touch
    half = spread / 2
    if (
        isinstance(quotes, QuoteModel)
        and not quotes.signals
        and type(quotes).__module__.startswith("mm.backtest.quotes")
    ):
        seen = quotes.answer(bid_ticks=bid, ask_ticks=bid + spread, quote_lots=rules.quote_lots, us=us)
        if seen.bid_ticks is not None and seen.ask_ticks is not None:
            half = max((seen.ask_ticks - seen.bid_ticks) / 2, 0.0)
    fee = break_even_ticks(
        (rules.maker_fee_e8, rules.maker_unit_fee_e8), bid + spread / 2, rules.tick_e8, rules.multiplier
    )
    return (half, fee) if half < fee else None


def _note(run: Run, tape: "Tape", root: str = ".") -> None:
    """Record the inputs in the manifest and the log; *root* is their folder relative to DATA_ROOT."""
    for path, size, sha256 in tape.meta.inputs:
        run.input(str(PurePosixPath(root) / path), size, sha256)
    for warning in tape.meta.warnings:
        run.log.warning("data_warning", day=tape.days[0], message=warning)
    for sentence in tape.meta.excluded:
        file = sentence.partition(":")[0]
        run.exclude(f"{tape.days[0]}: {sentence}", warned=any(file in warning for warning in tape.meta.warnings))
    run.log.info("day_loaded", day=tape.days[0], events=len(tape.kind), rows=len(tape.row_ticks), **tape.meta.counts)


def rules(
    tape: "Tape",
    execution: Execution,
    account: Account,
    models: Models | None = None,
    *,
    risk: Risk = NO_RISK,
    run: Run | None = None,
) -> Rules:
    """Return the rules of a run that starts with *tape*; without *models* a quote is one quantity step.

    A latency file is recorded as an input of *run*. A size ramp is applied with its first fraction.
    """
    instrument = tape.instrument
    sigma = volatility(Tree.of(models.quote_model, models.quote_params())) if models else {}
    return Rules(
        tick_e8=instrument.tick_e8,
        lot_e8=instrument.lot_e8,
        latencies=_latencies(execution, run),
        start_lots=_lots(account.initial_inventory, instrument, "--initial-inventory (INITIAL_INVENTORY)"),
        target_lots=_target_lots(account, tape),
        quote_lots=ramped_lots(_quote_lots(tape, models), tape.step_lots, risk.size_ramp),
        quote_levels=models.quote_levels if models else 1,
        level_step_ticks=models.level_step_ticks if models else 1,
        step_lots=tape.step_lots,
        step_ticks=tape.step_ticks,
        min_notional_e8=instrument.min_notional_e8,
        filters=instrument.filters,
        risk=limits_of(risk),
        **({"enforce_balances": False} if tape.meta.venue == USDM else {}) | terms(execution, account),
        **feed_terms(execution.feed_latency, tape),
        **sigma,
    )


def _latencies(execution: Execution, run: Run | None) -> Latencies | None:
    if execution.latency_file is None:
        return None
    found = Latencies.read(execution.latency_file)
    if run is not None:
        run.input_file(execution.latency_file)
    return found


def _lots(qty: str, instrument: Instrument, knob: str) -> int:
    lots, rest = divmod(e8(qty), instrument.lot_e8)
    if rest:
        raise UsageError(f"{knob} is {qty}; it must be a multiple of {short_text(instrument.lot_e8)}")
    return lots


def _target_lots(account: Account, tape: "Tape") -> int | None:
    if account.target_inventory is None:
        return None
    lots, knob = account.target_inventory, "--target-inventory (TARGET_INVENTORY)"
    found = _lots(lots, tape.instrument, knob)
    if found % tape.step_lots:
        step = short_text(tape.step_lots * tape.instrument.lot_e8)
        raise UsageError(f"{knob} is {lots}; it must be a multiple of the quantity step {step}")
    return found


def _quote_lots(tape: "Tape", models: Models | None) -> int:
    """Return the quote quantity in lots: QUOTE_QTY, else the smallest whole number of steps at the minimum notional."""
    instrument, step_e8 = tape.instrument, tape.step_lots * tape.instrument.lot_e8
    if models and models.quote_qty is not None:
        if e8(models.quote_qty) % step_e8:
            raise UsageError(
                f"--quote-qty (QUOTE_QTY) is {models.quote_qty}; it must be a multiple of the quantity step "
                f"{short_text(step_e8)}"
            )
        return e8(models.quote_qty) // instrument.lot_e8
    first = None
    for at in range(0, len(tape.top_bid_ticks), _CHUNK):
        both = (tape.top_bid_ticks[at : at + _CHUNK] > 0) & (tape.top_ask_ticks[at : at + _CHUNK] > 0)
        if both.any():
            first = at + int(both.argmax())
            break
    if first is None:
        return tape.step_lots
    price_e8 = NOTIONAL_MARGIN * int(tape.top_bid_ticks[first] + tape.top_ask_ticks[first]) * instrument.tick_e8 / 2
    steps = math.ceil(instrument.min_notional_e8 * E8 / (price_e8 * step_e8))
    return max(steps, 1) * tape.step_lots


def calibration_config(
    calibration: "Calibration", fit: "Fit", seed: int, tape: "Tape", run: Run | None = None
) -> "CalibrationConfig":
    """Return the calibration config of days that start with *tape*; the file of a user's model is recorded in *run*."""
    from mm.calibration.calibrator import CalibrationConfig
    from mm.calibration.sweeps import HitRule

    fills = _measured(calibration, seed, tape, run)
    return CalibrationConfig(
        method="fixed" if fills and calibration.calib_method == "marks" else calibration.calib_method,
        fills=fills,
        deltas=calibration.calib_deltas if isinstance(calibration.calib_deltas, tuple) else None,
        dwell_ms=calibration.calib_dwell_ms,
        mid_move_threshold_ticks=calibration.calib_mid_move_threshold_ticks,
        reference=calibration.calib_reference,
        rule=HitRule(
            hit=calibration.calib_hit,
            order_e8=e8(calibration.calib_order_qty),
            queue_ahead=calibration.calib_queue_ahead,
            grouped=calibration.calib_sweeps,
        ),
        distance=calibration.calib_distance,
        seed=seed,
        fit_method=fit.fit_method,
        min_exposure_s=fit.min_exposure_s,
        min_usable_deltas=fit.min_usable_deltas,
        max_delta_ticks=fit.max_delta_ticks if isinstance(fit.max_delta_ticks, float) else None,
    )


def _measured(calibration: "Calibration", seed: int, tape: "Tape", run: Run | None) -> "FillsMeasured | None":
    """Return the fill model of the measured orders; None if the hit rule decides."""
    from mm.calibration.calibrator import FillsMeasured

    name, params = calibration.calib_fills, calibration.fill_params()
    if name is None:
        return None
    models = Models(fill_model=name, fill_params_json=json.dumps(params) if params else None)
    check_names(models)
    make = ModelBuilder(run, models, tape, seed).fills
    make()  # refuses invalid parameters before the first replay
    return FillsMeasured(name, params, make)


def plan(windows: "Windows", execution: Execution, *models: Models) -> "WindowPlan":
    """Return the windows of a schedule for *models*; training ends one order latency before its segment."""
    from mm.calibration.windows import WindowPlan

    return WindowPlan(
        train_window_min=windows.wf_train_window_min,
        step_min=windows.wf_step_min,
        latency_us=us_from_ms(execution.order_latency_ms),
        mode=windows.schedule_mode,
        half_life_min=windows.schedule_half_life_min,
        clustered=windows.schedule_clustering or any(map(takes_clustering, models)),
    )


def fallback(windows: "Windows", models: Models) -> "Fallback":
    """Return the fallback for windows without a usable fit.

    Raises:
        UsageError: If ``global_default`` has no A and k.
    """
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.windows import Fallback

    oldest_min = windows.fallback_max_age_min
    max_age_s = math.inf if oldest_min is None else oldest_min * 60
    if windows.fallback_policy != "global_default":
        return Fallback(windows.fallback_policy, max_age_s)
    params = models.fill_params()
    if models.fill_params_file is not None:
        fitted = read_fitted(models.fill_params_file)
        params = {"A": fitted.A, "k": fitted.k} if isinstance(fitted, PoissonFit) and fitted.usable else {}
    if not all(isinstance(params.get(name), int | float) for name in ("A", "k")):
        raise UsageError(
            "--fallback-policy (FALLBACK_POLICY) global_default needs one A and k: FILL_PARAMS_FILE=<a usable fit>, "
            'or FILL_PARAMS_JSON=\'{"A": .., "k": ..}\''
        )
    return Fallback("global_default", max_age_s, default=(params["A"], params["k"]))


def _e8(text: str | None) -> int | None:
    return None if text is None else e8(text)


def unfitted(models: Models) -> Models:
    """Return *models* that take A and k from the given fit or schedule, not from their knobs."""
    fitted = models.fill_model == "poisson" or (models.fill_model == "hawkes" and takes_clustering(models))
    return replace(models, fill_params_json=None if fitted else models.fill_params_json, fill_params_file=None)
