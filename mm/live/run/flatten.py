"""Flatten: close the position of our own fills, at a cost that is stated before and bounded by the orders
themselves.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mm.errors import Incomplete, MMError, SafetyError, Sentence, TryLater
from mm.instrument import E8, Instrument, decimal_text, e8, short_text
from mm.live.account.ledger import fee_e8
from mm.live.orders.reports import OrderListener
from mm.live.run.live_terms import book_of
from mm.live.run.trade_run import OpenTrade, TradeRun
from mm.live.venues.fills import SIDE_NAMES, AccountFill
from mm.live.venues.refusals import Refusal
from mm.markets.messages import DepthSnapshot

LEVELS, ANSWER_S = 1_000, 10.0
FLATTEN = "flatten.json"
_ORDER = 1


@dataclass(frozen=True)
class FlattenPlan:
    """How a position is closed; money in 1e-8 of the quote asset.

    Attributes:
        most_e8: The largest cost, fee included: the cost of a fill at *price_e8* alone.
        left_e8: What stays of the position: too small for an order, not offered within the band, or a buyer's
            commission, which is taken from what was bought.
        missing_e8: The part of it that another order could close, once the book offers it within the bounds.
        small: Why no order could close what the book does not lack; empty if all is closed, or could be.
    """

    side: int
    qty_e8: int
    price_e8: int
    mid_e8: int
    slippage_e8: int
    fees_e8: int
    most_e8: int
    left_e8: int
    missing_e8: int = 0
    bound_e8: int = 0
    small: str = ""

    @property
    def cost_e8(self) -> int:
        return self.slippage_e8 + self.fees_e8

    def limit_e8(self, budget_e8: int, fee_rate_e8: int, band_e8: int | None, tick_e8: int) -> int:
        per_unit_e8 = budget_e8 * E8 // self.qty_e8
        limit_e8 = (self.mid_e8 + self.side * per_unit_e8) * E8 // (E8 + self.side * fee_rate_e8)
        if band_e8 is not None:
            far_e8 = self.mid_e8 * (E8 + self.side * band_e8) // E8
            limit_e8 = min(limit_e8, far_e8) if self.side > 0 else max(limit_e8, far_e8)
        if self.bound_e8:
            limit_e8 = self.side * min(self.side * limit_e8, self.side * self.bound_e8)
        limit_e8 = self.side * (self.side * limit_e8 // tick_e8) * tick_e8  # no worse than the budget
        return max(limit_e8, self.price_e8) if self.side > 0 else min(limit_e8, self.price_e8)

    def to_json(self) -> dict[str, str]:
        amounts = ("qty", "price", "mid", "slippage", "fees", "cost", "most", "left")
        return {"side": SIDE_NAMES.get(self.side, "")} | {
            name: decimal_text(getattr(self, f"{name}_e8")) for name in amounts
        }


def plan(
    position_e8: int,
    book: DepthSnapshot,
    grid: Instrument,
    fee_rate_e8: int,
    band_e8: int | None,
    *,
    contract: bool = False,
) -> FlattenPlan:
    side = -1 if position_e8 > 0 else 1
    levels = [(e8(price), e8(qty)) for price, qty in (book.asks if side > 0 else book.bids)]
    best = [e8(levels[0][0]) for levels in (book.bids, book.asks) if levels]
    mid_e8 = sum(best) // len(best) if best else 0
    whole_e8 = abs(position_e8) // grid.lot_e8 * grid.lot_e8
    filters = grid.filters
    wanted_e8 = left_e8 = min(whole_e8, filters.max_qty_e8 or whole_e8)
    bound_e8 = filters.max_price_e8 if side > 0 else filters.min_price_e8
    price_e8, paid_e16, full = 0, 0, False
    for level_e8, qty_e8 in levels:
        if not left_e8 or (band_e8 is not None and abs(level_e8 - mid_e8) * E8 > band_e8 * mid_e8):
            break
        limit_e8 = -side * (-side * level_e8 // grid.tick_e8) * grid.tick_e8
        if bound_e8 and side * (limit_e8 - bound_e8) > 0:
            break
        taken_e8 = min(left_e8, qty_e8 // grid.lot_e8 * grid.lot_e8)
        if filters.max_notional_e8:  # the whole order counts at its own price
            room_e8 = filters.max_notional_e8 * E8 // limit_e8 - (wanted_e8 - left_e8)
            full, taken_e8 = room_e8 < taken_e8, min(taken_e8, room_e8 // grid.lot_e8 * grid.lot_e8)
            if taken_e8 <= 0:
                break
        left_e8, price_e8, paid_e16 = left_e8 - taken_e8, limit_e8, paid_e16 + taken_e8 * level_e8
        if full:
            break
    qty_e8 = wanted_e8 - left_e8
    least_e8 = 0 if contract else grid.min_notional_e8
    if qty_e8 < filters.min_qty_e8 or qty_e8 * price_e8 // E8 < least_e8:
        qty_e8 = 0
    rest_e8 = whole_e8 - qty_e8
    small = _too_small(rest_e8 or abs(position_e8) - whole_e8, mid_e8, grid, least_e8)
    missing_e8 = 0 if small else rest_e8
    if not qty_e8:
        return FlattenPlan(0, 0, 0, mid_e8, 0, 0, 0, abs(position_e8), missing_e8, small=small)
    if side < 0:
        bound_e8 = max(bound_e8, -(-least_e8 * E8 // qty_e8))
    elif filters.max_notional_e8:
        bound_e8 = min(bound_e8 or 2**62, filters.max_notional_e8 * E8 // qty_e8)
    slippage_e8 = -(-side * (paid_e16 - qty_e8 * mid_e8) // E8)
    fees_e8 = -(-paid_e16 * fee_rate_e8 // E8**2)
    most_e8 = -(-qty_e8 * (side * (price_e8 - mid_e8) * E8 + price_e8 * fee_rate_e8) // E8**2)
    of_base = side > 0 and not contract
    commission_e8 = (
        -(-qty_e8 * fee_rate_e8 // E8) if of_base else 0
    )  # of a buyer, in the base asset, or less in another
    left_e8 = abs(position_e8) - qty_e8 + commission_e8
    amounts = (qty_e8, price_e8, mid_e8, slippage_e8, fees_e8, most_e8, left_e8, missing_e8, bound_e8)
    return FlattenPlan(side, *amounts, small)


def _too_small(qty_e8: int, mid_e8: int, grid: Instrument, least_e8: int) -> str:
    """Say why a quantity is too small at the mid; *least_e8* is the least notional."""
    if not qty_e8:
        return ""
    if qty_e8 < grid.lot_e8:
        return f"less than the quantity step {short_text(grid.lot_e8)}"
    if qty_e8 < grid.filters.min_qty_e8:
        return f"less than the minimum quantity {short_text(grid.filters.min_qty_e8)}"
    if mid_e8 and qty_e8 * mid_e8 // E8 < least_e8:
        return f"worth less than the minimum notional {short_text(least_e8)}"
    return ""


class FlattenCost:
    """The cost of closing all positions of a command, stated in the order of the symbols, and the consent to it."""

    def __init__(self, symbols: int, max_cost: str | None) -> None:
        self.total_e8, self._symbols, self._complete = 0, symbols, asyncio.Event()
        self._states: dict[int, Callable[[], None]] = {}
        self._consent_e8 = None if max_cost is None else e8(max_cost)

    async def consented(self, place: int, most_e8: int, state: Callable[[], None]) -> int | None:
        """Wait for the costs of all symbols; return what this one may cost, None without consent."""
        self._states[place], self.total_e8 = state, self.total_e8 + most_e8
        if len(self._states) == self._symbols:
            for _, state_one in sorted(self._states.items()):
                state_one()
            self._complete.set()
        await self._complete.wait()
        if self._consent_e8 is None:
            return None
        if self.total_e8 > self._consent_e8:
            raise SafetyError(
                "to close the positions costs up to {}, more than {max_cost} {}; nothing was sent",
                short_text(self.total_e8),
                short_text(self._consent_e8),
            )
        return most_e8 + (self._consent_e8 - self.total_e8) // self._symbols


class _Outcome(OrderListener):
    def __init__(self) -> None:
        self.refused = ""
        self.over = asyncio.Event()
        self._left_e8 = 0

    def sent(self, qty_e8: int) -> None:
        self._left_e8 = qty_e8

    def filled(self, order_id: int, fill: AccountFill) -> None:
        if order_id == _ORDER:
            self._left_e8 -= e8(fill.qty)
            if self._left_e8 <= 0:
                self.over.set()

    def rejected(self, order_id: int, us: int, side: int, refusal: Refusal) -> None:  # noqa: ARG002 - the listener's
        self.refused = f"{refusal.code} {refusal.message}"
        self.over.set()

    def closed(self, order_id: int, us: int, status: str) -> None:  # noqa: ARG002 - the listener's signature
        if order_id == _ORDER:
            self.over.set()


class Flatten:
    """A trade's job: one order that closes the position of one symbol."""

    quotes = False  # to close the position is what a kill leaves to a person
    fits = False
    ended: str | None = None
    position: Mapping[str, str] = {}

    def __init__(self, cost: FlattenCost, place: int) -> None:
        self._cost, self._place, self._position_e8, self._refusal, self._sent = cost, place, 0, "", False
        self._plan: FlattenPlan
        self._wants = False  # whether there is a consent to the cost
        self._fills: Sequence[AccountFill] = ()

    def stop(self, reason: str) -> bool:  # noqa: ARG002 - the protocol's
        return False

    def follows(self, why: str) -> bool:
        return why != "ended"

    def log_unwritten(self, error: MMError) -> None:
        raise error

    async def work(self, opened: OpenTrade) -> None:
        trade, ledger, gateway, outcome = opened.trade, opened.ledger, opened.gateway, _Outcome()
        gateway.reports.attach(outcome)  # it gets what ended orders of earlier runs have filled since the log
        self._position_e8 = ledger.position_e8
        _, book = await book_of(trade.parts.rest.rest, trade.symbol, trade.run.log, LEVELS)
        share = trade.strategy.risk.price_band
        rate_e8 = gateway.fees.paid_e8[1] if gateway.fees.paid_e8 else e8(trade.strategy.account.taker_fee_rate)
        low_e8, high_e8 = gateway.rules.filters.bounds_e8(-1 if self._position_e8 > 0 else 1)
        grid, band_e8 = gateway.rules.instrument, None if share is None else e8(share)
        grid = replace(grid, filters=replace(grid.filters, min_price_e8=low_e8, max_price_e8=high_e8))
        self._plan = made = plan(self._position_e8, book, grid, rate_e8, band_e8, contract=ledger.contract)
        consented = self._cost.consented(self._place, made.most_e8, lambda: trade.run.print(self._stated(trade)))
        budget_e8 = await trade.unless_stopped(consented)
        self._wants = budget_e8 is not None
        if budget_e8 is None or not made.side:
            return
        price = short_text(made.limit_e8(budget_e8, rate_e8, band_e8, grid.tick_e8))
        self._sent = True
        outcome.sent(made.qty_e8)
        gateway.orders.place(_ORDER, made.side, price, short_text(made.qty_e8), "IOC", reduces=ledger.contract)
        try:
            async with asyncio.timeout(ANSWER_S):
                await outcome.over.wait()
        except TimeoutError:
            raise TryLater(
                f"{trade.symbol}: the order to close the position has no outcome after {ANSWER_S:g} s; the next start "
                f"reads it from the exchange"
            ) from None
        finally:
            self._fills = [run_fill.fill for run_fill in ledger.run_fills.values() if run_fill.order_id == _ORDER]
            self._refusal = outcome.refused

    def _stated(self, trade: TradeRun) -> str:
        made, grid = self._plan, trade.terms.entry
        base, quote = grid["baseAsset"], grid["quoteAsset"]
        held = f"position {short_text(self._position_e8)} {base}"
        missing = "not offered within PRICE_BAND and the exchange's bounds" if made.missing_e8 else ""
        commission = "a buyer's commission" if made.left_e8 and made.side > 0 else ""
        why = ", ".join(filter(None, (commission, made.small, missing)))
        left = f"; {short_text(made.left_e8)} {base} stay: {why}" if made.left_e8 else ""
        if not made.side:
            return f"{held}: nothing to close{left}"
        verb = "buy" if made.side > 0 else "sell"
        points = f"{made.slippage_e8 * E8 / (made.qty_e8 * made.mid_e8) * 1e4:.1f} bp"
        return (
            f"{held}: to {verb} {short_text(made.qty_e8)} at {short_text(made.price_e8)} or better costs "
            f"{short_text(made.cost_e8)} {quote}, at most {short_text(made.most_e8)}: {short_text(made.slippage_e8)} "
            f"against the mid {short_text(made.mid_e8)} ({points}) and {short_text(made.fees_e8)} fees{left}"
        )

    def write(self, trade: TradeRun) -> None:
        """Incomplete if the exchange refused the order, or filled it in part."""
        run, made, found = trade.run, self._plan, self._result(trade)
        run.path(FLATTEN).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        run.artefact, run.summary = FLATTEN, found
        if not self._sent:
            hint = f"; --max-cost {short_text(self._cost.total_e8)} sends the orders" if made.side else ""
            run.print(f"nothing was sent{hint}")
            self._check_missing(trade)
            return
        run.print(
            f"closed {found['closed']}: it cost {found['cost']}, {found['slippage']} against the mid and "
            f"{found['fees']} fees; position {found['position_after']}"
        )
        if self._refusal:
            raise Incomplete(f"{trade.symbol}: the order to close the position was refused: {self._refusal}", 75)
        if found["closed"] != decimal_text(made.qty_e8):
            raise Incomplete(
                Sentence(
                    "{}: {} of {} were closed, the book offered no more at this cost; run it again for the rest, or "
                    "with a larger {max_cost}",
                    trade.symbol,
                    found["closed"],
                    short_text(made.qty_e8),
                ),
                TryLater.exit_code,
            )
        self._check_missing(trade)

    def _check_missing(self, trade: TradeRun) -> None:
        if self._wants and self._plan.missing_e8:
            raise Incomplete(
                f"{trade.symbol}: {short_text(self._plan.missing_e8)} stay open: the book does not offer them within "
                f"PRICE_BAND and the exchange's bounds of price and quantity; run it again",
                TryLater.exit_code,
            )

    def _result(self, trade: TradeRun) -> dict[str, Any]:
        made, grid = self._plan, trade.grid()
        qty_e8 = sum(e8(fill.qty) for fill in self._fills)
        paid_e8 = sum(e8(fill.qty) * e8(fill.price) for fill in self._fills) // E8
        fees_e8 = sum(fee_e8(fill, grid) or 0 for fill in self._fills)
        base_fees_e8 = sum(e8(fill.commission) for fill in self._fills if fill.commission_asset == grid.base_asset)
        slippage_e8 = made.side * (paid_e8 - qty_e8 * made.mid_e8 // E8)
        return {
            "symbol": trade.symbol,
            "position_before": decimal_text(self._position_e8),
            "plan": made.to_json(),
            "sent": self._sent,
            "closed": decimal_text(qty_e8),
            "slippage": decimal_text(slippage_e8),
            "fees": decimal_text(fees_e8),
            "cost": decimal_text(slippage_e8 + fees_e8),
            "position_after": decimal_text(self._position_e8 + made.side * qty_e8 - base_fees_e8),
        }
