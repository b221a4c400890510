"""Reports that are held until there is a listener: none lost, none repeated, in order."""

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


class Taker:
    def __init__(self):
        self.taken = []

    def __getattr__(self, name):
        return lambda *terms: self.taken.append((name, terms))


def report(held):
    for name, terms in REPORTS:
        getattr(held, name)(*terms)
    held.ack_latency("place", 0.5)


def test_what_was_held_comes_first_and_all_else_at_once():
    held, taker = HeldReports(), Taker()
    report(held)
    held.release(taker)
    assert taker.taken == REPORTS  # a latency that nobody waited for is let go
    report(held)
    assert taker.taken == [*REPORTS, *REPORTS, ("ack_latency", ("place", 0.5))]


def test_the_last_balances_are_kept():
    held = HeldReports()
    assert held.last_balances == ({}, {})
    report(held)
    assert held.last_balances == ({"USDT": "5"}, {"USDT": "1"})


def test_what_a_taker_causes_while_it_takes_is_not_lost():
    held = HeldReports()

    class Causes(Taker):
        def accepted(self, *terms):
            self.taken.append(("accepted", terms))
            held.closed(9, 9, "CANCELED")

    taker = Causes()
    held.accepted(1, 2, 3)
    held.release(taker)
    held.ready_changed(True, "")
    assert [name for name, _ in taker.taken] == ["accepted", "closed", "ready_changed"]
