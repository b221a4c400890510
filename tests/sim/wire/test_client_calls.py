"""The requests that ccxt and python-binance have sent (tests/contract/call_runs.py), again over plain HTTP."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from exchange_rig import hmac_hex
from mm.sim.wire.box import LOCKSTEP_US
from mm.sim.wire.spot import SPOT
from mm.sim.wire.usdm.market import UsdmMarket
from simulation import make_box

LISTS = json.loads((Path(__file__).parent / "client_requests.json").read_text())


@pytest.mark.parametrize("name", LISTS)
def test_requests_of_clients_have_the_answers_they_had(name: str) -> None:
    """The refusals are the same, and everything else is answered with 200."""

    async def case() -> list[int]:
        market = UsdmMarket() if name.endswith("usdm") else SPOT
        more: dict[str, Any] = {"scenario": "zero_intelligence", "begins_us": LOCKSTEP_US, "limits": False}
        box = make_box(speed=0, market=market, **more)
        async with box.open(), httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http:
            await box.advance(seconds=20)
            account, codes = box.ready()["accounts"][0], []
            for method, path, given, keyed, signed, _ in LISTS[name]:
                query = urlencode(given | ({"timestamp": box.scheduler.done_us // 1_000} if signed else {}))
                query += f"&signature={hmac_hex(account['secret'], query)}" if signed else ""
                headers = {"X-MBX-APIKEY": account["api_key"]} if keyed else {}
                response = await http.request(method, f"{path}?{query}", headers=headers)
                codes.append(0 if response.status_code == 200 else response.json()["code"])
        return codes

    assert asyncio.run(case()) == [code for *_, code in LISTS[name]]
    assert len(LISTS[name]) >= 30
