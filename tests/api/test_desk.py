"""The desk: random orders against the plain matching engine with books in fractions, and each limit at its bound."""

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import pytest
from desks import GRID, START_US, still_desk
from hypothesis import given
from hypothesis import strategies as st

from mm.api.desk import MOST_FILLS, OrderRefused
from mm.backtest.preset import PLAIN, PRESETS, Fees
from mm.errors import OffGrid
from mm.instrument import E8, e8
from mm.sim.matching.order_log import LIMIT, MAKER, MARKET, ROW_TRADE, STP_EXPIRE_TAKER
from plain_matching import PlainMatching

KINDS = {"limit": LIMIT, "limit_maker": MAKER, "market": MARKET}
CLIENTS = "abc"
COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["limit", "limit", "limit_maker", "market", "cancel", "cancel_all"]),
        st.sampled_from(CLIENTS),
        st.sampled_from([1, -1]),
        st.integers(9_995, 10_005),
        st.integers(1, 50),
        st.integers(0, 30),
    ),
    max_size=60,
)
FEES = Fees(unit_e8=(-3, 7), rate_e8=(1_234, 56_789))


class PlainDesk:
    """Orders of clients on the plain engine; their books are sums of fractions over its log."""

    def __init__(self):
        self.core = PlainMatching()
        self.orders, self.rows = {}, []

    def place(self, who, side, kind, ticks, lots):
        """Send an order; return its number, or -1."""
        number = self.core.submit(
            0, CLIENTS.index(who), side, 0 if kind == "market" else ticks, lots, KINDS[kind], STP_EXPIRE_TAKER
        )
        self.rows += self.core.take_log()
        if number > 0:
            self.orders[number] = who
        return number

    def books(self):
        """Return the position in lots, cash and fees of each client."""
        lots, cash, fees = defaultdict(int), defaultdict(Fraction), defaultdict(Fraction)
        for row in self.rows:
            if row[1] == ROW_TRADE:
                quantity, notional = Fraction(row[7], 1_000), Fraction(row[6] * row[7], 100_000)
                for number, side, took in ((row[3], -row[5], 0), (row[2], row[5], 1)):
                    who = self.orders[number]
                    fee = Fraction(round(FEES.unit_e8[took] * quantity + FEES.rate_e8[took] * notional), E8)
                    lots[who] += side * row[7]
                    cash[who] -= side * notional + fee
                    fees[who] += fee
        return lots, cash, fees


@given(COMMANDS)
def test_random_orders_leave_the_books_of_the_plain_engine(commands):
    """Orders, positions, cash and fees are those of another engine and another arithmetic."""
    desk, plain = still_desk(replace(PLAIN, fees=FEES)), PlainDesk()
    for command, who, side, ticks, lots, pick in commands:
        if command in KINDS:
            number = plain.place(who, side, command, ticks, lots)
            sent = (who, side, command, None if command == "market" else ticks * GRID.tick_e8, lots * GRID.lot_e8)
            if number == -1:
                assert refused(desk, *sent) == "would_cross"
            else:
                assert desk.place(*sent).number == number
        elif command == "cancel" and plain.orders:
            number = sorted(plain.orders)[pick % len(plain.orders)]
            plain.core.cancel(0, number)
            desk.cancel(desk.find(number))
        elif command == "cancel_all":
            for number in plain.core.open_orders(CLIENTS.index(who)):
                plain.core.cancel(0, number)
            desk.cancel_all(who)
        plain.rows += plain.core.take_log()
    lots, cash, fees = plain.books()
    for who, client in desk.clients.items():
        assert list(client.open) == plain.core.open_orders(CLIENTS.index(who))
        assert client.lots == lots[who]
        assert Fraction(client.cash_e16, 10**16) == cash[who]
        assert Fraction(client.fees_e8, E8) == fees[who]
        assert [one.us for one in client.fills] == sorted(one.us for one in client.fills)
    for number, who in plain.orders.items():
        order, resting = desk.find(number), plain.core.order(number)
        assert order.client.name == who
        assert (order.status in ("open", "partial")) is (resting is not None)
        assert resting is None or resting[3] == order.left


def test_maker_and_taker_are_both_listed_and_pushed():
    """The maker's price counts, and its fill comes first."""
    desk, pushed = still_desk(), []
    desk.listen(pushed.append)
    maker = desk.place("a", -1, "limit", e8("100.05"), e8("2"))
    taker = desk.place("b", 1, "limit", e8("100.10"), e8("5"))
    assert (maker.status, taker.status, taker.left) == ("filled", "partial", 3_000)
    assert [(one.order.client.name, one.took, one.ticks) for one in pushed] == [
        ("a", False, 10_005),
        ("b", True, 10_005),
    ]
    assert [list(desk.clients[who].fills) for who in "ab"] == [[pushed[0]], [pushed[1]]]


def test_what_a_market_order_cannot_fill_is_cancelled():
    """Half of it filled, the word is cancelled all the same."""
    desk = still_desk()
    desk.place("a", -1, "limit", e8("100"), e8("2"))
    order = desk.place("b", 1, "market", None, e8("5"))
    assert (order.status, order.left, order.ended) == ("cancelled", 3_000, "no_liquidity")


def test_a_self_trade_expires_the_taker():
    """It takes what is before its own order, and its own stays."""
    desk = still_desk()
    desk.place("b", -1, "limit", e8("100"), e8("1"))
    own = desk.place("a", -1, "limit", e8("100"), e8("1"))
    taker = desk.place("a", 1, "limit", e8("100"), e8("3"))
    assert (taker.status, taker.left, taker.ended) == ("cancelled", 2_000, "self_trade")
    assert own.status == "open"
    assert desk.clients["a"].lots == 1_000


def refused(desk, *order):
    """Return the first word of the reason why an order is not taken."""
    with pytest.raises(OrderRefused) as caught:
        desk.place(*order)
    return str(caught.value).partition(":")[0]


def test_the_position_counts_what_is_open():
    """At the bound is allowed, a lot beyond is not; the other side has the whole way."""
    desk = still_desk(max_position="5")
    desk.place("a", 1, "limit", e8("99"), e8("3"))
    assert refused(desk, "a", 1, "limit", e8("98"), e8("2.001")) == "max_position"
    desk.place("a", 1, "limit", e8("98"), e8("2"))
    desk.place("a", -1, "limit", e8("101"), e8("5"))
    desk.place("b", 1, "limit", e8("97"), e8("5"))
    assert desk.use_of(desk.clients["a"])["max_position"] == 5 * E8


def test_open_orders_are_counted_per_side_and_client():
    """A cancelled one makes room."""
    desk = still_desk(max_open_orders=2)
    first = desk.place("a", 1, "limit", e8("99"), e8("1"))
    desk.place("a", 1, "limit", e8("98"), e8("1"))
    assert refused(desk, "a", 1, "limit", e8("97"), e8("1")) == "max_open_orders"
    desk.place("b", 1, "limit", e8("97"), e8("1"))
    desk.cancel(first)
    desk.place("a", 1, "limit", e8("97"), e8("1"))


def test_the_notional_of_a_market_order_is_what_it_takes():
    """To the last 1e-8, over several prices."""
    desk = still_desk(max_order_notional="201.5")
    for ticks in ("100", "101", "102"):
        desk.place("b", -1, "limit", e8(ticks), e8("1"))
    assert refused(desk, "a", 1, "limit", e8("100.76"), e8("2")) == "max_order_notional"
    assert refused(desk, "a", 1, "market", None, e8("2.01")) == "max_order_notional"
    assert desk.place("a", 1, "market", None, e8("2.004")).status == "filled"  # 100 + 101 + 0.408


def test_a_price_band_is_around_the_mid():
    """Without a mid there is no band; a market order has none."""
    desk = still_desk(price_band="0.02")
    desk.place("b", 1, "limit", e8("99"), e8("1"))
    desk.place("b", -1, "limit", e8("101"), e8("1"))
    desk.place("a", 1, "limit", e8("98"), e8("1"))
    assert refused(desk, "a", 1, "limit", e8("97.99"), e8("1")) == "price_band"
    assert refused(desk, "a", -1, "limit", e8("102.01"), e8("1")) == "price_band"
    assert desk.place("a", 1, "market", None, e8("1")).status == "filled"


def test_orders_of_a_second_are_counted():
    """A second later there is room; a refused order does not count."""
    desk = still_desk(max_orders_per_s=3)
    for _ in range(3):
        desk.place("a", 1, "limit", e8("99"), e8("1"))
    assert refused(desk, "a", 1, "limit", e8("99"), e8("1")) == "max_orders_per_s"
    desk.advance(START_US + 1_000_000)
    for _ in range(3):
        desk.place("a", 1, "limit", e8("99"), e8("1"))
    assert refused(desk, "a", 1, "limit", e8("99"), e8("1")) == "max_orders_per_s"


def test_a_loss_of_the_day_kills_and_a_new_day_begins_anew():
    """The mark moves without the client; its orders are cancelled, and rearming does not undo the loss."""
    desk = still_desk(max_daily_loss="10")
    desk.place("b", -1, "limit", e8("100"), e8("10"))
    desk.place("a", 1, "limit", e8("100"), e8("10"))
    resting = desk.place("a", -1, "limit", e8("105"), e8("1"))
    desk.place("b", -1, "limit", e8("100"), e8("1"))
    desk.place("b", 1, "limit", e8("98"), e8("1"))  # the mid is 99: a loss of 10, which is allowed
    desk.advance(START_US + 1)
    client = desk.clients["a"]
    assert (client.killed, desk.use_of(client)["max_daily_loss"]) == (None, 10 * E8)
    desk.place("b", -1, "limit", e8("99.99"), e8("1"))
    desk.advance(START_US + 2)
    assert (client.killed, resting.status, resting.ended) == ("max_daily_loss", "cancelled", "killed")
    assert refused(desk, "a", -1, "limit", e8("100"), e8("1")) == "killed"
    desk.rearm("a")
    assert client.killed == "max_daily_loss"
    desk.advance(START_US + 86_400_000_000)
    desk.rearm("a")
    assert client.killed is None
    assert desk.place("a", -1, "limit", e8("105"), e8("1")).status == "open"


def test_a_kill_cancels_and_holds_until_it_is_rearmed():
    """Of one client alone, also of one that has sent nothing yet."""
    desk = still_desk()
    mine = [desk.place("a", 1, "limit", e8("99"), e8("1")).number for _ in range(3)]
    other = desk.place("b", 1, "limit", e8("99"), e8("1"))
    assert desk.kill("a") == mine
    assert desk.depth(1, 5) == [(9_900, 1_000)]
    assert (other.status, refused(desk, "a", 1, "limit", e8("99"), e8("1"))) == ("open", "killed")
    desk.kill("new")
    assert refused(desk, "new", 1, "market", None, e8("1")) == "killed"
    desk.rearm("a")
    desk.place("a", 1, "limit", e8("99"), e8("1"))


@pytest.mark.parametrize(("price", "size"), [("100.005", "1"), ("100", "0.0005"), ("20000000000", "1")])
def test_what_is_off_the_grid_is_no_order(price, size):
    """Nothing is left of it."""
    desk = still_desk()
    with pytest.raises(OffGrid):
        desk.place("a", 1, "limit", e8(price), e8(size))
    assert desk.open_orders == 0


def test_a_spot_account_sells_what_it_owns():
    """Open sells count; without the rule one may be short."""
    desk = still_desk(replace(PRESETS["crypto"], fees=Fees()))
    assert refused(desk, "a", -1, "limit", e8("101"), e8("1")) == "short"
    desk._core.submit(START_US, 1000, -1, 10_000, 2_000)
    desk.place("a", 1, "market", None, e8("2"))
    desk.place("a", -1, "limit", e8("101"), e8("1.5"))
    assert refused(desk, "a", -1, "limit", e8("101"), e8("0.501")) == "short"
    desk.place("a", -1, "limit", e8("101"), e8("0.5"))


def test_at_the_close_orders_are_cancelled():
    """And none is taken until the market opens again."""
    desk = still_desk(PRESETS["equity"])
    desk.advance(PRESETS["equity"].hours.last_opening(START_US + 86_400_000_000))
    order = desk.place("a", 1, "limit", e8("99"), e8("1"))
    desk.advance(desk.us + 6 * 3_600_000_000)
    assert order.status == "open"
    desk.advance(desk.us + 1_800_000_000)
    assert (order.status, order.ended) == ("cancelled", "session_closed")
    assert refused(desk, "a", 1, "limit", e8("99"), e8("1")) == "session_closed"


def test_the_oldest_fills_of_a_list_give_way():
    """The position counts them all the same."""
    desk = still_desk()
    desk.place("b", -1, "limit", e8("100"), e8("20"))
    for _ in range(MOST_FILLS + 5):
        desk.place("a", 1, "limit", e8("100"), e8("0.001"))
    client = desk.clients["a"]
    assert (len(client.fills), client.lots) == (MOST_FILLS, MOST_FILLS + 5)
