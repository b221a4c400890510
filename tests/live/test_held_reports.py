"""Reports that are held until there is a listener: none is lost or repeated, and their order is kept."""

from mm.live.held_reports import HeldReports
from mm.live.ledger import AccountFill

FILL = AccountFill(1, 2, "mm-1-b", 1, "100", "1", "0", "USDT", 5, maker=True)
REPORTS = [
    ("accepted", (1, 2, 3)),
    ("rejected", (1, 2, -2010, "no")),
    ("filled", (0, FILL)),
    ("closed", (1, 2, "CANCELED")),
    ("cancel_failed", (1, 2, -2011)),
    ("amended", (1, 2, "0.5")),
    ("amend_failed", (1, 2, -2038, "no")),
    ("balances", ({"USDT": "5"}, {"USDT": "1"})),
    ("ready_changed", (True, "")),
]


class RecordingListener:
    def __init__(self):
        self.received = []

    def __getattr__(self, name):
        return lambda *terms: self.received.append((name, terms))


def report(held):
    for name, terms in REPORTS:
        getattr(held, name)(*terms)
    held.ack_latency("place", 0.5)


def test_held_reports_are_released_first_then_passed_directly():
    held, listener = HeldReports(), RecordingListener()
    report(held)
    held.release(listener)
    assert listener.received == REPORTS  # latencies are not held
    report(held)
    assert listener.received == [*REPORTS, *REPORTS, ("ack_latency", ("place", 0.5))]


def test_last_balances_are_kept():
    held = HeldReports()
    assert held.last_balances == ({}, {})
    report(held)
    assert held.last_balances == ({"USDT": "5"}, {"USDT": "1"})


def test_report_caused_during_release_is_not_lost():
    held = HeldReports()

    class ReentrantListener(RecordingListener):
        def accepted(self, *terms):
            self.received.append(("accepted", terms))
            held.closed(9, 9, "CANCELED")

    listener = ReentrantListener()
    held.accepted(1, 2, 3)
    held.release(listener)
    held.ready_changed(True, "")
    assert [name for name, _ in listener.received] == ["accepted", "closed", "ready_changed"]
