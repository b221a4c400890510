"""The trader's loop: the messages it sends, and the effects of gateway reports on engine, account and observers."""

import asyncio

import pytest
from refusals import refusal
from trader_rig import GRID, SECOND_US, START_CASH_E8, STEP, Touch, TraderRig, account_of, fill

from mm import Quotes, Rules
from mm.errors import ModelError
from mm.live._live_engine import LiveEngine
from mm.live.orders.reasons import reason_of


class Half(Touch):
    """Quotes half the quantity once there is inventory."""

    def quote(self, view):
        lots = 50 if view.inventory_lots else 100
        return Quotes(view.bid_ticks, view.ask_ticks, lots, lots)


def test_first_book_places_two_orders_in_exchange_text():
    rig = TraderRig()
    assert rig.wire.sent == [
        ("place", 1, 1, "100", "0.1", "LIMIT_MAKER"),
        ("place", 2, -1, "100.02", "0.1", "LIMIT_MAKER"),
    ]
    assert [*rig.notes.orders] == [("place", 1), ("place", 2)]


def test_moved_quote_is_sent_as_one_replacement():
    rig = TraderRig()
    rig.trader.accepted(1, rig.us, 91)
    rig.wire.take()
    rig.feed("depth", (1, 10_001, STEP), after_us=250_000)
    assert rig.wire.take() == [("replace", 1, 3, 1, "100.01", "0.1", "LIMIT_MAKER")]
    assert rig.notes.orders[-1] == ("replace", 3)


def amending():
    """Return a trader that is amending its ask, order 2, from 0.1 to 0.05 after a fill of its bid."""
    rig = TraderRig(quotes=Half)
    rig.trader.accepted(1, rig.us, 91)
    rig.trader.accepted(2, rig.us, 92)
    rig.wire.take()
    rig.trader.filled(1, fill(5))
    assert rig.wire.take() == [("place", 3, 1, "100", "0.05", "LIMIT_MAKER"), ("amend", 2, "0.05")]
    assert rig.notes.orders[-1] == ("amend", 2)
    return rig


def test_amended_order_fills_at_its_reduced_quantity():
    rig = amending()
    rig.trader.filled(2, fill(6, side=-1, price="100.02", qty="0.02"))
    rig.trader.amended(2, rig.us, "0.05")
    rig.wire.take()
    rig.trader.filled(2, fill(7, side=-1, price="100.02", qty="0.03"))
    assert [row[0] for row in rig.wire.take()] == ["place"]  # it has ended, and another takes its place


def test_amendment_to_filled_quantity_ends_the_order():
    """The quantity had filled before the amendment was reported."""
    rig = amending()
    rig.trader.filled(2, fill(6, side=-1, price="100.02", qty="0.05"))
    rig.trader.amended(2, rig.us, "0.05")
    assert rig.engine.open_orders == 1


@pytest.mark.parametrize(("code", "again"), [(0, [("amend", 2, "0.05")]), (-2038, [])])
def test_amendment_is_resent_unless_exchange_refused_it(code, again):
    rig = amending()
    rig.trader.amend_failed(2, rig.us, refusal(code, "no"))
    rig.us += 250_000
    rig.trader.act()
    assert rig.wire.take() == again
    assert rig.notes.logged[-1] == "amend_failed"


@pytest.mark.parametrize("seconds", [0.5, 4.0, 30.0])
def test_refused_side_rests_for_its_pause_in_seconds_and_the_other_goes_on(seconds):
    """To the hundredth: neither a thousandth of it nor a thousand times it."""
    rig = TraderRig()
    rig.trader.rejected(1, rig.us, 1, refusal(-2010, "no"))
    rig.trader.paused(1, seconds)
    rig.wire.take()
    begun_us, placed = rig.us, []
    while not placed and rig.us < begun_us + 40 * SECOND_US:
        rig.feed("depth", (1, 10_000, 5 * STEP), (-1, 10_002 + len(placed), 5 * STEP), after_us=10_000)
        placed = [row for row in rig.wire.take() if row[0] == "place"]
        assert all(row[2] == 1 for row in placed)
    assert rig.us - begun_us == pytest.approx(seconds * SECOND_US, abs=260_000)  # a requote comes each 250 ms
    rig.trader.accepted(2, rig.us, 92)
    rig.trader.paused(1, seconds)
    rig.feed("depth", (-1, 10_002, 0), (-1, 10_003, 5 * STEP), after_us=300_000)
    assert ("replace", 2) in [row[:2] for row in rig.wire.take()]


def test_gap_cancels_orders_without_replacement():
    rig = TraderRig()
    rig.trader.accepted(1, rig.us, 91)
    rig.trader.accepted(2, rig.us, 92)
    rig.wire.take()
    rig.feed("gap")
    assert rig.wire.take() == [("cancel", 1), ("cancel", 2)]


def test_fill_is_booked_once_and_followed_by_requote():
    rig = TraderRig()
    rig.trader.accepted(1, rig.us, 91)
    rig.wire.take()
    rig.trader.filled(1, fill(5, commission="0.0001", asset="SIM"))
    rig.trader.filled(1, fill(5, commission="0.0001", asset="SIM"))
    assert rig.engine.inventory_lots == rig.ledger.position_e8 == 9_990_000
    assert rig.account.cash_e8 == START_CASH_E8 - 10 * 10**8
    assert rig.notes.fills == [(1, 5)]
    assert rig.wire.take() == [("place", 3, 1, "100", "0.1", "LIMIT_MAKER")]


def test_fill_of_earlier_run_changes_only_the_account():
    rig = TraderRig()
    rig.trader.filled(0, fill(5, side=-1, commission="0.01"))
    assert rig.engine.inventory_lots == -10_000_000
    assert rig.account.cash_e8 == START_CASH_E8 + 10 * 10**8 - 10**6
    assert rig.notes.fills == [(0, 5)]


def test_each_fill_refers_to_state_row_and_cash_after_it():
    rig = TraderRig()
    rig.trader.filled(1, fill(5, qty="0.04", commission="0.00000001"))
    rig.trader.filled(2, fill(6, side=-1, price="100.02", qty="0.1"))
    state = rig.engine.journal().state
    for booked in rig.account.fills:
        inventory, cash_tl, fees_e8 = state[booked.state_row][1:4].tolist()
        assert inventory == booked.position_e8
        moved_e16 = cash_tl * GRID.tick_e8 * GRID.lot_e8 - fees_e8 * 10**8
        assert START_CASH_E8 * 10**8 + moved_e16 == booked.cash_e8 * 10**8


def test_fill_before_first_market_message_has_report_time():
    """After a killed run the next start books missed fills before its engine has any instant."""
    engine, reported = LiveEngine(Touch(), Rules(GRID.tick_e8, GRID.lot_e8)), [7 * SECOND_US, 8 * SECOND_US]
    account = account_of(engine)
    for trade_id, us in enumerate(reported, 5):
        account.book(0, fill(trade_id), us)
    assert [booked.us for booked in account.fills] == reported
    assert engine.journal().fills[:, 0].tolist() == reported


@pytest.mark.parametrize(
    ("code", "message", "side", "reason"),
    [
        (-2010, "Order would immediately match and take.", 1, "would_cross"),
        (-2010, "Account has insufficient balance for requested action.", 1, "insufficient_cash"),
        (-2010, "Account has insufficient balance for requested action.", -1, "insufficient_inventory"),
        (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE", 1, "price_out_of_band"),
        (-1013, "Filter failure: NOTIONAL", 1, "min_notional"),
        (-1013, "Filter failure: LOT_SIZE", 1, "quantity_out_of_range"),
        (-1015, "Too many new orders.", 1, "order_limit_10s"),
        (0, "insufficient_cash", 1, "insufficient_cash"),
        (-1000, "An unknown error occurred.", 1, "exchange_refused"),
    ],
)
def test_reason_of_maps_rejection_to_journal_reason(code, message, side, reason):
    assert reason_of(refusal(code, message), side) == reason


def test_rejection_ends_order_and_is_reported_to_observers():
    rig = TraderRig()
    rig.trader.rejected(1, rig.us, 1, refusal(-2010, "Order would immediately match and take."))
    assert rig.engine.open_orders == 1
    assert rig.notes.rejects == [("would_cross", -2010)]
    assert rig.notes.orders[-1] == ("rejected", 1)


def test_replacement_is_sent_again_after_failed_cancel():
    rig = TraderRig()
    rig.trader.accepted(1, rig.us, 91)
    rig.feed("depth", (1, 10_001, STEP), after_us=250_000)
    rig.trader.cancel_failed(1, rig.us, -2011)
    rig.trader.rejected(3, rig.us, 1, refusal(-2022, "Order cancel-replace failed."))
    rig.wire.take()
    rig.us += 250_000
    rig.trader.act()
    assert rig.wire.take() == [("replace", 1, 4, 1, "100.01", "0.1", "LIMIT_MAKER")]


def test_nothing_is_sent_after_the_end():
    rig = TraderRig()
    rig.wire.take()
    rig.trader.end("kill")
    rig.feed("depth", (1, 10_001, STEP), after_us=SECOND_US)
    rig.trader.filled(1, fill(5))
    rig.trader.act()
    assert rig.wire.take() == []
    assert rig.ledger.position_e8 == 10**7
    assert rig.trader.ended == "kill"


def test_loop_ends_when_watch_returns_a_reason():
    looks = []

    def watch(us):
        looks.append(us)
        return "risk limit" if len(looks) == 3 else None

    rig = TraderRig(watch=watch)
    assert asyncio.run(rig.trader.run()) == "risk limit"
    assert len(looks) == 3


def test_end_wakes_the_loop():
    async def ended():
        rig = TraderRig()
        task = asyncio.create_task(rig.trader.run())
        await asyncio.sleep(0)
        rig.trader.end("SIGTERM")
        return await asyncio.wait_for(task, 120)

    assert asyncio.run(ended()) == "SIGTERM"


def test_error_of_a_model_at_a_fill_ends_the_trade():
    """It is raised in the loop: through the connection that reported the fill, it would only end that."""

    class Fails(Touch):
        def quote(self, view):
            if view.inventory_lots:
                raise ValueError("no more")
            return super().quote(view)

    async def ended():
        rig = TraderRig(Fails)
        task = asyncio.create_task(rig.trader.run())
        await asyncio.sleep(0)
        rig.trader.accepted(1, rig.us, 91)
        rig.trader.filled(1, fill(5))
        assert rig.ledger.position_e8 == 10_000_000
        return await asyncio.wait_for(task, 120)

    with pytest.raises(ModelError, match="no more"):
        asyncio.run(ended())


@pytest.mark.parametrize(("least_e8", "doubted"), [(5 * 10**8, False), (11 * 10**8, True)])
def test_rules_of_the_start_that_keep_quotes_back_are_doubted(least_e8, doubted):
    """The exchange may have changed them since, and an order that is never sent is never refused."""
    asked = []
    rig = TraderRig(rules={"min_notional_e8": least_e8}, doubt_rules=lambda: asked.append(rig.us))

    async def scenario():
        running = asyncio.create_task(rig.trader.run())
        await asyncio.sleep(0.15)
        rig.trader.end("enough")
        await running

    asyncio.run(scenario())
    assert bool(rig.wire.sent) == (not doubted)
    assert bool(asked) == doubted
