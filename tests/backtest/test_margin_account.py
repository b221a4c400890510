"""The margin account of a replay: equal to the box to the last digit, and to plain fractions."""

import json
import random
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mm.backtest.margin import NO_BOUND, Grid, MarginAccount
from mm.backtest.margin_terms import MarginTerms, read_brackets
from mm.errors import BrokenFile
from mm.instrument import E8
from mm.margin.brackets import BRACKETS, Bracket, Brackets
from mm.margin.wallet import ABOVE_BRACKET, MARGIN_INSUFFICIENT, OpenOrder
from mm.sim.exchange.api_error import ApiError
from plain_margin import PlainMargin, PlainPosition, maintenance
from usdm_rig import ALICE, FUNDS_E8, SECOND_US, Pit

GRID = Grid(tick_e8=E8 // 100, lot_e8=E8 // 1_000)
SYMBOL = "SYM"

TRADES = st.tuples(
    st.just("trade"), st.sampled_from([1, -1]), st.integers(-45, 45), st.integers(60, 4_000_000), st.booleans()
)
MARKS = st.tuples(st.just("mark"), st.one_of(st.integers(-60, 60), st.integers(-800, 2_000)))
LEVELS = st.tuples(st.just("level"), st.sampled_from([1, -1]), st.integers(1, 900), st.integers(100, 3_000_000))
STEPS = st.lists(st.one_of(TRADES, TRADES, MARKS, MARKS, LEVELS), min_size=2, max_size=25)


class Twins:
    """The same account on the box and in the replay's form; the orders of the box fill both."""

    def __init__(self, leverage: int, *, isolated: bool, rate_e8: int, start_e8: int) -> None:
        self.pit = Pit(rate_e8=rate_e8, interval_us=10 * SECOND_US, fund_e8=10**9 * E8)
        self.symbol = self.pit.rules.instrument.symbol
        self.pit.wallet(ALICE).balance_e8 = start_e8
        self.pit.exchange.set_leverage(self.pit.us, ALICE, leverage)
        if isolated:
            self.pit.exchange.set_isolated(self.pit.us, ALICE, True)
        self.own = MarginAccount.of(start_e8, keeps_income=True)
        terms = MarginTerms(leverage=leverage, isolated=isolated, clearance_rate_e8=self.pit.rules.liquidation_rate_e8)
        grid = Grid(tick_e8=GRID.tick_e8, lot_e8=GRID.lot_e8, most_ticks=self.pit.rules.most_ticks)
        self.own.add(self.symbol, terms, grid, self._open)
        self.own.mark(self.symbol, self.pit.exchange.mark.e8)
        self.seen, self.paid = 0, 0

    def _open(self) -> list[OpenOrder]:
        return [
            OpenOrder(order.request.side, order.request.ticks, order.left_lots)
            for order in self.pit.exchange.users.open(ALICE)
        ]

    def order(self, side: int, ticks: int, lots: int, *, takes: bool) -> None:
        """Send an order of ours: both refuse it for the same reason, or its fills are booked."""
        book = self.pit.core.best()
        order = OpenOrder(side, ticks, lots)
        wanted = self.own.can_open(self.pit.us, self.symbol, order, (book[0], book[2]))
        try:
            self.pit.limit(ALICE, side, ticks, lots, time_in_force="IOC" if takes else "GTC")
            code = 0
        except ApiError as error:
            code = error.code
        if code in {0, MARGIN_INSUFFICIENT, ABOVE_BRACKET}:
            assert code == wanted
        self.book()

    def book(self) -> None:
        """Book the fills since the last call."""
        fills = self.pit.exchange.users.fills(ALICE)
        for fill in fills[self.seen :]:
            self.own.book(fill.us, self.symbol, fill.side, (fill.ticks, fill.lots), fill.fee_e8)
        self.seen = len(fills)

    def mark(self, ticks: int) -> None:
        """Let a second pass with a mark price, its funding, and what follows from it."""
        contract = self.own.contract(self.symbol)
        side = -1 if contract.lots > 0 else 1
        levels = self.pit.core.depth(-side, 1_000)
        mine = Counter[int]()
        for order in self._open():
            mine[order.ticks] += order.lots
        offers = {at: lots - mine[at] for at, lots in levels}
        bounds, forced = self.own.bounds()[self.symbol], len(self.pit.exchange.forced)
        self.pit.mark(f"{ticks // 100}.{ticks % 100:02}")
        self.own.mark(self.symbol, ticks * E8 // 100)
        paid = self.pit.exchange.payments[self.paid :]
        self.paid = len(self.pit.exchange.payments)
        for payment in paid:
            exact = Fraction(contract.amount_e8 * payment.mark_e8 * payment.rate_e8, E8 * E8)
            if contract.lots:
                self.own.funding(payment.us, self.symbol, round(exact))
        if self.own.is_due(self.symbol):
            assert paid or not bounds[0] < ticks * E8 // 100 < bounds[1]
            assert len(self.pit.exchange.forced) > forced
            parts = []
            for end in self.own.liquidate(
                self.pit.us,
                self.symbol,
                lambda way, limit: [one for one in offers.items() if way * (limit - one[0]) >= 0],
            ):
                assert end.us == self.pit.exchange.forced[-1].us
                parts += end.fills
                for part in end.fills:
                    offers[part.ticks] = offers.get(part.ticks, 0) - part.lots
            fills = self.pit.exchange.users.fills(ALICE)[self.seen :]
            assert [(fill.ticks, fill.lots) for fill in fills] == [(part.ticks, part.lots) for part in parts]
            self.seen = len(self.pit.exchange.users.fills(ALICE))
        else:
            assert len(self.pit.exchange.forced) == forced

    def check(self) -> None:
        """Compare all balances, margins and changes of the two."""
        box, own = self.pit.wallet(ALICE), self.own.wallet
        theirs, ours = self.pit.contract(ALICE), self.own.contract(self.symbol)
        assert (own.balance_e8, own.cross_e8, own.available_e8) == (box.balance_e8, box.cross_e8, box.available_e8)
        for name in ("lots", "cost_e8", "fees_e8", "realised_e8", "wallet_e8", "unrealised_e8", "margin_e8"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert ours.maintenance_e8 == theirs.maintenance_e8
        assert own.liquidation_e8(ours) == box.liquidation_e8(theirs)
        assert [row[1:4] for row in own.income] == [row[1:4] for row in box.income]


@given(
    STEPS,
    st.sampled_from([1, 3, 20, 125]),
    st.booleans(),
    st.sampled_from([1, 10_000, -123_457, 5_000_000]),
    st.sampled_from([500 * E8, 20_000 * E8 + 1, FUNDS_E8]),
)
def test_the_same_fills_and_marks_give_the_box_s_account(
    steps: list[tuple[Any, ...]], leverage: int, isolated: bool, rate_e8: int, start_e8: int
) -> None:
    """Balances, margins, refusals, the instant of a liquidation, its fills and its fee, to the last digit."""
    twins = Twins(leverage, isolated=isolated, rate_e8=rate_e8, start_e8=start_e8)
    for step in steps:
        if step[0] == "trade":
            _, side, permille, lots, takes = step
            ticks = twins.pit.exchange.mark.e8 * (1_000 + permille) // 1_000 // GRID.tick_e8
            if takes:
                twins.pit.market_order(-side, ticks, lots)
            twins.order(side, ticks, lots, takes=takes)
        elif step[0] == "mark":
            ticks = twins.pit.exchange.mark.e8 * (1_000 + step[1]) // 1_000 // GRID.tick_e8
            twins.mark(min(max(ticks, 2_000), 30_000))
        else:
            _, side, away, lots = step
            twins.pit.market_order(side, 10_000 - side * away, lots)
            twins.book()
        twins.check()


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_walks_into_liquidation_are_the_box_s(isolated: bool, large: bool) -> None:
    """Positions at most of their leverage, a book on both sides, and a mark that walks until they are closed.

    The large ones reach brackets whose margin is more than the liquidation fee, so that a part may be enough.
    """
    parts, signs, in_part, again = set[tuple[int, ...]](), set[bool](), 0, 0
    for seed in range(40):
        draw = random.Random(seed)
        side, clip, leverage = draw.choice([1, -1]), draw.randrange(100, 3_000), draw.choice([2, 20, 125])
        if large:
            clip, leverage = clip * 200, min(leverage, 20)
        start_e8 = clip * 100 * E8 * 13 // (10 * leverage)
        twins = Twins(leverage, isolated=isolated, rate_e8=draw.choice([0, 80_001]), start_e8=start_e8)
        twins.pit.market_order(-side, 10_000, clip * 1_000)
        twins.order(side, 10_000, clip * 1_000, takes=True)
        if draw.random() < 0.5:
            twins.order(side, 10_000 - side * 300, clip * 20, takes=False)
        for _ in range(60):
            if draw.random() < 0.5:
                away = draw.randrange(50, 400)
                best = twins.pit.exchange.mark.e8 // GRID.tick_e8
                twins.pit.market_order(side, best - side * away, draw.randrange(1, clip * 600))
                twins.book()
            twins.mark(max(100, twins.pit.exchange.mark.e8 // GRID.tick_e8 - side * draw.randrange(-120, 200)))
            twins.check()
            if twins.own.ended:
                break
        for end in twins.own.liquidations:
            parts.add(tuple(sorted({fill.by for fill in end.fills})))
            signs.add(end.equity_e8 > 0)
        in_part += any(end.left_lots for end in twins.own.liquidations)
        again += len({end.us for end in twins.own.liquidations}) > 1
    assert parts == {(0,), (1,), (0, 1)}
    assert signs == {True, False}
    assert bool(in_part) is bool(again) is large


# ---------------------------------------------------------------------- plain fractions


@st.composite
def tables(draw: st.DrawFn) -> Brackets:
    """Brackets with caps, rates and leverages of their own, and the deductions that make them continuous."""
    caps = sorted(draw(st.sets(st.integers(10, 10**7), min_size=1, max_size=5)))
    rates = sorted(draw(st.sets(st.integers(10, 5_000), min_size=len(caps), max_size=len(caps))))
    rows, floor_e8, cum_e8, before_e8 = [], 0, 0, 0
    for number, (cap, rate) in enumerate(zip(caps, rates, strict=True), start=1):
        rate_e8 = rate * E8 // 10_000
        cum_e8 += floor_e8 * (rate_e8 - before_e8) // E8
        rows.append(Bracket(number, max(1, 125 // number), floor_e8, cap * E8, rate_e8, cum_e8))
        floor_e8, before_e8 = cap * E8, rate_e8
    return tuple(rows)


def plain_rows(brackets: Brackets) -> list[tuple[Fraction, Fraction]]:
    return [(Fraction(one.cap_e8, E8), Fraction(one.rate_e8, E8)) for one in brackets]


FILLS = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from([1, -1]), st.integers(5_000, 15_000), st.integers(1, 10**6)),
    min_size=1,
    max_size=8,
)


@given(tables(), FILLS, st.integers(10, 10**6), st.lists(st.integers(4_000, 16_000), min_size=2, max_size=2))
def test_equity_margin_and_liquidation_price_are_those_of_fractions(
    brackets: Brackets, fills: list[tuple[str, int, int, int]], start: int, marks: list[int]
) -> None:
    """Of two contracts on one wallet; at the closed form's price the margin is used up, and not before."""
    account, plain = MarginAccount.of(start * E8), PlainMargin(Fraction(start))
    for symbol, ticks in zip("AB", marks, strict=True):
        account.add(symbol, MarginTerms(brackets=brackets), GRID)
        account.mark(symbol, ticks * GRID.tick_e8)
        plain.positions[symbol] = PlainPosition(plain_rows(brackets), mark=Fraction(ticks, 100))
    for symbol, side, ticks, lots in fills:
        fee = Fraction(ticks * lots, 10**5) * Fraction(1, 2_000)
        fee_e8 = round(fee * E8)
        account.book(0, symbol, side, (ticks, lots), fee_e8)
        plain.trade(symbol, side, Fraction(ticks, 100), Fraction(lots, 1_000), Fraction(fee_e8, E8))
    a = account.contract("A")
    cross_e8 = account.wallet.cross_e8 + account.wallet.cross_unrealised_e8
    slack = Fraction(len(fills) + 4, E8)
    assert abs(Fraction(cross_e8, E8) - plain.equity) <= slack
    assert abs(Fraction(account.wallet.cross_maintenance_e8, E8) - plain.needed) <= slack
    price = plain.liquidation_price("A")
    if price is None or price > 10**9:
        return
    per_cent, side = Fraction(1, 100), 1 if a.lots > 0 else -1
    for beyond in (per_cent, -per_cent):  # by a cent beyond the price, and short of it
        mark = price - side * beyond
        if mark <= 0 or abs(a.lots) < 1_000:
            continue
        account.mark("A", round(mark * E8))
        assert account.is_due("A") is (beyond > 0), (price, mark)


@given(
    tables(),
    FILLS,
    st.integers(10**4, 10**7),
    st.lists(st.tuples(st.sampled_from("AB"), st.floats(0.001, 0.999)), min_size=1, max_size=20),
    st.booleans(),
)
def test_within_the_bounds_nothing_is_liquidated(
    brackets: Brackets,
    fills: list[tuple[str, int, int, int]],
    start: int,
    moves: list[tuple[str, float]],
    isolated: bool,
) -> None:
    """Whatever the marks do between them, in any order, up to the very last price."""
    account = MarginAccount.of(start * E8)
    for symbol in "AB":
        account.add(symbol, MarginTerms(brackets=brackets, isolated=isolated and symbol == "B"), GRID)
        account.mark(symbol, 10_000 * GRID.tick_e8)
    for symbol, side, ticks, lots in fills:
        account.book(0, symbol, side, (ticks, lots), 0)
    assume(not any(account.is_due(symbol) for symbol in "AB"))
    bounds = account.bounds()
    for symbol, share in [*moves, ("A", 0.0), ("B", 0.0), ("A", 1.0), ("B", 1.0)]:
        low, high = bounds[symbol][0] + 1, min(bounds[symbol][1], 10**14) - 1
        account.mark(symbol, max(1, low + int((high - low) * share)))
        assert not account.is_due("A")
        assert not account.is_due("B")


@given(
    tables(),
    st.sampled_from([1, -1]),
    st.integers(1, 10**8),
    st.floats(0.9, 1.0),
    st.integers(0, 10**7),
    st.booleans(),
)
def test_a_part_is_closed_if_fractions_say_that_it_may_be_enough(
    brackets: Brackets, side: int, lots: int, ratio: float, rate_e8: int, isolated: bool
) -> None:
    """Of a deep book at the mark price; what is kept is in the highest lower bracket with enough margin, or nothing."""
    rows, price = plain_rows(brackets), 100
    quantity = Fraction(lots, 1_000)
    needed = maintenance(quantity * price, rows)
    equity_e8 = int(needed * Fraction(ratio) * E8)
    account = MarginAccount.of(10**12 * E8)
    terms = MarginTerms(leverage=1, brackets=brackets, isolated=isolated, clearance_rate_e8=rate_e8)
    account.add(SYMBOL, terms, GRID)
    account.mark(SYMBOL, price * E8)
    account.book(0, SYMBOL, side, (10_000, lots), 0)
    contract, wallet = account.contract(SYMBOL), account.wallet
    if isolated:
        contract.wallet_e8 = equity_e8
    else:
        wallet.balance_e8 = equity_e8
    cross_e8 = wallet.cross_e8
    assume(account.is_due(SYMBOL))
    found = list(account.liquidate(5, SYMBOL, lambda *_: [(10_000, 10**12)]))
    ticks, equity = found[0].bankrupt_ticks, Fraction(equity_e8, E8)

    def spare(kept: Fraction) -> Fraction:
        fee = (quantity - kept) * Fraction(ticks, 100) * Fraction(rate_e8, E8)
        return equity - fee - maintenance(kept * price, rows)

    caps = [cap for cap, _ in rows[:-1] if cap < quantity * price]
    wanted = [Fraction(cap * 10 // 1, 1_000) for cap in caps]  # lots of 0.1 in the quote asset
    spares = [(kept, spare(kept)) for kept in reversed(wanted) if kept]
    assume(all(abs(left) > Fraction(4, E8) for _, left in spares))
    kept = next((kept for kept, left in spares if left > 0), Fraction(0))
    assert Fraction(found[0].left_lots, 1_000) == kept
    assert abs(contract.lots) == kept * 1_000
    if kept:
        assert not account.is_due(SYMBOL)
        fee = round((quantity - kept) * Fraction(ticks, 100) * Fraction(rate_e8, E8) * E8)
        assert wallet.equity_e8(contract) == equity_e8 - fee
        assert wallet.cross_e8 == (cross_e8 if isolated else equity_e8 - fee)


@pytest.mark.parametrize("side", [1, -1])
def test_a_mark_beyond_bankruptcy_leaves_nothing_and_no_debt(side: int) -> None:
    """The forced order trades at the price at which nothing is left, whatever the mark; the fund bears the rest."""
    account = MarginAccount.of(1_000 * E8, keeps_income=True)
    account.add(SYMBOL, MarginTerms(leverage=10), GRID)
    account.mark(SYMBOL, 100 * E8)
    account.book(0, SYMBOL, side, (10_000, 90_000), 0)  # 90 at 100.00, worth 9,000
    account.mark(SYMBOL, (100 - side * 60) * E8)  # worth 5,400 less than it cost
    assert account.is_due(SYMBOL)
    [end] = account.liquidate(5, SYMBOL, lambda *_: [])
    assert end.equity_e8 == -4_400 * E8
    assert [fill[:2] for fill in end.fills] == [(8_889 if side > 0 else 11_111, 90_000)]  # 100 -+ 1,000 / 90
    assert end.clearance_e8 == account.liquidations[0].clearance_e8 >= 0
    assert account.wallet.balance_e8 == 0
    assert account.bounds()[SYMBOL] == (-1, NO_BOUND)


def test_the_insurance_fund_pays_where_the_last_tick_is_not_enough() -> None:
    """No price is below a tick: what a long loses beyond its margin there is paid by the fund."""
    account = MarginAccount.of(10 * E8)
    account.add(SYMBOL, MarginTerms(leverage=1), GRID)
    account.mark(SYMBOL, E8 // 100)
    account.book(0, SYMBOL, -1, (1, 100_000), 0)  # short 100 at 0.01
    account.mark(SYMBOL, 10 * E8)
    grid = account._held[SYMBOL]
    grid.grid = Grid(tick_e8=GRID.tick_e8, lot_e8=GRID.lot_e8, most_ticks=10**6)
    [end] = account.liquidate(5, SYMBOL, lambda way, limit: [(50, 100_000)] if way > 0 and limit >= 11 else [])
    assert end.bankrupt_ticks == 11
    assert account.wallet.balance_e8 == 0


# ---------------------------------------------------------------------- brackets of a file


def answer(brackets: Brackets = BRACKETS, **change: Any) -> list[dict[str, Any]]:
    """The exchange's answer to leverageBracket; *change* is of the second row."""
    rows = [
        {
            "bracket": one.number,
            "initialLeverage": one.leverage,
            "notionalCap": one.cap_e8 // E8,
            "notionalFloor": one.floor_e8 // E8,
            "maintMarginRatio": one.rate_e8 / E8,
            "cum": one.cum_e8 / E8,
        }
        for one in brackets
    ]
    rows[1] |= change
    return [{"symbol": "BTCUSDT", "brackets": rows}]


def test_the_exchange_s_answer_is_read_exactly(tmp_path: Path) -> None:
    """Rates and deductions as decimals, not floats."""
    path = tmp_path / "brackets.json"
    path.write_text(json.dumps(answer()))
    assert read_brackets(path, "BTCUSDT") == BRACKETS
    path.write_text(json.dumps(answer()[0]))
    assert read_brackets(path, "BTCUSDT") == BRACKETS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cum": 51}, "jumps"),
        ({"notionalFloor": 40_000}, "does not continue"),
        ({"maintMarginRatio": 0.001}, "does not continue"),
        ({"maintMarginRatio": 1.5}, "needs floor < cap"),
        ({"initialLeverage": 0}, "needs floor < cap"),
        ({"cum": "x"}, "not a table"),
        ({"maintMarginRatio": None}, "not a table"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    """With the file, the bracket and the way out."""
    path = tmp_path / "brackets.json"
    path.write_text(json.dumps(answer(**change)))
    with pytest.raises(BrokenFile, match=says) as error:
        read_brackets(path, "BTCUSDT")
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", '[{"symbol": "ETHUSDT", "brackets": []}]', "\ufeff[]"])
def test_a_file_without_the_symbol_is_refused(tmp_path: Path, text: str) -> None:
    """Also one that is empty, of another shape, or of another symbol."""
    path = tmp_path / "brackets.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BrokenFile, match="BRACKETS_FILE"):
        read_brackets(path, "BTCUSDT")
    with pytest.raises(BrokenFile, match="BRACKETS_FILE"):
        read_brackets(tmp_path / "none.json", "BTCUSDT")


def test_the_documented_brackets_are_continuous() -> None:
    """So that a liquidation price is in one of them."""
    for lower, upper in pairwise(BRACKETS):
        assert lower.maintenance_e8(lower.cap_e8) == upper.maintenance_e8(lower.cap_e8)
