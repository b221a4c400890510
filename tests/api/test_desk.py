"""The desk: random orders against the plain matching engine with accounts in fractions, and each limit at its bound."""

from collections import defaultdict
from fractions import Fraction

import pytest
from desks import GRID, START_US, still_desk
from hypothesis import given
from hypothesis import strategies as st

from mm.api.desk import MOST_FILLS, OrderRefused, ended_by, remaining_lots, status_of
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
UNIT_E8, RATE_E8 = (-3, 7), (1_234, 56_789)  # fees of maker and taker


class PlainDesk:
    """Orders of clients on the plain engine; their accounts are sums of fractions over its log."""

    def __init__(self):
        self.core = PlainMatching()
        self.orders, self.rows = {}, []

    def place(self, client, side, kind, ticks, lots):
        """Send an order; return its number, or -1."""
        number = self.core.submit(
            0, CLIENTS.index(client), side, 0 if kind == "market" else ticks, lots, KINDS[kind], STP_EXPIRE_TAKER
        )
        self.rows += self.core.take_log()
        if number > 0:
            self.orders[number] = client
        return number

    def accounts(self):
        """Return the position in lots, cash and fees of each client."""
        lots, cash, fees = defaultdict(int), defaultdict(Fraction), defaultdict(Fraction)
        for row in self.rows:
            if row[1] == ROW_TRADE:
                quantity, notional = Fraction(row[7], 1_000), Fraction(row[6] * row[7], 100_000)
                for number, side, is_taker in ((row[3], -row[5], 0), (row[2], row[5], 1)):
                    client = self.orders[number]
                    fee = Fraction(round(UNIT_E8[is_taker] * quantity + RATE_E8[is_taker] * notional), E8)
                    lots[client] += side * row[7]
                    cash[client] -= side * notional + fee
                    fees[client] += fee
        return lots, cash, fees


@given(COMMANDS)
def test_random_orders_match_the_accounts_of_the_plain_engine(commands):
    """Orders, positions, cash and fees equal those of another engine with another arithmetic."""
    desk, plain = still_desk(fees=(UNIT_E8, RATE_E8)), PlainDesk()
    for command, name, side, ticks, lots, pick in commands:
        if command in KINDS:
            number = plain.place(name, side, command, ticks, lots)
            order_sent = (
                name,
                side,
                command,
                None if command == "market" else ticks * GRID.tick_e8,
                lots * GRID.lot_e8,
            )
            if number == -1:
                assert rejection(desk, *order_sent) == "would_cross"
            else:
                assert desk.place(*order_sent).order_id == number
        elif command == "cancel" and plain.orders:
            number = sorted(plain.orders)[pick % len(plain.orders)]
            plain.core.cancel(0, number)
            desk.cancel(desk.find(number))
        elif command == "cancel_all":
            for number in plain.core.open_orders(CLIENTS.index(name)):
                plain.core.cancel(0, number)
            desk.cancel_all(name)
        plain.rows += plain.core.take_log()
    lots, cash, fees = plain.accounts()
    for name, client in desk.clients.items():
        assert [order.order_id for order in desk.orders(client)] == plain.core.open_orders(CLIENTS.index(name))
        assert client.lots == lots[name]
        assert Fraction(client.cash_e16, 10**16) == cash[name]
        assert Fraction(client.fees_e8, E8) == fees[name]
        assert [fill.us for fill in desk.fills(client)] == sorted(fill.us for fill in desk.fills(client))
    for number, name in plain.orders.items():
        order, resting = desk.find(number), plain.core.order(number)
        assert desk.owner(order) == name
        assert (status_of(order) in ("open", "partial")) is (resting is not None)
        assert resting is None or resting[3] == order.left_lots


def test_maker_and_taker_fills_are_both_listed_and_sent():
    """The maker's price counts."""
    desk, events = still_desk(), []
    desk.listen(lambda client, event: events.append((client.name, event.fill)) if event.fill else None)
    maker = desk.place("a", -1, "limit", e8("100.05"), e8("2"))
    taker = desk.place("b", 1, "limit", e8("100.10"), e8("5"))
    assert (status_of(maker), status_of(taker), remaining_lots(taker)) == ("filled", "partial", 3_000)
    assert sorted((name, fill.is_maker, fill.ticks) for name, fill in events) == [
        ("a", True, 10_005),
        ("b", False, 10_005),
    ]
    assert all(desk.fills(desk.clients[name]) == [fill] for name, fill in events)


def test_unfilled_rest_of_a_market_order_is_cancelled():
    """Also after a partial fill the status is cancelled."""
    desk = still_desk()
    desk.place("a", -1, "limit", e8("100"), e8("2"))
    order = desk.place("b", 1, "market", None, e8("5"))
    assert (status_of(order), remaining_lots(order), ended_by(order)) == ("cancelled", 3_000, "no_liquidity")


def test_self_trade_expires_the_taker():
    """The taker fills the orders before its own order, which stays."""
    desk = still_desk()
    desk.place("b", -1, "limit", e8("100"), e8("1"))
    own = desk.place("a", -1, "limit", e8("100"), e8("1"))
    taker = desk.place("a", 1, "limit", e8("100"), e8("3"))
    assert (status_of(taker), remaining_lots(taker), ended_by(taker)) == ("cancelled", 2_000, "self_trade")
    assert status_of(own) == "open"
    assert desk.clients["a"].lots == 1_000


def rejection(desk, *order):
    """Return the first word of the reason why an order is rejected."""
    with pytest.raises(OrderRefused) as caught:
        desk.place(*order)
    return str(caught.value).partition(":")[0]


def test_position_limit_counts_open_orders():
    """At the bound is allowed, a lot beyond is not; the other side has its own room."""
    desk = still_desk(max_position="5")
    desk.place("a", 1, "limit", e8("99"), e8("3"))
    assert rejection(desk, "a", 1, "limit", e8("98"), e8("2.001")) == "max_position"
    desk.place("a", 1, "limit", e8("98"), e8("2"))
    desk.place("a", -1, "limit", e8("101"), e8("5"))
    desk.place("b", 1, "limit", e8("97"), e8("5"))
    assert desk.use_of(desk.clients["a"])["max_position"] == 5 * E8


def test_open_orders_are_limited_per_side_and_client():
    """A cancelled order makes room."""
    desk = still_desk(max_open_orders=2)
    first = desk.place("a", 1, "limit", e8("99"), e8("1"))
    desk.place("a", 1, "limit", e8("98"), e8("1"))
    assert rejection(desk, "a", 1, "limit", e8("97"), e8("1")) == "max_open_orders"
    desk.place("b", 1, "limit", e8("97"), e8("1"))
    desk.cancel(first)
    desk.place("a", 1, "limit", e8("97"), e8("1"))


def test_notional_of_a_market_order_is_that_of_its_fills():
    """To the last 1e-8, over several prices."""
    desk = still_desk(max_order_notional="201.5")
    for ticks in ("100", "101", "102"):
        desk.place("b", -1, "limit", e8(ticks), e8("1"))
    assert rejection(desk, "a", 1, "limit", e8("100.76"), e8("2")) == "max_order_notional"
    assert rejection(desk, "a", 1, "market", None, e8("2.01")) == "max_order_notional"
    assert desk.place("a", 1, "market", None, e8("2.004")).status == "FILLED"  # 100 + 101 + 0.408


def test_price_band_is_around_the_mid():
    """Without a mid there is no band; a market order has none."""
    desk = still_desk(price_band="0.02")
    desk.place("b", 1, "limit", e8("99"), e8("1"))
    desk.place("b", -1, "limit", e8("101"), e8("1"))
    desk.place("a", 1, "limit", e8("98"), e8("1"))
    assert rejection(desk, "a", 1, "limit", e8("97.99"), e8("1")) == "price_band"
    assert rejection(desk, "a", -1, "limit", e8("102.01"), e8("1")) == "price_band"
    assert desk.place("a", 1, "market", None, e8("1")).status == "FILLED"


def test_order_rate_is_limited_per_second():
    """A second later there is room; a rejected order does not count."""
    desk = still_desk(max_orders_per_s=3)
    for _ in range(3):
        desk.place("a", 1, "limit", e8("99"), e8("1"))
    assert rejection(desk, "a", 1, "limit", e8("99"), e8("1")) == "max_orders_per_s"
    desk.advance(START_US + 1_000_000)
    for _ in range(3):
        desk.place("a", 1, "limit", e8("99"), e8("1"))
    assert rejection(desk, "a", 1, "limit", e8("99"), e8("1")) == "max_orders_per_s"


def test_daily_loss_kills_until_a_new_day():
    """The mark moves without the client; its orders are cancelled, and rearming on the same day has no effect."""
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
    assert (client.killed, status_of(resting), ended_by(resting)) == ("max_daily_loss", "cancelled", "killed")
    assert rejection(desk, "a", -1, "limit", e8("100"), e8("1")) == "killed"
    desk.rearm("a")
    assert client.killed == "max_daily_loss"
    desk.advance(START_US + 86_400_000_000)
    desk.rearm("a")
    assert client.killed is None
    assert desk.place("a", -1, "limit", e8("105"), e8("1")).status == "NEW"


def test_kill_cancels_and_blocks_until_rearm():
    """For one client only, also one that has sent nothing yet."""
    desk = still_desk()
    mine = [desk.place("a", 1, "limit", e8("99"), e8("1")).order_id for _ in range(3)]
    other = desk.place("b", 1, "limit", e8("99"), e8("1"))
    assert desk.kill("a") == mine
    assert desk.depth(1, 5) == [(9_900, 1_000)]
    assert (status_of(other), rejection(desk, "a", 1, "limit", e8("99"), e8("1"))) == ("open", "killed")
    desk.kill("new")
    assert rejection(desk, "new", 1, "market", None, e8("1")) == "killed"
    desk.rearm("a")
    desk.place("a", 1, "limit", e8("99"), e8("1"))


@pytest.mark.parametrize(("price", "size"), [("100.005", "1"), ("100", "0.0005"), ("20000000000", "1")])
def test_values_off_the_grid_raise_and_leave_no_order(price, size):
    """Price and size."""
    desk = still_desk()
    with pytest.raises(OffGrid):
        desk.place("a", 1, "limit", e8(price), e8(size))
    assert desk.open_orders == 0


def test_spot_account_cannot_sell_more_than_it_owns():
    """Open sells count."""
    desk = still_desk("crypto", fees=())
    assert rejection(desk, "a", -1, "limit", e8("101"), e8("1")) == "short"
    desk._core.submit(START_US, 1000, -1, 10_000, 2_000)
    desk.place("a", 1, "market", None, e8("2"))
    desk.place("a", -1, "limit", e8("101"), e8("1.5"))
    assert rejection(desk, "a", -1, "limit", e8("101"), e8("0.501")) == "short"
    desk.place("a", -1, "limit", e8("101"), e8("0.5"))


def test_orders_are_cancelled_at_the_close():
    """And rejected until the market opens again."""
    desk = still_desk("equity")
    desk.advance(desk.preset.hours.last_opening(START_US + 86_400_000_000))
    order = desk.place("a", 1, "limit", e8("99"), e8("1"))
    desk.advance(desk.us + 6 * 3_600_000_000)
    assert status_of(order) == "open"
    desk.advance(desk.us + 1_800_000_000)
    assert (status_of(order), ended_by(order)) == ("cancelled", "session_closed")
    assert rejection(desk, "a", 1, "limit", e8("99"), e8("1")) == "session_closed"


def test_list_of_fills_drops_the_oldest():
    """The position still counts them."""
    desk = still_desk()
    desk.place("b", -1, "limit", e8("100"), e8("20"))
    for _ in range(MOST_FILLS + 5):
        desk.place("a", 1, "limit", e8("100"), e8("0.001"))
    client = desk.clients["a"]
    assert (len(desk.fills(client)), client.lots) == (MOST_FILLS, MOST_FILLS + 5)
