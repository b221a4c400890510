"""Questions of a start: asked again while there is no answer, so that one lost answer does not end it."""

import asyncio

import pytest
from test_trade_usdm_starts import box  # noqa: F401 - a fixture
from trading_box import ended

from mm.live.venues import requests
from mm.live.venues.refusals import Why
from mm.live.venues.requests import ApiAnswer, Outcome, Route, answer_at_last

DONE, LOST = ApiAnswer(Outcome.DONE, 1), ApiAnswer(Outcome.UNKNOWN, 1)
BUSY = ApiAnswer(Outcome.REFUSED, 1, code=-1008, why=Why.BUSY)
REFUSED = ApiAnswer(Outcome.REFUSED, 1, code=-2015, why=Why.KEY)


@pytest.mark.parametrize(
    ("told", "asked", "last"),
    [((DONE,), 1, DONE), ((LOST, BUSY, DONE), 3, DONE), ((LOST, REFUSED), 2, REFUSED), ((LOST,), None, LOST)],
)
def test_question_is_repeated_until_it_is_answered_or_refused(monkeypatch, told, asked, last):
    """And not for ever."""
    monkeypatch.setattr(requests, "ASKED_S", 0.2)
    monkeypatch.setattr(requests, "ASK_AGAIN_S", 0.01)
    sent = []

    def send(route, parameters, done):
        sent.append(route.name)
        asyncio.get_running_loop().call_soon(done, told[min(len(sent), len(told)) - 1])
        return 0

    found = asyncio.run(answer_at_last(send, (Route("time", "GET", "/time"), {})))
    assert found == last
    assert len(sent) == asked if asked else len(sent) > 2


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/fapi/v1/symbolConfig", "/fapi/v1/exchangeInfo", "/fapi/v1/multiAssetsMargin"])
def test_one_lost_answer_does_not_end_a_start_of_a_contract(box, path):  # noqa: F811 - the fixture
    box.post("/sim/faults", f"at time 0 do reset_request n=2 path={path}")
    with box.trader() as process:
        box.until(lambda: box.account()["openOrders"], "orders", process=process)
        code, text, _ = ended(process)
    assert code == 0, text
