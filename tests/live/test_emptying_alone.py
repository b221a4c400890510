"""When a guardian has emptied an exchange: at once beside its trader, after it once no request can still arrive."""

from types import SimpleNamespace

import pytest

from mm.live.run import guardian
from mm.live.run.guardian import SETTLED_S, GuardedExchange, GuardedOrders
from mm.live.venues.canceller import NoAnswer
from mm.live.venues.keys import Credentials

WINDOW_S = 5.0


class Script:
    """A canceller whose sweeps find as many orders as a list says, the last number again and again."""

    def __init__(self, *found):
        self.found, self.left, self.ended = list(found), {}, {}

    def sweep(self, may=lambda: True):
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def clock(monkeypatch):
    found = SimpleNamespace(now_s=100.0, monotonic=lambda: found.now_s)
    monkeypatch.setattr(guardian, "time", found)
    return found


def emptied_after(clock, *found, alone):
    """Return after how many s the exchange is known to be empty, at looks every quarter of a second."""
    key = Credentials("k", secret="s").handed()
    more = {"box": True, "market": "spot", "symbols": ["SIMUSDT"], "runs": ["mm-a"]}
    told = GuardedExchange("http://127.0.0.1:9", key, [], "", WINDOW_S, **more)
    orders, began_s = GuardedOrders(told), clock.now_s
    orders.canceller = Script(*found)
    while (code := orders.ended(clock.now_s, alone=alone)) is None:
        clock.now_s += 0.25
    assert code == 0
    return clock.now_s - began_s


def test_beside_its_trader_an_empty_list_is_the_end(clock):
    assert emptied_after(clock, 0, alone=False) == 0


def test_alone_it_waits_until_no_request_of_the_trader_can_arrive(clock):
    """One that was on its way when the trader was killed may rest a moment later."""
    assert WINDOW_S + SETTLED_S <= emptied_after(clock, 0, alone=True) <= WINDOW_S + SETTLED_S + 0.5


def test_an_order_that_is_found_begins_the_wait_anew(clock):
    looks = [0] * 20
    assert emptied_after(clock, *looks, 1, 0, alone=True) >= 0.25 * len(looks) + WINDOW_S + SETTLED_S


def test_a_list_without_an_answer_begins_the_wait_anew(clock):
    """While nothing is known an order may have been accepted."""
    looks = [0] * 20
    assert emptied_after(clock, *looks, NoAnswer("503"), 0, alone=True) >= 0.25 * len(looks) + WINDOW_S + SETTLED_S


@pytest.mark.parametrize(("box", "code"), [(True, 75), (False, 0)])
def test_only_a_box_is_gone_with_its_orders(clock, box, code):
    """Another exchange that does not answer for minutes still has them: it is asked until it does."""
    key = Credentials("k", secret="s").handed()
    more = {"box": box, "market": "spot", "symbols": ["SIMUSDT"], "runs": ["mm-a"]}
    orders = GuardedOrders(GuardedExchange("http://127.0.0.1:9", key, [], "", WINDOW_S, **more))
    orders.canceller, orders._rest.answered_s = Script(*[NoAnswer("gone")] * 400, 0), clock.now_s
    found = None
    while found is None:
        clock.now_s += 1
        found = orders.ended(clock.now_s, alone=True)
    assert found == code
    assert clock.now_s > 100 + guardian.BOX_GONE_S
