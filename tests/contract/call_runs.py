"""Runs the calls of `client_calls` against a box in lockstep, and keeps the requests that the clients sent.

``PYTHONPATH=.:tests:tests/contract python tests/contract/call_runs.py`` writes them to
``tests/sim/wire/client_requests.json``.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import client_calls
from client_calls import ClientCall

from mm.sim.wire.box import LOCKSTEP_US, Box
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.spot import SPOT
from mm.sim.wire.usdm.market import UsdmMarket
from simulation import make_box

REQUESTS = Path(__file__).parents[1] / "sim" / "wire" / "client_requests.json"
RUNS = [(client, market) for client in ("ccxt", "binance") for market in ("usdm", "spot")]
SIGNED = ("timestamp", "signature", "recvWindow")


@asynccontextmanager
async def call_box(market: str) -> AsyncIterator[Box]:
    """Serve a market whose time stands still after 20 seconds: equal requests have equal answers."""
    speaks = UsdmMarket() if market == "usdm" else SPOT
    options: dict[str, Any] = {"scenario": "zero_intelligence", "begins_us": LOCKSTEP_US, "limits": False}
    box = make_box(speed=0, market=speaks, **options)
    async with box.open():
        await box.advance(seconds=20)
        yield box


class Recorder:
    """The REST door of a box, whose requests are kept with the code of the answer."""

    def __init__(self, door: Any) -> None:
        self._door = door
        self.requests: list[list[Any]] = []

    def answer(self, request: Request) -> Response:
        """Answer a request, and keep it."""
        response: Response = self._door.answer(request)
        content = json.loads(response.body)
        code = content.get("code", 0) if isinstance(content, dict) and response.status != 200 else 0
        given = {name: text for name, text in request.params.items() if name not in SIGNED}
        keyed = "x-mbx-apikey" in request.headers
        self.requests.append([request.method, request.path, given, keyed, "signature" in request.params, code])
        return response


def ccxt_client(box: Box, market: str) -> Any:
    """Return a ccxt client of the first account."""
    import ccxt  # type: ignore[import-untyped]  # it takes a second to import

    ready, rest = box.ready(), box.rest_url
    keys = {"apiKey": ready["accounts"][0]["api_key"], "secret": ready["accounts"][0]["secret"]}
    options: dict[str, Any] = {"fetchCurrencies": False, "fetchMargins": False}
    if market == "spot":
        options["fetchMarkets"] = {"types": ["spot"]}
        api = {"public": f"{rest}/api/v3", "private": f"{rest}/api/v3"}
        return ccxt.binance({**keys, "enableRateLimit": False, "options": options, "urls": {"api": api}})
    options["fetchMarkets"] = {"types": ["linear"]}
    api = {"fapiData": f"{rest}/futures/data"}
    for whose in ("Public", "Private"):
        api |= {f"fapi{whose}{version}": f"{rest}/fapi/{version.lower() or 'v1'}" for version in ("", "V2", "V3")}
    return ccxt.binanceusdm({**keys, "enableRateLimit": False, "options": options, "urls": {"api": api}})


def binance_client(box: Box, market: str) -> Any:
    """Return a python-binance client of the first account."""
    import binance  # type: ignore[import-untyped]

    class Client(binance.Client):  # type: ignore[misc]  # its addresses are attributes of the class
        API_URL = f"{box.rest_url}/api"
        FUTURES_URL = f"{box.rest_url}/fapi"
        FUTURES_DATA_URL = f"{box.rest_url}/futures/data"

    account = box.ready()["accounts"][0]
    return Client(account["api_key"], account["secret"], ping=False)


def outcomes(client: Any, calls: Sequence[ClientCall]) -> list[tuple[str, Any, int]]:
    """Return of each call its name, the code of its refusal or the exception of the client, and the code expected."""
    ids: dict[str, Any] = {}
    found = []
    for one in calls:
        code: Any = 0
        try:
            answer = getattr(client, one.name)(*_filled(one.args, ids), **_filled(one.kwargs, ids))
            _remember(one.name, answer, ids)
        except Exception as error:
            refusal = re.search(r"-\d{4}\b", str(error))
            code = int(refusal.group()) if refusal else repr(error)
        found.append((one.name, code, one.code))
    return found


def _remember(name: str, answer: Any, ids: dict[str, Any]) -> None:
    order = answer[0] if isinstance(answer, list) and answer and "order" in name else answer
    if isinstance(order, dict) and "order" in name:
        names = {"orderId": "$order", "id": "$order", "algoId": "$algo"}
        ids.update({names[key]: order[key] for key in names if order.get(key) is not None})


def _filled(value: Any, ids: dict[str, Any]) -> Any:
    if isinstance(value, str):
        return ids.get(value, value)
    if isinstance(value, dict):
        return {name: _filled(one, ids) for name, one in value.items()}
    return type(value)(_filled(one, ids) for one in value) if isinstance(value, list | tuple) else value


async def run_calls(client: str, market: str) -> tuple[list[tuple[str, Any, int]], list[list[Any]]]:
    """Return the outcomes of a client's calls, and the requests that it sent."""
    calls = getattr(client_calls, f"{client}_{market}".upper())
    make = ccxt_client if client == "ccxt" else binance_client
    async with call_box(market) as box:
        box.rest = recorder = Recorder(box.rest)  # type: ignore[assignment]
        found = await asyncio.to_thread(lambda: outcomes(make(box, market), calls))
        return found, recorder.requests


if __name__ == "__main__":
    lists = {f"{client}_{market}": asyncio.run(run_calls(client, market))[1] for client, market in RUNS}
    lines = ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(one) for one in requests) + "\n]" for name, requests in lists.items()
    )
    REQUESTS.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
