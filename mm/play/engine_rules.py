"""The rules of a backtest from its knobs: only here do decimals and milliseconds become integers and µs."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mm.backtest.latency import Latencies
from mm.backtest.margin_terms import Margin, MarginTerms
from mm.backtest.risk import NO_RISK, Risk, limits_of, ramped_lots
from mm.backtest.rules import Account, Execution, Rules, feed_fields, rule_fields
from mm.backtest.run_terms import FEE_RATE
from mm.errors import UsageError, parameter
from mm.instrument import E8, Instrument, e8, short_text
from mm.play.given import groups_of
from mm.play.knobs import Models
from mm.play.nested_quotes import Tree, volatility
from mm.signals.other_feed import OtherFeed

if TYPE_CHECKING:
    from mm.markets.market import Market
    from mm.tape.tape import Tape

_CHUNK = 4_096  # events searched at once for the first mid
LEG_REQUOTE_US = 3_600_000_000  # nothing quotes in another market: the strategy's own calls send its orders
NOTIONAL_MARGIN = 0.9  # of the first mid: quotes below it must still reach the least notional


def rules_of(
    tape: "Tape",
    execution: Execution,
    account: Account,
    models: Models | None = None,
    *,
    risk: Risk = NO_RISK,
    margin: Margin | None = None,
) -> Rules:
    """Without *models* a quote is one quantity step."""
    instrument = tape.instrument
    money = ({"enforce_balances": False} if tape.meta.market.contract else {}) | rule_fields(execution, account)
    money |= _usual_fees(tape.meta.market, account)
    start_lots = _lots(account.initial_inventory, instrument, "initial_inventory")
    if start_lots < 0 and money.get("enforce_balances", True):
        raise UsageError(
            "{initial_inventory} is {}: Spot holds nothing below 0; play a day of USD-M for a short position, or set "
            "{preset} to future",
            account.initial_inventory,
        )
    sigma = volatility(Tree.parsed(models.quote_model, models.quote_params())) if models else {}
    return Rules(
        tick_e8=instrument.tick_e8,
        lot_e8=instrument.lot_e8,
        latencies=None if execution.latency_file is None else Latencies.read(execution.latency_file),
        start_lots=start_lots,
        target_lots=_target_lots(account, tape),
        quote_lots=ramped_lots(_quote_lots(tape, models), tape.step_lots, risk.size_ramp),
        quote_levels=models.quote_levels if models else 1,
        level_step_ticks=models.level_step_ticks if models else 1,
        step_lots=tape.step_lots,
        step_ticks=tape.step_ticks,
        min_notional_e8=instrument.min_notional_e8,
        filters=instrument.filters,
        risk=limits_of(risk),
        margin=MarginTerms.of(margin, tape),
        **money,
        **feed_fields(execution.feed_latency, tape),
        **sigma,
    )


def _usual_fees(market: "Market", account: Account) -> dict[str, int]:
    """Return the market's usual rates for those that were not given, in 1e-8."""
    if market.fees is None or account.preset is not None:
        return {}
    rates = zip(("maker", "taker"), (account.maker_fee_rate, account.taker_fee_rate), market.fees, strict=True)
    return {f"{role}_fee_e8": e8(usual) for role, given, usual in rates if given == FEE_RATE}


def with_others(
    known: Rules,
    feeds: Mapping[str, OtherFeed],
    declared: Mapping[str, Any],
    account: Account,
    way: str = "OTHERS",
    *,
    margin: Margin | None = None,
) -> Rules:
    """Add rules for those *declared* with ``orders``; errors name *way*."""
    legs = {}
    for name, feed in feeds.items():
        orders = declared[name].get("orders") if isinstance(declared[name], Mapping) else None
        if orders is None:
            continue
        execution, own, models = leg_knobs(name, orders, account, way)
        rules = rules_of(feed.first, execution, own, models, margin=margin)
        legs[name] = replace(rules, requote_us=LEG_REQUOTE_US)
    return replace(known, others=dict(feeds), legs=legs)


def leg_knobs(
    name: str, orders: Mapping[str, Any], account: Account, way: str = "OTHERS"
) -> tuple[Execution, Account, Models]:
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


def _lots(qty: str, instrument: Instrument, knob: str) -> int:
    lots, rest = divmod(e8(qty), instrument.lot_e8)
    if rest:
        step = short_text(instrument.lot_e8)
        raise UsageError("{} is {}; it must be a multiple of {}", parameter(knob), qty, step)
    return lots


def _target_lots(account: Account, tape: "Tape") -> int | None:
    if account.target_inventory is None:
        return None
    target = _lots(account.target_inventory, tape.instrument, "target_inventory")
    if target % tape.step_lots:
        raise _off_step("target_inventory", account.target_inventory, tape)
    return target


def _off_step(knob: str, qty: str, tape: "Tape") -> UsageError:
    """The first book may suggest a wrong step, if it has few levels."""
    step = short_text(tape.step_lots * tape.instrument.lot_e8)
    return UsageError(
        "{} is {}; it must be a multiple of the quantity step {}, given by instrument.json of {} {}, or what "
        "its first book suggests; {qty_step} sets the exchange's own",
        parameter(knob),
        qty,
        step,
        tape.symbol,
        tape.days[0],
    )


def _quote_lots(tape: "Tape", models: Models | None) -> int:
    instrument, step_e8 = tape.instrument, tape.step_lots * tape.instrument.lot_e8
    if models and models.quote_qty is not None:
        if e8(models.quote_qty) % step_e8:
            raise _off_step("quote_qty", models.quote_qty, tape)
        return e8(models.quote_qty) // instrument.lot_e8
    mid_e8 = first_mid_e8(tape)
    if mid_e8 is None:
        return tape.step_lots
    price_e8 = NOTIONAL_MARGIN * mid_e8
    steps = math.ceil(instrument.min_notional_e8 * E8 / (price_e8 * step_e8))
    return max(steps, 1) * tape.step_lots


def first_mid_e8(tape: "Tape") -> float | None:
    for at in range(0, len(tape.top_bid_ticks), _CHUNK):
        both = (tape.top_bid_ticks[at : at + _CHUNK] > 0) & (tape.top_ask_ticks[at : at + _CHUNK] > 0)
        if both.any():
            first = at + int(both.argmax())
            return int(tape.top_bid_ticks[first] + tape.top_ask_ticks[first]) * tape.instrument.tick_e8 / 2
    return None
