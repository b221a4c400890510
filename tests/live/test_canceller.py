"""Cancels by REST alone, with an exchange that answers by a script, on a clock of its own."""

from types import SimpleNamespace

import pytest

from mm.live.venues import canceller as module
from mm.live.venues.canceller import (
    CONFIRM_S,
    PATHS,
    KeyRefused,
    NoAnswer,
    OrderCanceller,
    Refused,
    SignedRest,
    cancel_until_none,
)
from mm.live.venues.canceller import is_ours as ours
from mm.live.venues.keys import Credentials
from mm.market_data.rate_budget import RateBudget

LISTED = PATHS["spot"].open_orders


def row(number, client_id="mm-a-1b", symbol="SIMUSDT"):
    terms = {"side": "BUY", "price": "100", "origQty": "1", "executedQty": "0", "status": "NEW"}
    return {"symbol": symbol, "orderId": number, "clientOrderId": client_id, **terms}


class Exchange:
    """A `SignedRest` whose exchange holds orders; *late* listings lack what was placed a moment ago."""

    def __init__(self, *numbers, symbol="SIMUSDT"):
        self.paths, self.calls = PATHS["spot"], []
        self.orders = {number: row(number, symbol=symbol) for number in numbers}
        self.failures, self.hidden, self.answered_s = {}, 0, 100.0

    def request(self, verb, path, **parameters):
        self.calls.append((verb, path, parameters))
        waiting = self.failures.get((verb, path))
        if waiting:
            raise waiting.pop(0)
        number = parameters.get("orderId")
        if verb == "DELETE" and number is None:
            gone, self.orders = list(self.orders.values()), {}
            return [one | {"status": "CANCELED"} for one in gone]
        if verb == "DELETE":
            return self.orders.pop(number) | {"status": "CANCELED"}
        if path == LISTED:
            self.hidden -= 1
            return [] if self.hidden >= 0 else list(self.orders.values())
        return row(number) | {"status": "FILLED"}


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves."""
    found = SimpleNamespace(now_s=100.0, monotonic=lambda: found.now_s, time=lambda: 1e9 + found.now_s)

    def sleep(seconds):
        found.now_s += seconds

    found.sleep = sleep
    monkeypatch.setattr(module, "time", found)
    return found


def cancelled(*exchanges, waits=lambda *_: None):
    """Cancel at some exchanges; return the cancellers, and why each has failed, None for one that has not."""
    cancellers = [OrderCanceller(one, ["SIMUSDT"], ours) for one in exchanges]
    failed = cancel_until_none(cancellers, 1_000.0, waits)
    return cancellers, [failed.get(each) for each in cancellers]


def test_one_empty_listing_is_not_the_end(clock):
    """A list may lack an order that was accepted a moment ago: only two in succession show that none is open."""
    exchange = Exchange(7)
    exchange.hidden = 1
    (canceller,), failed = cancelled(exchange)
    assert failed == [None]
    assert exchange.orders == {}
    assert [status for _, status in canceller.ended.values()] == ["CANCELED"]
    assert clock.now_s >= 100 + 2 * CONFIRM_S


def test_an_order_between_two_empty_listings_begins_the_count_anew(clock):
    exchange, slept = Exchange(), clock.sleep

    def sleep(seconds):
        slept(seconds)
        if sum(call[1] == LISTED for call in exchange.calls) == 1:
            exchange.orders[8] = row(8)

    clock.sleep = sleep
    assert cancelled(exchange)[1] == [None]
    assert exchange.orders == {}
    assert sum(call[1] == LISTED for call in exchange.calls) >= 4


def test_order_that_no_cancel_ends_is_not_taken_for_one_that_is_placed_anew(clock):
    """Nobody places: it is cancelled on and on, and no running trader is said to be there."""

    class Stubborn(Exchange):
        def request(self, verb, path, **parameters):
            if verb == "DELETE":
                return row(parameters["orderId"])
            return super().request(verb, path, **parameters)

    sweeps = OrderCanceller(Stubborn(7), ["SIMUSDT"], ours)
    for _ in range(30):
        assert sweeps.sweep() == 1
        clock.sleep(module.CONTEST_S)
        assert not sweeps.contested


def refusal():
    return Refused(-2015, "Invalid API-key")


def test_a_key_that_is_refused_twice_in_succession_cancels_nothing_more(clock):
    exchange = Exchange(7)
    exchange.failures["GET", LISTED] = [refusal(), refusal()]
    _, (why,) = cancelled(exchange)
    assert isinstance(why, KeyRefused)
    assert len(exchange.calls) == 2


def test_refusals_of_a_key_with_an_answer_between_them_are_a_fault_of_the_exchange(clock):
    """Each is tried again; what counts is refusals in succession, not how many there ever were."""
    exchange = Exchange(*range(6))
    sweeps = OrderCanceller(exchange, ["SIMUSDT"], ours)
    for _ in range(4):
        exchange.failures["GET", LISTED] = [refusal()]
        with pytest.raises(NoAnswer):
            sweeps.sweep()
        exchange.orders[9] = row(9)
        sweeps.sweep()
    assert exchange.orders == {}


def test_waits_for_an_answer_grow_and_begin_anew_after_one(clock):
    exchange, waits = Exchange(7), []
    sweeps = OrderCanceller(exchange, ["SIMUSDT"], ours)
    for failures in (3, 1):
        exchange.failures["GET", LISTED] = [NoAnswer("503") for _ in range(failures)]
        for _ in range(failures):
            with pytest.raises(NoAnswer) as caught:
                sweeps.sweep()
            waits.append(caught.value.wait_s)
        sweeps.sweep()
    assert waits == [0.25, 0.5, 1.0, 0.25]


def test_a_silence_that_the_exchange_demands_is_kept(clock):
    exchange = Exchange(7)
    exchange.failures["GET", LISTED] = [NoAnswer("429", 3.0)]
    said = []
    assert cancelled(exchange, waits=lambda *told: said.append(told[2]))[1] == [None]
    assert said == [3.0]
    assert clock.now_s >= 103


def test_a_few_orders_are_cancelled_singly_and_many_at_once(clock):
    """A single cancel spares what another client sends meanwhile, as the cancel of all does not."""
    for count, requests in ((5, 5), (6, 1)):
        exchange = Exchange(*range(count))
        cancelled(exchange)
        assert sum(verb == "DELETE" for verb, *_ in exchange.calls) == requests
    exchange = Exchange(*range(6))
    exchange.orders[99] = row(99, "web_1")
    (canceller,), _ = cancelled(exchange)
    assert list(exchange.orders) == [99]
    assert len(canceller.ended) == 6


def test_what_ends_by_itself_is_asked_for(clock):
    """An order that is listed, and gone when it is to be cancelled, has filled: a person must know."""
    exchange = Exchange(7)
    exchange.failures["DELETE", PATHS["spot"].order] = [Refused(-2011, "Unknown order sent.")]
    sweeps = OrderCanceller(exchange, ["SIMUSDT"], ours)
    assert sweeps.sweep() == 1
    assert [status for _, status in sweeps.ended.values()] == ["FILLED"]
    assert sweeps.left == {}


def test_an_order_that_is_gone_from_the_list_is_asked_for(clock):
    exchange = Exchange(7)
    exchange.failures["DELETE", PATHS["spot"].order] = [NoAnswer("reset")]
    sweeps = OrderCanceller(exchange, ["SIMUSDT"], ours)
    with pytest.raises(NoAnswer):
        sweeps.sweep()
    assert list(sweeps.left) == [7]
    exchange.orders.clear()
    assert sweeps.sweep() == 0
    assert [status for _, status in sweeps.ended.values()] == ["FILLED"]


def test_nothing_is_cancelled_once_it_may_not_be(clock):
    """Another trader has begun between the listing and the cancel: its orders are not ours to end."""
    exchange = Exchange(7)
    assert OrderCanceller(exchange, ["SIMUSDT"], ours).sweep(lambda: False) is None
    assert list(exchange.orders) == [7]


def test_a_refused_key_at_one_exchange_does_not_keep_another_waiting(clock):
    refusing, other = Exchange(7), Exchange(8)
    refusing.failures["GET", LISTED] = [refusal(), refusal()]
    _, (why, none) = cancelled(refusing, other)
    assert isinstance(why, KeyRefused)
    assert none is None
    assert other.orders == {}


def test_it_keeps_to_a_block_that_another_process_was_told_whatever_the_wall_clock_says(tmp_path):
    """The file has the wait on a clock that cannot be set."""
    path = tmp_path / "weight_x.json"
    RateBudget(500, 60.0, path, wall_s=lambda: 9e9).hold_off(30)
    rest = SignedRest("http://127.0.0.1:9", Credentials("key", secret="s"), path)
    with pytest.raises(NoAnswer) as blocked:
        rest.request("GET", "/api/v3/openOrders")
    assert 25 < blocked.value.wait_s <= 30


def test_orders_in_the_book_and_those_that_wait_for_a_price_are_cancelled_in_one_sweep(clock):
    class Contract(Exchange):
        def __init__(self, *numbers):
            super().__init__(*numbers)
            self.paths, self.stops = PATHS["usdm"], {3: "mm-a-p1"}

        def request(self, verb, path, **parameters):
            if path == self.paths.stops:
                return [{"symbol": "SIMUSDT", "algoId": one, "clientAlgoId": name} for one, name in self.stops.items()]
            if path == self.paths.stop and verb == "DELETE":
                self.stops.pop(parameters["algoId"])
            if path == self.paths.stop:
                return {"algoStatus": "CANCELED"}
            if path == self.paths.open_orders:
                return list(self.orders.values())
            return super().request(verb, path, **parameters)

    exchange = Contract(7, 8)
    assert OrderCanceller(exchange, ["SIMUSDT"], ours, stops=True).sweep() == 3
    assert (exchange.orders, exchange.stops) == ({}, {})
