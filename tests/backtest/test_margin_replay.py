"""The margin of a contract in a replay: refused orders, liquidation and its fee, equal to the box and to fractions."""

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import mm
from exchange_rig import INSTRUMENT, START_US
from mm import Rules, Tape, backtest
from mm.backtest.margin_terms import MarginTerms
from mm.backtest.models import trade_cross
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.quotes.simple import FixedSpread
from mm.backtest.summary_text import text_of
from mm.clock import iso
from mm.instrument import E8
from mm.margin.brackets import BRACKETS
from mm.markets.binance import USDM
from mm.tape.columns import Payment
from plain_margin import PlainMargin, PlainPosition
from usdm_rig import ALICE, SECOND_US, Pit

ROWS = [(Fraction(one.cap_e8, E8), Fraction(one.rate_e8, E8)) for one in BRACKETS]
TAKER_E8 = 50_000  # of the box
DEEP = 10**7
LIQUIDATED = {0, 1, 2, 8}  # seeds of `walk` that end in a liquidation
IN_PART = {
    (seed, 20_000) for seed in (3, 6, 13, 14, 18, 19)
}  # seeds and scales of the box whose positions are liquidated in part


class Plan:
    """Take from the best price by a plan: lots by whole second, negative to sell."""

    name = "plan"

    def __init__(self, lots: dict[int, int]) -> None:
        self.lots = dict(lots)

    def quote(self, view: Any) -> mm.Quotes | None:
        second = round(view.us / SECOND_US - START_US / SECOND_US)
        if second not in self.lots:
            return None
        lots = self.lots.pop(second)
        if lots > 0:
            return mm.Quotes(view.ask_ticks, None, lots, bid_kind="IOC")
        return mm.Quotes(None, view.bid_ticks, None, -lots, ask_kind="IOC")


def tape(mids: list[int], payments: tuple[Payment, ...] = (), lots: int = DEEP, second: int = 300_000) -> Tape:
    """A book of one level a side, a tick around the mid, which moves *second* µs after each whole second."""
    events: list[tuple[Any, ...]] = [(START_US, "snapshot", [(mids[0] - 1, lots)], [(mids[0] + 1, lots)])]
    for at, (before, mid) in enumerate(pairwise(mids)):
        us = START_US + at * SECOND_US + second
        bids = {before - 1: 0, mid - 1: lots} if mid != before else {}
        asks = {before + 1: 0, mid + 1: lots} if mid != before else {}
        if bids:
            events.append((us, "depth", list(bids.items()), list(asks.items())))
    events.append((START_US + len(mids) * SECOND_US, "depth", [(1, 1)], []))
    built = Tape.of(INSTRUMENT, events)
    return replace(built, meta=replace(built.meta, venue=USDM.venue, funding=payments))


def rules(terms: MarginTerms | None, cash: int, **more: Any) -> Rules:
    given = {
        "tick_e8": INSTRUMENT.tick_e8,
        "lot_e8": INSTRUMENT.lot_e8,
        "enforce_balances": False,
        "start_cash_e8": cash * E8,
        "taker_fee_e8": TAKER_E8,
        "maker_fee_e8": 20_000,
        "order_latency_us": 0,
        "cancel_latency_us": 0,
        "requote_us": SECOND_US,
        "requote_on_fill": False,
    }
    return Rules(**(given | {"margin": terms} | more))


def fall(seconds: int = 40, a_second: int = 40) -> list[int]:
    return [10_000 - at * a_second for at in range(seconds)]


def test_a_position_is_liquidated_at_the_mark_of_its_closed_form() -> None:
    """90 bought at 100.01 with 1,000: the margin is used up where equity is 0.4 % of the notional."""
    mids = fall()
    result = backtest(tape(mids), Plan({1: 90_000}), trade_cross(), rules(MarginTerms(leverage=20), 1_000))
    bought, fee = Fraction(mids[1] + 1, 100), Fraction(90 * (mids[1] + 1), 100) * Fraction(TAKER_E8, E8)
    price = (bought - (1_000 - fee) / 90) / (1 - Fraction(4, 1_000))  # q·p − cost + cash = 0.004·q·p
    second = next(at for at, mid in enumerate(mids) if Fraction(mid, 100) <= price)
    summary = result.summary
    assert summary["liquidated_at"] == iso(START_US + second * SECOND_US)
    bankrupt, bid = bought - (1_000 - fee) / 90, mids[second] - 1  # where nothing is left, and what is bid then
    assert bankrupt * 100 < bid
    forced = result.journal.fills[-1].tolist()
    assert forced[2:5] == [-1, bid, 90_000]
    assert result.journal.fill_reasons[forced[6]] == "liquidation:book"
    left = 1_000 - fee + 90 * (Fraction(bid, 100) - bought)
    assert Fraction(forced[5], E8) == left  # the fee of the liquidation, 1.25 % of about 8,000, is more than that
    assert summary["account"]["equity_end"] == pytest.approx(0, abs=1e-9)
    assert (summary["verdict"], summary["sharpe_ci95"], summary["psr"]) == (None, None, None)
    assert result.journal.killed == (START_US + second * SECOND_US, "liquidated")
    assert result.journal.spans.max() == START_US + second * SECOND_US  # no time with a market after it
    assert text_of(summary).startswith(f"LIQUIDATED        {summary['liquidated_at']}")
    assert any(line.startswith("liquidated at") for line in summary["warnings"])
    margin = summary["margin"]
    assert (margin["mark"], margin["leverage"], margin["margin_type"]) == ("mid", 20, "cross")
    assert margin["ratio_max"] is None or margin["ratio_max"] >= 1
    assert margin["clearance_fee"] == pytest.approx(float(left), abs=1e-8)


def test_nothing_follows_a_liquidation() -> None:
    """Resting orders end at that instant, those on their way are refused, and no further one is sent."""

    class Quoting(Plan):
        def quote(self, view: Any) -> mm.Quotes | None:
            return super().quote(view) or mm.Quotes(5_000, 15_000 + view.us // 200_000 % 2, 1, 1)

    given = rules(MarginTerms(leverage=20), 1_000, order_latency_us=1_500_000, requote_us=200_000)
    jump = [10_000] * 20 + [8_750] * 5
    result = backtest(tape(jump), Quoting({1: 80_000}), trade_cross(), given)
    us = result.terms.liquidated_us
    assert us is not None
    orders = result.orders.to_dicts()
    after = [row for row in orders if row["recv_us"] > us]
    assert {row["action"] for row in after} <= {"REJECT"}
    assert {row["reject_reason"] for row in after if row["action"] == "REJECT"} == {"insufficient_margin"}
    ended = [row for row in orders if row["recv_us"] == us and row["action"] == "CANCEL_ACK"]
    assert ended
    assert {row["cancel_reason"] for row in ended} == {"liquidated"}
    last = [row["action"] for row in orders if row["recv_us"] == us]
    assert last.index("CANCEL_ACK") < last.index("FILL")  # orders end before the position is closed
    assert result.journal.fills[-1][0] == us
    assert result.journal.fills[-1][8] == 0


@pytest.mark.parametrize(
    ("leverage", "lots", "reason"),
    [(20, 300_000, "insufficient_margin"), (125, 50_000_000, "above_bracket"), (20, 150_000, None)],
)
def test_an_order_that_the_margin_does_not_cover_is_refused_on_arrival(
    leverage: int, lots: int, reason: str | None
) -> None:
    """1,000 at a leverage of 20 cover 20,000; fifty thousand lots more than a bracket of 125 allows."""
    given = rules(MarginTerms(leverage=leverage), 1_000 if leverage == 20 else 10**7, order_latency_us=400_000)
    result = backtest(tape([10_000] * 10), Plan({1: lots}), trade_cross(), given)
    rejects = [row for row in result.orders.to_dicts() if row["action"] == "REJECT"]
    assert [row["reject_reason"] for row in rejects] == ([] if reason is None else [reason])
    assert [row["recv_us"] - START_US for row in rejects] == ([] if reason is None else [1_400_000])
    assert len(result.journal.fills) == (reason is None)
    assert "liquidated_at" not in result.summary


@pytest.mark.parametrize(("side", "clip"), [(1, 30_000), (1, 900_000), (-1, 30_000), (-1, 900_000)])
def test_above_the_bracket_orders_reduce_and_no_more(side: int, clip: int) -> None:
    """490 at 100 are within the 50,000 of a leverage of 125, and above it while the mark is 103."""

    class Both(Plan):
        def quote(self, view: Any) -> mm.Quotes | None:
            return super().quote(view) or mm.Quotes(view.bid_ticks, view.ask_ticks, clip, clip)

    moves = [10_000] * 4 + [10_300] * 6 + [10_000] * 4
    given = rules(MarginTerms(leverage=125), 10**6, order_latency_us=0)
    result = backtest(tape(moves), Both({1: side * 490_000}), trade_cross(), given)
    above = (START_US + 4 * SECOND_US, START_US + 10 * SECOND_US)
    rows = result.orders.to_dicts()
    inside = [row for row in rows if above[0] < row["recv_us"] < above[1]]
    adding, reducing = ("BUY", "SELL") if side > 0 else ("SELL", "BUY")
    assert {row["reject_reason"] for row in inside if row["action"] == "SKIP"} == {"reduce_only"}
    assert not [row for row in inside if row["action"] == "PLACE" and row["side"] == adding]
    placed = [row for row in inside if row["action"] == "PLACE"]
    assert {row["side"] for row in placed} <= {reducing}
    assert all(row["qty"] <= 490 for row in placed)
    after = [row for row in rows if row["recv_us"] > above[1] + SECOND_US and row["action"] == "PLACE"]
    assert adding in {row["side"] for row in after}
    assert not [row for row in rows if row["reject_reason"] == "above_bracket" and row in inside]


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("late_us", [0, 400_000])
def test_a_move_that_the_margin_does_not_cover_leaves_the_order_where_it_was(levels: int, late_us: int) -> None:
    """Bids of 199.5 in all follow a rising market; 1,000 at a leverage of 20 cover them up to a mean of 100.25."""

    class Bid:
        name = "bid"

        def quote(self, view: Any) -> mm.Quotes:
            return mm.Quotes(view.bid_ticks, None, 199_500 // levels, None)

    given = {"order_modify": True, "quote_levels": levels, "level_step_ticks": 1, "order_latency_us": late_us}
    mids = [10_000 + 10 * at for at in range(12)]
    result = backtest(tape(mids), Bid(), trade_cross(), rules(MarginTerms(leverage=20), 1_000, **given))
    open_ticks, arrive, moved, refused = dict[int, int](), dict[int, tuple[int, int]](), 0, 0
    for row in result.orders.to_dicts():
        number, ticks = row["order_id"], round(row["price"] * 100)
        if row["action"] == "PLACE":  # those that arrive at one instant do so after the moves, in their order
            open_ticks[number], arrive[number] = ticks, (row["active_recv_us"], number)
        elif row["action"] == "CANCEL_ACK":
            del open_ticks[number]
        elif row["action"] in ("REJECT", "AMEND"):
            at = row["recv_us"], number if row["action"] == "REJECT" else 0
            beside = [own for key, own in open_ticks.items() if key != number and arrive[key] < at]
            needed = sum(Fraction(199_500 // levels, 1_000) * Fraction(each, 100) / 20 for each in (*beside, ticks))
            assert (row["reject_reason"] == "insufficient_margin") is (needed > 1_000), row
            if row["action"] == "REJECT":
                del open_ticks[number]
            elif not row["reject_reason"]:
                open_ticks[number], moved = ticks, moved + 1
            else:
                refused += 1
    assert moved >= 2 * levels
    assert refused


def test_without_terms_nothing_is_played() -> None:
    """As for Spot: no key, no reason, no refusal."""
    result = backtest(tape(fall()), Plan({1: 300_000}), trade_cross(), rules(None, 1_000))
    assert not {"margin", "liquidated_at"} & set(result.summary)
    assert result.journal.fill_reasons[-1] == "taker:book"


def test_recorded_marks_are_followed_and_the_mid_where_they_paused() -> None:
    """A mark far from the mid liquidates though the mid never moved; without marks for 5 s the mid counts."""
    calm, seconds = tape([10_000] * 30), np.arange(1, 30, dtype=np.int64)
    us = START_US + seconds * SECOND_US + 40_000
    marks = np.where(seconds >= 8, 88 * E8, 100 * E8)

    def with_marks(keep: Callable[[Any], Any]) -> Tape:
        kept = keep(seconds)
        return replace(calm, mark_us=us[kept], mark_told_us=us[kept] - 40_000, mark_e8=marks[kept])

    given = rules(MarginTerms(leverage=20), 1_000)
    whole = backtest(with_marks(lambda at: at > 0), Plan({1: 90_000}), trade_cross(), given)
    assert whole.terms.liquidated_us == START_US + 8 * SECOND_US + 40_000
    assert whole.summary["margin"]["mark"] == "recorded and mid"  # the start has none
    paused = backtest(with_marks(lambda at: at < 8), Plan({1: 90_000}), trade_cross(), given)
    assert paused.terms.liquidated_us is None
    late = backtest(with_marks(lambda at: (at < 5) | (at == 20)), Plan({1: 90_000}), trade_cross(), given)
    assert late.terms.liquidated_us == START_US + 20 * SECOND_US + 40_000


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("late", [0, 1_500_000])
def test_funding_liquidates_at_its_instant(isolated: bool, late: int) -> None:
    """Paid hourly, twice, with another rate in the middle: the payment that takes the margin ends the run."""
    calm = [10_000] * 30
    pays = [Payment(START_US + at * SECOND_US, rate, 100 * E8) for at, rate in ((3, 10_000), (4, 10_000), (9, 700_000))]
    end = Payment(
        START_US + 15 * SECOND_US + late, 6_000_000, 100 * E8, due_us=START_US + 15 * SECOND_US if late else 0
    )
    terms = MarginTerms(leverage=20, isolated=isolated)
    result = backtest(tape(calm, (*pays, end)), Plan({1: 150_000}), trade_cross(), rules(terms, 1_000))
    assert result.terms.liquidated_us == end.us
    paid = sum(Fraction(150 * 100 * payment.rate_e8, E8) for payment in (*pays, end))
    assert Fraction(result.terms.funding_e8 or 0, E8) == paid
    assert result.journal.state[-1].tolist()[1] == 0


def plain_end(result: mm.Result, cash: int, marks: dict[int, int]) -> int | None:
    """Return when the position of a run is liquidated, by fractions of its fills and of the marks alone."""
    plain = PlainMargin(Fraction(cash), {"A": PlainPosition(ROWS)})
    fills = [row for row in result.journal.fills.tolist() if not result.journal.fill_reasons[row[6]].startswith("liq")]
    for us, mark in sorted(marks.items()):
        while fills and fills[0][0] <= us:
            _, _, side, ticks, lots, fee_e8, *_ = fills.pop(0)
            plain.trade("A", side, Fraction(ticks, 100), Fraction(lots, 1_000), Fraction(fee_e8, E8))
        own = plain.positions["A"]
        own.mark = Fraction(mark, E8)
        if own.quantity and plain.equity <= plain.needed:
            return us
    return None


@pytest.mark.parametrize(
    ("seed", "scale"), [*((seed, 1) for seed in range(30)), *((seed, 20_000) for seed in range(20))]
)
def test_the_instant_and_the_rows_are_those_of_the_box(seed: int, scale: int) -> None:
    """The same fills and marks on the box: each balance, the instants, the forced orders, their fills and fees."""
    draw = random.Random(seed)
    leverage, isolated = draw.choice([5, 20, 100]) if scale == 1 else 20, draw.random() < 0.5
    step = 150 if scale == 1 else 60  # a large position is closed in part if little is missing
    mids = [10_000]
    for _ in range(60):
        mids.append(min(max(mids[-1] + draw.choice([-1, 1, 1]) * draw.randrange(0, step), 7_000), 15_000))
    falls = draw.random() < 0.5
    mids = [20_000 - mid for mid in mids] if falls else mids
    against = 1 if falls else -1
    clip = draw.randrange(5_000, 20_000) * scale
    instants = draw.sample([at for at in range(1, 50) if at % 10], 12)  # none with a payment
    plan = {at: draw.choice([-1, 1]) * draw.randrange(1_000, 3 * clip) for at in instants}
    if scale > 1:
        plan = {at: lots // 9 for at, lots in plan.items()} | {2: against * clip}
    depth = draw.choice([DEEP * scale, clip // 3])
    terms = MarginTerms(leverage=leverage, isolated=isolated)
    cash = max(60, clip * 100 // 1_000 * (20 if scale == 1 else 12) // (10 * leverage))
    pays = tuple(
        Payment(START_US + at * SECOND_US, draw.randrange(-40_000, 40_000), mids[at] * E8 // 100) for at in (10, 20, 40)
    )
    result = backtest(tape(mids, pays, depth), Plan(plan), trade_cross(), rules(terms, cash))
    marks = {START_US + at * SECOND_US: mid * E8 // 100 for at, mid in enumerate(mids)}
    if scale == 1 and not isolated and not result.terms.funding_e8:
        assert result.terms.liquidated_us == plain_end(result, cash, marks)

    pit = Pit(interval_us=10 * SECOND_US, fund_e8=10**9 * E8)
    pit.wallet(ALICE).balance_e8 = cash * E8
    pit.exchange.set_leverage(pit.us, ALICE, leverage)
    if isolated:
        pit.exchange.set_isolated(pit.us, ALICE, True)
    rows, reasons, paid = result.journal.fills.tolist(), result.journal.fill_reasons, {one.us: one for one in pays}
    own = [row for row in rows if not reasons[row[6]].startswith("liquidation")]
    rejected = {row["recv_us"] for row in result.orders.to_dicts() if row["action"] == "REJECT"}
    for at in range(len(mids)):
        us, mid = START_US + at * SECOND_US, mids[at]
        pit.exchange.terms.rate_e8 = paid[us].rate_e8 if us in paid else 0
        if at:
            forced = [row for row in rows if row[0] == us and reasons[row[6]] == "liquidation:book"]
            book = [
                pit.core.submit(us - 1, 1_000, 1, mid - 1, depth),
                pit.core.submit(us - 1, 1_000, -1, mid + 1, depth),
            ]
            pit.exchange.drain()
            pit.exchange.set_mark(mid * E8 // 100)
            pit.us = us
            pit.exchange.advance(us)
            for order_id in book:
                pit.core.cancel(us, order_id)
            pit.exchange.drain()
            assert bool(forced) <= bool(pit.exchange.forced)
        if us == result.terms.liquidated_us:
            break
        for _, _, side, ticks, lots, *_ in [row for row in own if us < row[0] + 1 <= us + SECOND_US]:
            pit.market_order(-side, ticks, lots)
            pit.limit(ALICE, side, ticks, lots, time_in_force="IOC")
        if us in rejected:
            side, lots = (1, plan[at]) if plan[at] > 0 else (-1, -plan[at])
            with pytest.raises(Exception, match=r"insufficient|maximum"):
                pit.limit(ALICE, side, mid + side, lots, time_in_force="IOC")
    theirs = pit.exchange.users.fills(ALICE)
    assert [(fill.side, fill.ticks, fill.lots) for fill in theirs] == [tuple(row[2:5]) for row in rows]
    in_part = result.summary["margin"].get("liquidated_in_part", 0)
    assert bool(in_part) is ((seed, scale) in IN_PART)
    assert bool(in_part or result.terms.liquidated_us is not None) is bool(pit.exchange.forced)
    if result.terms.liquidated_us is not None:
        assert result.terms.liquidated_us == pit.exchange.forced[-1].us
    end = result.journal.state[-1].tolist()
    cash_e8 = cash * E8 + Fraction(end[2] * INSTRUMENT.tick_e8 * INSTRUMENT.lot_e8, E8) - end[3]
    assert cash_e8 == pit.wallet(ALICE).balance_e8 - pit.contract(ALICE).cost_e8
    assert end[1] == pit.contract(ALICE).lots


def walk(draw: random.Random, seconds: int, scale: int = 1) -> Tape:
    """A market whose price falls, with several levels, prints between books, and a recorded delay of the feed."""
    events, mid, us = list[tuple[Any, ...]](), 10_000, START_US
    bids = {mid - 1 - at: draw.randrange(2_000, 9_000) * scale for at in range(40)}
    asks = {mid + 1 + at: draw.randrange(2_000, 9_000) * scale for at in range(40)}
    events.append((us, "snapshot", [*bids.items()], [*asks.items()]))
    while us < START_US + seconds * SECOND_US:
        us += draw.randrange(20_000, 400_000)
        if draw.random() < 0.6:
            events.append((us, "trade", -1, max(bids) - draw.randrange(0, 3), draw.randrange(1, 4_000) * scale))
            continue
        mid -= draw.randrange(-8, 14)
        fresh_bids = {mid - 1 - at: draw.randrange(2_000, 9_000) * scale for at in range(40)}
        fresh_asks = {mid + 1 + at: draw.randrange(2_000, 9_000) * scale for at in range(40)}
        gone_bids, gone_asks = dict.fromkeys(bids, 0) | fresh_bids, dict.fromkeys(asks, 0) | fresh_asks
        bids, asks = fresh_bids, fresh_asks
        events.append((us, "depth", [*gone_bids.items()], [*gone_asks.items()]))
    built = Tape.of(INSTRUMENT, events)
    return replace(built, meta=replace(built.meta, venue=USDM.venue))


@pytest.mark.parametrize(("seed", "scale"), [*((seed, 1) for seed in range(12)), (0, 50_000), (4, 50_000), (8, 50_000)])
@pytest.mark.parametrize("feed_us", [0, 70_000])
def test_best_prices_and_the_whole_book_give_the_same_end(seed: int, scale: int, feed_us: int) -> None:
    """A compiled model on best prices alone, and the same with every event visited: rows of equal bytes.

    The large positions are liquidated in part first, and played on.
    """
    draw = random.Random(seed)
    market = walk(draw, 120, scale)
    clip = draw.randrange(300, 900) * scale
    given = rules(
        MarginTerms(leverage=20, isolated=draw.random() < 0.3),
        400 if scale == 1 else clip * 12 // 200,
        requote_us=250_000,
        order_latency_us=50_000,
        quote_lots=clip,
        feed_us=feed_us,
    )
    whole = PaperExchange(FixedSpread(delta_ticks=1.0), trade_cross(), given)
    whole.run(market)
    best = PaperExchange(FixedSpread(delta_ticks=1.0), trade_cross(), given)
    best.run(market, best=True)
    assert not best.needs_depth
    one, other = whole.journal(), best.journal()
    for name in ("orders", "fills", "state", "spans"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert whole.margin is not None
    assert best.margin is not None
    assert whole.margin.liquidations == best.margin.liquidations
    assert whole.margin.report() == best.margin.report()
    assert whole.margin.liquidations or seed not in LIQUIDATED
    assert any(one.left_lots for one in whole.margin.liquidations) is (scale > 1)
