"""What holds of every run, whatever it has played; `conftest.py` asks it of each result that a test makes."""

from typing import Any

import numpy as np
import pytest

from mm.backtest.journal import ACTIONS, Fills, Journal, Orders, State
from mm.backtest.result import Result

PLACE, CANCEL_REQ, SKIP, AMEND, FILL = map(ACTIONS.index, ("PLACE", "CANCEL_REQ", "SKIP", "AMEND", "FILL"))
ENDS = [ACTIONS.index(name) for name in ("CANCEL_ACK", "CLOSE_FILLED", "EXPIRE", "REJECT")]


def columns(rows: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the columns of a journal's table by name."""
    return dict(zip(names, rows.T, strict=True))


def has_all_orders(journal: Journal) -> bool:
    """Whether the journal kept its order rows: a sweep's points do without."""
    return journal.order_counts is None or len(journal.orders) == journal.order_counts.sum()


def assert_account_follows_fills(journal: Journal) -> None:
    """Inventory, cash and fees of the state rows are those of the fills, row by row.

    Commissions in the base asset, transfers, payments and settlements of a live account are not in its fills, so only
    the account of a replay is asked.
    """
    fills, state = columns(journal.fills, Fills.names()), columns(journal.state, State.names())
    signed = fills["side"] * fills["lots"]
    held = fills["inventory_lots"]
    if not len(held):
        return
    start = held[0] - signed[0]
    assert (held == start + np.cumsum(signed)).all(), "a fill's inventory is not that of the fills up to it"
    # In objects: notionals of days may be above 64 bits.
    notional = np.concatenate(([0], np.cumsum(-(fills["side"] * fills["ticks"] * fills["lots"]).astype(object))))
    inventory = np.concatenate(([start], held))
    known = np.searchsorted(fills["us"], state["us"], side="right")
    before = np.searchsorted(fills["us"], state["us"], side="left")
    # Fills of one instant have a row each, so a row shows the account between the first and the last of them.
    pairs = {(int(i), int(lots), int(cash)) for i, (lots, cash) in enumerate(zip(inventory, notional, strict=True))}
    base = int(state["cash_tl"][0]) - int(notional[known[0]] if before[0] == known[0] else state["cash_tl"][0])
    for row, (low, high) in enumerate(zip(before.tolist(), known.tolist(), strict=True)):
        now = int(state["inventory_lots"][row]), int(state["cash_tl"][row]) - base
        assert any((i, *now) in pairs for i in range(low, high + 1)), f"state row {row} is of no fill: {now}"


def assert_orders_live_once(journal: Journal) -> None:
    """An order is placed before all else, ends at most once and last, and fills no more than it has."""
    rows = columns(journal.orders, Orders.names())
    kept = (rows["action"] != SKIP) & (rows["order_id"] > 0)
    by_id = np.flatnonzero(kept)[np.argsort(rows["order_id"][kept], kind="stable")]
    order, action, us = (rows[name][by_id] for name in ("order_id", "action", "us"))
    if not len(order):
        return
    first = np.concatenate(([True], order[1:] != order[:-1]))
    last = np.concatenate((order[1:] != order[:-1], [True]))
    assert (action[first] == PLACE).all(), "an order's first row is not PLACE"
    assert not (action[~first] == PLACE).any(), "an order is placed twice"
    assert last[np.isin(action, ENDS)].all(), "an order has rows after its end"
    assert (us[1:] >= us[:-1])[~first[1:]].all(), "an order's rows go back in time"


def assert_fills_are_of_orders(journal: Journal) -> None:
    """Each fill has its row among the orders, with the same instant, price and side."""
    rows, fills = columns(journal.orders, Orders.names()), columns(journal.fills, Fills.names())
    filled = rows["action"] == FILL
    assert np.count_nonzero(filled) == len(fills["us"]), "fills and order rows of fills differ in number"
    for name in ("us", "order_id", "side"):
        assert (rows[name][filled] == fills[name]).all(), f"fills and order rows of fills differ in {name}"


def assert_summary_is_sound(summary: dict[str, Any], journal: Journal) -> None:
    """The summary's numbers of fills and orders are those of the rows, and its PnL sums, where it has one."""
    assert summary["n_fills"] == len(journal.fills)
    if has_all_orders(journal):
        action = journal.orders[:, Orders.names().index("action")]
        assert summary["n_orders"] == np.count_nonzero(action == PLACE)
    if None not in [summary[name] for name in ("pnl_quoting", "fees", "pnl_realised", "pnl_spread_capture")]:
        assert_pnl_sums(summary)


def assert_pnl_sums(summary: dict[str, Any]) -> None:
    """Each way to cut the PnL gives the same PnL."""
    quoting, fees = summary["pnl_quoting"], summary["fees"]
    close = {"rel": 1e-9, "abs": 1e-9 * (1 + abs(fees) + abs(summary["pnl_realised"]))}
    assert summary["pnl_realised"] + summary["pnl_unrealised"] - fees == pytest.approx(quoting, **close)
    assert summary["pnl_spread_capture"] + summary["pnl_inventory"] - fees == pytest.approx(quoting, **close)
    assert quoting + summary["pnl_hold"] == pytest.approx(summary["pnl_total"], **close)


def assert_run_is_sound(result: Result) -> None:
    """Ask a replay's result all of the above that its tables can answer."""
    journal = result.journal
    assert_account_follows_fills(journal)
    if has_all_orders(journal):
        assert_orders_live_once(journal)
        assert_fills_are_of_orders(journal)
