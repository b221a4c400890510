"""Signed REST: the outcome of requests that fail in various ways."""

import asyncio
import ssl
from collections.abc import Callable

import httpx
import pytest

from mm.live.venues import rest_api
from mm.live.venues.binance import Signer, time_us
from mm.live.venues.binance_spot import AMEND_ORDER, CANCEL, ORDER_STATUS, PLACE, REPLACE_ORDER, TIME
from mm.live.venues.keys import Credentials
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import ApiAnswer, ExchangeClock, Outcome, Route, answer_of, measure
from mm.live.venues.rest_api import RestApi

US = 1_700_000_000_000_000


def api(answer: Callable[[httpx.Request], httpx.Response]) -> tuple[RestApi, OrderLimits]:
    limits = OrderLimits()
    signer = Signer(Credentials("k", secret="s"), ExchangeClock(lambda: US), 1_000)
    return RestApi("http://x", signer, limits, httpx.MockTransport(answer)), limits


def answered(answer: Callable[[httpx.Request], httpx.Response], route: Route = PLACE) -> ApiAnswer:
    async def main() -> ApiAnswer:
        rest, _ = api(answer)
        try:
            return await answer_of(rest.request, (route, {"symbol": "S", "price": "1.5"}))
        finally:
            await rest.close()

    return asyncio.run(main())


def failing(error: type[httpx.HTTPError]) -> Callable[[httpx.Request], httpx.Response]:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("why")

    return fail


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (httpx.ConnectError, Outcome.UNSENT),
        (httpx.ConnectTimeout, Outcome.UNSENT),
        (httpx.PoolTimeout, Outcome.UNSENT),
        (httpx.ReadTimeout, Outcome.UNKNOWN),
        (httpx.ReadError, Outcome.UNKNOWN),
        (httpx.WriteError, Outcome.UNKNOWN),
        (httpx.RemoteProtocolError, Outcome.UNKNOWN),
    ],
)
def test_only_connection_errors_are_unsent(error: type[httpx.HTTPError], outcome: Outcome) -> None:
    """A broken response is inconclusive about the order."""
    assert answered(failing(error)).outcome is outcome


@pytest.mark.parametrize("route", [PLACE, REPLACE_ORDER, AMEND_ORDER, CANCEL])
def test_requests_that_can_be_in_doubt_keep_returned_timestamp(route: Route) -> None:
    """Their window counts from it, however long a connection takes."""
    timestamps: list[str] = []

    def note(request: httpx.Request) -> httpx.Response:
        timestamps.append(request.url.params["timestamp"])
        return httpx.Response(200, json={})

    async def main() -> int:
        clock = iter(range(US, US + 10**9, 5_000_000))
        signer = Signer(Credentials("k", secret="s"), ExchangeClock(lambda: next(clock)), 1_000)
        rest = RestApi("http://x", signer, OrderLimits(), httpx.MockTransport(note))
        done = asyncio.Event()
        stamp = rest.request(route, {"symbol": "S"}, lambda _: done.set())
        await done.wait()
        await rest.close()
        return stamp

    stamp = asyncio.run(main())
    assert (timestamps == [str(stamp)]) == (route is not CANCEL)


PARTIAL = {"code": -2021, "msg": "no", "data": {"cancelResult": "SUCCESS"}}


@pytest.mark.parametrize(
    ("response", "outcome", "code"),
    [
        (httpx.Response(200, json={"orderId": 1}), Outcome.DONE, 0),
        (httpx.Response(200, content=b'{"orderId": 1, "sta'), Outcome.UNKNOWN, 0),
        (httpx.Response(400, json={"code": -2010, "msg": "no"}), Outcome.REFUSED, -2010),
        (
            httpx.Response(409, json={"code": -2021, "msg": "no", "data": {"cancelResult": "SUCCESS"}}),
            Outcome.REFUSED,
            -2021,
        ),
        (httpx.Response(503, text="<html>"), Outcome.UNKNOWN, 0),
        (httpx.Response(504, json={"code": -1007, "msg": "timeout"}), Outcome.UNKNOWN, -1007),
        (httpx.Response(403, text="<html>waf</html>"), Outcome.REFUSED, 0),
    ],
)
def test_outcome_follows_from_status_and_code(response: httpx.Response, outcome: Outcome, code: int) -> None:
    """The data of a refusal is passed on."""
    answer = answered(lambda _: response)
    assert (answer.outcome, answer.code) == (outcome, code)
    assert (b"cancelResult" in answer.result) == (code == -2021)


def test_request_is_signed_with_key_and_window() -> None:
    """As the documentation of REST shows it."""
    requests: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={})

    answered(take)
    (request,) = requests
    query = request.url.query.decode()
    payload, _, signature = query.partition("&signature=")
    assert payload == f"symbol=S&price=1.5&recvWindow=1000&timestamp={US // 1_000}"
    assert signature == Credentials("k", secret="s").sign(payload)
    assert (request.method, request.url.path, request.headers["X-MBX-APIKEY"]) == ("POST", "/api/v3/order", "k")


def test_too_many_requests_status_silences_the_api() -> None:
    """For the time in the Retry-After header."""

    async def main() -> None:
        busy = httpx.Response(429, headers={"Retry-After": "7"}, json={"code": -1003, "msg": "slow"})
        rest, limits = api(lambda _: busy)
        assert (await answer_of(rest.request, (CANCEL, {}))).retry_after_s == 7
        assert 6 < limits.silence_s <= 7
        assert (await answer_of(rest.request, (CANCEL, {}))).outcome is Outcome.UNSENT
        await rest.close()
        assert (await answer_of(rest.request, (CANCEL, {}))).outcome is Outcome.UNSENT

    asyncio.run(main())


def test_stale_timestamp_error_calls_doubted_callback() -> None:
    """A measurement then corrects the offset."""

    async def main() -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/time"):
                return httpx.Response(200, json={"serverTime": US // 1_000 + 4_000})
            return httpx.Response(400, json={"code": -1021, "msg": "stale"})

        clock = ExchangeClock(lambda: US)
        doubts: list[int] = []
        clock.doubted = lambda: doubts.append(1)
        signer = Signer(Credentials("k", secret="s"), clock, 1_000)
        rest = RestApi("http://x", signer, OrderLimits(), httpx.MockTransport(answer))
        await answer_of(rest.request, (ORDER_STATUS, {}))
        assert doubts == [1]
        await measure(rest.request, clock, (TIME, {}), time_us)
        assert clock.offset_us == 4_000_000
        await rest.close()

    asyncio.run(main())


def test_plain_http_context_trusts_no_authority() -> None:
    """A redirect or a mistake must not lead to an unchecked certificate."""
    plain, secure = (rest_api._trusted(f"{scheme}://x") for scheme in ("http", "HTTPS"))
    assert plain.verify_mode is secure.verify_mode is ssl.CERT_REQUIRED
    assert plain.check_hostname
    assert secure.check_hostname
    assert not plain.cert_store_stats()["x509_ca"]
