"""The run folder of a trade: fills in the exchange's text, and the state from the ledger."""

import csv
from pathlib import Path

from mm.backtest.as_traded import AsTraded, Row, as_reported
from mm.backtest.io import fills_table, write_table
from mm.backtest.journal import Fills, Journal, Mids, Orders, State
from mm.instrument import E8, Instrument
from mm.live.account.ledger import BookedFill
from mm.live.run.trade_files import write_fills, write_state
from mm.live.venues.fills import AccountFill

GRID = Instrument("SIMUSDT", 1_000_000, 1, 0, "SIM", "USDT")


def booked(us, order_id, fill, *, fee_e8, state_row, position_e8, cash_e8):
    return BookedFill(order_id, fill, us, fee_e8, state_row, position_e8, cash_e8)


BUY = AccountFill(7, 70, "mm-1-1b", 1, "100.00000000", "0.10000000", "0.00010000", "SIM", 1, maker=True)
SELL = AccountFill(8, 71, "mm-1-2s", -1, "100.01000000", "0.10000000", "0.00000500", "BNB", 2, maker=False)
FILLS = [
    booked(2_500_000, 1, BUY, fee_e8=E8 // 100, state_row=1, position_e8=9_990_000, cash_e8=90 * E8),
    booked(4_000_000, 0, SELL, fee_e8=None, state_row=3, position_e8=-10_000, cash_e8=100 * E8 + 100_000),
]
MIDS = Mids([[2_000_000, 20_001], [3_000_000, 0]])


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_fills_have_exchange_text_and_account_after_each(tmp_path):
    assert write_fills(tmp_path / "fills.csv", FILLS, MIDS, GRID) == 2
    buy, sell = read(tmp_path / "fills.csv")
    assert (buy["side"], buy["price"], buy["qty"]) == ("BUY", "100.00000000", "0.10000000")
    assert (buy["fee"], buy["reason"], buy["mid"]) == ("0.01000000", "exchange:maker", "100.00500000")
    assert (buy["trade_id"], buy["client_id"]) == ("7", "mm-1-1b")
    assert (buy["commission"], buy["commission_asset"]) == ("0.00010000", "SIM")
    assert (buy["recv_ms"], buy["recv_us"], buy["inventory_after"]) == ("2500", "2500000", "0.09990000")
    assert (sell["side"], sell["fee"], sell["mid"]) == ("SELL", "", "")  # no price of BNB, and no valid book
    assert (sell["order_id"], sell["reason"]) == ("0", "exchange:taker")


def test_fill_before_first_mid_has_no_mid(tmp_path):
    write_fills(tmp_path / "fills.csv", FILLS[:1], Mids(), GRID)
    assert read(tmp_path / "fills.csv")[0]["mid"] == ""


def traded(*rows):
    """Return a trade with these reports to its engine."""
    reports = [Row(number, 10, 0, what, given) for number, (what, *given) in enumerate(rows)]
    return AsTraded(Path("steps"), "T1", 99, (GRID.tick_e8, GRID.lot_e8), {}, None, True, reports, {}, (), {})


def test_orders_rest_from_their_acceptance_and_one_that_was_not_accepted_never():
    orders = Orders.empty(3)
    orders.order_id, orders.us = (1, 2, 0), 10
    journal = Journal(orders, Fills(), State(), Mids(), counters={"last_us": 98})
    found = as_reported(journal, traded(("accepted", 1), ("accepted", 7)))
    assert found.orders.active_us.tolist() == [10, 99, 0]


def test_fills_of_a_trade_played_again_have_its_quantities_and_the_commission_beside(tmp_path):
    """A buy of 1,000 lots that pays one in the base asset adds 999; a sale, and a fee in the quote asset, take none."""
    fills = Fills.empty(2)
    fills.us, fills.order_id, fills.side = (3, 4), (1, 2), (1, -1)
    fills.ticks, fills.lots, fills.fee_e8 = (9_999, 10_001), (999, 400), 5
    fills.mid2, fills.inventory_lots = 20_000, (999, 599)
    journal = Journal(Orders(), fills, State(), Mids(), fill_reasons=("exchange:maker", "exchange:taker"))
    again = traded(("filled", 1, 1, 9_999, 1_000, 1, 5, False), ("filled", 2, -1, 10_001, 400, 0, 5, False))
    table, columns = fills_table(as_reported(journal, again), GRID)
    write_table(tmp_path / "fills.csv", [table], columns)
    buy, sell = read(tmp_path / "fills.csv")
    assert (buy["qty"], buy["base_commission"], buy["inventory_after"]) == ("0.00001000", "0.00000001", "0.00000999")
    assert (sell["qty"], sell["base_commission"]) == ("0.00000400", "0.00000000")
    assert "base_commission" not in fills_table(journal, GRID)[1]


def test_state_follows_the_ledger_row_by_row(tmp_path):
    state = State([[us, 0, 0, 0, 20_000 if us < 4 else 0, 2] for us in range(1, 5)])
    assert write_state(tmp_path / "state.csv", state, FILLS, (0, 100 * E8), GRID) == 4
    rows = read(tmp_path / "state.csv")
    assert [row["inventory"] for row in rows] == ["0.00000000", "0.09990000", "0.09990000", "-0.00010000"]
    assert [row["cash"] for row in rows] == ["100.00000000", "90.00000000", "90.00000000", "100.00100000"]
    assert [row["equity"] for row in rows] == ["100.00000000", "99.99000000", "99.99000000", ""]
    assert rows[3]["mtm_value"] == ""


def test_state_without_fills_has_initial_account(tmp_path):
    assert write_fills(tmp_path / "fills.csv", [], MIDS, GRID) == 0
    write_state(tmp_path / "state.csv", State([[1, 0, 0, 0, 0, 0]]), [], (5, 7), GRID)
    assert (read(tmp_path / "state.csv")[0]["inventory"], read(tmp_path / "fills.csv")) == ("0.00000005", [])
