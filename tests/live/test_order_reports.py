"""Each step writes a row of the audit log, then a report; orders of earlier runs report only fills."""

import pytest
from gateway_rig import FollowingListener, MemoryAudit
from refusals import refusal

from mm.instrument import Instrument
from mm.live.account.fee_values import FeeValues
from mm.live.orders.order_steps import (
    EARLIER,
    Accepted,
    Amended,
    AmendFailed,
    Booked,
    CancelFailed,
    Closed,
    OrderReport,
    Rejected,
)
from mm.live.orders.reports import OrderReports
from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import LiveOrder

FILL = AccountFill(5, 70, "c1", 1, "100", "1", "0.001", "SIM", 7, True)


def order(number: int = 1) -> LiveOrder:
    return LiveOrder(number, "c1", +1, "100", "2", "LIMIT", exchange_id=70, booked_e8=10**8)


def reports_to(listener: FollowingListener, audit: MemoryAudit, fees: FeeValues | None = None) -> OrderReports:
    reports = OrderReports(audit, fees or FeeValues())
    reports.attach(listener)
    return reports


def steps_of(one: LiveOrder) -> list[tuple[OrderReport, dict[str, object], tuple[object, ...]]]:
    """Return each kind of step with its expected row and report."""
    names = {"client_id": "c1", "order_id": 70}
    return [
        (Accepted(one, 7), {"type": "ack", "action": "place", **names}, ("accepted", 1)),
        (
            Amended(one, 7, "1.5"),
            {"type": "ack", "action": "amend", **names, "qty": "1.5"},
            ("amended", 1, "1.5"),
        ),
        (
            AmendFailed(one, 7, refusal(-2038, "no")),
            {"type": "reject", "action": "amend", "client_id": "c1", "code": -2038, "message": "no"},
            ("amend_failed", 1, -2038),
        ),
        (
            CancelFailed(one, 7, -2011),
            {"type": "reject", "action": "cancel", "client_id": "c1", "code": -2011, "message": ""},
            ("cancel_failed", 1, -2011),
        ),
        (
            Closed(one, 7, "CANCELED"),
            {"type": "cancel", **names, "status": "CANCELED", "filled": "1.00000000"},
            ("closed", 1, "CANCELED"),
        ),
    ]


def test_each_step_writes_row_and_report() -> None:
    audit, listener = MemoryAudit(), FollowingListener()
    reports, expected = reports_to(listener, audit), steps_of(order())
    for step, _, _ in expected:
        reports.report(step)
    assert audit.rows == [row for _, row, _ in expected]
    assert listener.log == [report for _, _, report in expected]


def test_rejection_contains_exchange_message() -> None:
    audit, listener = MemoryAudit(), FollowingListener()
    reports_to(listener, audit).report(Rejected(order(), 7, refusal(-2010, "no")))
    assert audit.rows == [{"type": "reject", "action": "place", "client_id": "c1", "code": -2010, "message": "no"}]
    assert listener.log == [("rejected", 1, -2010, "no")]


@pytest.mark.parametrize("step", [row[0] for row in steps_of(order(EARLIER))])
def test_order_of_earlier_run_is_logged_but_not_reported(step: OrderReport) -> None:
    """No listener waits for it."""
    audit, listener = MemoryAudit(), FollowingListener()
    reports_to(listener, audit).report(step)
    assert len(audit.rows) == 1
    assert listener.log == []


def test_fill_of_earlier_order_is_logged_and_reported() -> None:
    audit, listener = MemoryAudit(), FollowingListener()
    fees = FeeValues()
    fees.trade(Instrument("SIMUSDT", 1, 1, 0, "SIM", "USDT"))
    reports_to(listener, audit, fees).report(Booked(order(EARLIER), EARLIER, FILL))
    assert audit.rows == [{"type": "fill", **FILL.row()}]
    assert listener.fills == [FILL]


def test_reports_are_held_in_order_until_there_is_a_listener() -> None:
    """Also one that the listener causes while it receives the held ones."""
    received: list[str] = []
    reports = OrderReports(MemoryAudit(), FeeValues())

    class Reentrant(FollowingListener):
        def accepted(self, order_id: int, us: int, exchange_id: int) -> None:
            received.append("accepted")
            reports.tell(lambda _: received.append("caused"))

    reports.report(Accepted(order(), 7))
    reports.tell(lambda _: received.append("held"))
    assert received == []
    reports.attach(Reentrant())
    reports.tell(lambda _: received.append("at once"))
    assert received == ["accepted", "held", "caused", "at once"]
