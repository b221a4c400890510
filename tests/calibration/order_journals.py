"""Journals of orders written by hand, and their exposure at each distance."""

import numpy as np

from mm.backtest.journal import ACTIONS, STATUSES, Fills, Journal, Orders
from mm.calibration.day_orders import OrderRows
from mm.calibration.exposure import RestingOrders
from mm.calibration.reference import BLOCK_S, reference_path, span_of
from small_tapes import tops

S = 1_000_000
CLOSES = {
    "fill": [("FILL", "FILLED"), ("CLOSE_FILLED", "FILLED")],
    "part": [("FILL", "LIVE")],
    "cancel": [("CANCEL_ACK", "CANCELLED")],
    "expire": [("EXPIRE", "EXPIRED")],
    "reject": [("REJECT", "REJECTED")],
    "": [],
}


def row(**values):
    return [values.get(name, 0 if name.endswith("reason") else -1) for name in Orders.names()]


def order(number, side, ticks, active_us, *ends):
    """Return the rows of one order: placement, then its ends as ``(kind, instant)``."""
    changes = [("PLACE", "SENT", max(active_us - 3, 0))]
    changes += [(action, status, us) for kind, us in ends for action, status in CLOSES[kind]]
    same = {"order_id": number, "side": side, "ticks": ticks, "lots": 1, "active_us": active_us}
    return [row(us=us, action=ACTIONS.index(a), status=STATUSES.index(s), **same) for a, s, us in changes]


def skipped(us, side, ticks):
    """Return the row of a quote that was not sent."""
    return [
        row(us=us, order_id=0, action=ACTIONS.index("SKIP"), status=STATUSES.index("REJECTED"), side=side, ticks=ticks)
    ]


def journal(feed, *orders):
    """Return the order rows and a fills row per fill; a print precedes book changes of the same instant."""
    rows = [row for order_rows in orders for row in order_rows]
    table = np.array(rows, np.int64).reshape(-1, len(Orders.names()))
    filled = table[table[:, 2] == ACTIONS.index("FILL")]
    fills = np.zeros((len(filled), len(Fills.names())), np.int64)
    fills[:, 0], fills[:, 1] = filled[:, 0], filled[:, 1]
    fills[:, 7] = [mid2_before(feed, us) for us in filled[:, 0].tolist()]
    empty = np.empty((0, 0), np.int64)
    return Journal(table, fills, empty, empty, ())


def mid2_before(feed, us):
    """Return best bid plus best ask just before an instant; 0 without a book."""
    earlier = [top for since, _, top in tops(feed) if since < us]
    return sum(earlier[-1][:2]) if earlier and earlier[-1] else 0


def order_exposure(played, day, reference="mid", block_s=BLOCK_S, anchors=None, by_model=False):
    path = reference_path(day, reference)
    found = RestingOrders.of(played, anchors, by_model=by_model).between(path, *span_of(day), round(block_s * S))
    return OrderRows.of([found]).points(path.per_tick)
