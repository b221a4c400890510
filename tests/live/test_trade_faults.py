"""``mm trade`` with the faults of the exchange in a box: after each, its books match the exchange's, within its limits.

TRADE_FAULT_ROUNDS (default 1) repeats every fault so often, in an order that changes from round to round.
"""

import os
import random
from contextlib import contextmanager
from decimal import Decimal

import pytest
from trading_box import ended, venue
from trading_truth import assert_all_known, assert_equal_books, booked, largest_exposure

from support import in_time

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
MOST = Decimal("0.15")  # the position limit, a little more than two orders
SETTLES_S = 120  # an unknown outcome is settled within 10 s on a quiet machine
LONGEST_S = 1200  # all faults one after the other, on a loaded machine
OF_REQUESTS = ("ack_lost", "ack_late", "error", "status", "fill_on_cancel")
REST_PATHS = {  # of the methods in a script, the longest name first
    "order.cancelReplace": "'POST /api/v3/order/cancelReplace'",
    "order.cancel": "'DELETE /api/v3/order'",
    "order.place": "'POST /api/v3/order'",
}
FAULTS = [
    "ack_lost n=2",
    "ack_lost n=2 undone=1",
    "ack_lost path=order.cancelReplace",
    "ack_late n=2 delay_s=0.6",
    "ack_late delay_s=0.4 undone=1",
    *(f"error code={code}" for code in (-1006, -1007, -1021)),
    *(f"error code={code} undone=1" for code in (-1006, -1007, -1013, -1015, -1021, -2010)),
    "error code=-2011 path=order.cancel undone=1",
    "drop of=user n=4",
    "duplicate of=user n=4",
    "swap of=user n=3",
    "lag of=user delay_s=0.3 for_s=1",
    "stall of=user for_s=1.5",
    "terminate",
    "close of=user code=1006",
    "reset of=both",
    "status path=order.place code=503",
    "status path=order.place code=503 undone=1",
    "status path=order.place code=429 retry_after=1",
    "status path=order.place code=429",
    "status path=order.place code=418 retry_after=1",
    "fill_on_cancel n=2",
    "restart books=kept for_s=0.5",
    "restart books=lost for_s=0.5",
    "half_open of=user",
]
_ROUNDS = int(os.environ.get("TRADE_FAULT_ROUNDS", "1"))


def _schedule():
    """Return all faults, and further rounds of them in another order, as set by TRADE_FAULT_ROUNDS."""
    chance = random.Random(15)
    return FAULTS + [fault for _ in range(_ROUNDS - 1) for fault in chance.sample(FAULTS, len(FAULTS))]


def _by_rest(fault):
    """Return a fault that names a method with the path of that method."""
    for method, path in REST_PATHS.items():
        fault = f"{fault} ".replace(f"={method} ", f"={path} ").strip()
    return fault


@contextmanager
def _trading(folder, transport, *, session=False):
    """Yield a trader that continues through all faults; at its end the books are compared once more.

    Its requests are signed with HMAC; with *session* it is logged on with an Ed25519 key.
    """
    limits = {"MAX_POSITION": str(MOST), "LATENCY_THRESHOLD_MS": "60000"}  # slow answers must not end the quoting here
    with venue(folder, *MARKET, longest_s=LONGEST_S) as box:
        key = box.ed25519(folder / "key.pem") if session else {}
        with box.trader(ORDER_TRANSPORT=transport, **key, **limits) as process:
            box.until(lambda: len(box.account()["trades"]) > 1, "fills", process=process)
            yield box, process
            _end_and_compare(box, process)


def _end_and_compare(box, process):
    """End a trader, and compare the books."""
    code, output, seconds = ended(process)
    assert code == 0, output
    assert in_time(seconds, 30)
    assert_equal_books(box)
    assert largest_exposure(box) <= MOST


@pytest.fixture(scope="module")
def by_websocket(tmp_path_factory):
    with _trading(tmp_path_factory.mktemp("websocket"), "websocket") as trading:
        yield trading


@pytest.fixture(scope="module")
def by_rest(tmp_path_factory):
    with _trading(tmp_path_factory.mktemp("rest"), "rest") as trading:
        yield trading


@pytest.mark.slow
@pytest.mark.parametrize("fault", _schedule())
def test_books_match_exchange_after_fault(by_websocket, fault):
    _survive(*by_websocket, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [one for one in FAULTS if one.split()[0] in OF_REQUESTS])
def test_books_match_exchange_after_rest_fault(by_rest, fault):
    _survive(*by_rest, _by_rest(fault))


@pytest.mark.slow
def test_books_match_exchange_after_repeated_log_on_expiry(tmp_path):
    with _trading(tmp_path, "websocket", session=True) as (box, process):
        for _ in range(2):
            _survive(box, process, "logon_expired")


def _survive(box, process, fault):
    """Inject a fault; wait until quoting continues and all fills are booked."""
    since_us = box.get("/sim/state")["now_us"]
    box.post("/sim/faults", f"at time 0 do {fault}")
    of_requests = fault.split()[0] in OF_REQUESTS

    def equal():
        return booked(box).keys() == {int(one["id"]) for one in box.account()["trades"]}

    def placed():
        after = box.account(since_us)["requests"]
        hits = [number for number, one in enumerate(after) if one["faults"]] if of_requests else [-1]
        return hits and any((one["outcome"] or {}).get("status") == 200 for one in after[hits[-1] + 1 :])

    box.until(placed, f"an order after {fault}", SETTLES_S, process=process)
    box.until(equal, f"the fills of {fault}", SETTLES_S, process=process)
    assert_all_known(box)
