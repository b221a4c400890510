"""A contract in a box in lockstep, with clients by REST, WebSocket API and streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from exchange_rig import ed25519_base64, hmac_hex
from mm.sim.exchange.usdm.terms import UsdmTerms
from mm.sim.wire.usdm.market import UsdmMarket
from simulation import lockstep_box

SYMBOL = "SIMUSDT"
_PATIENCE_S = 60.0


def limit(side: str = "BUY", price: str = "99", quantity: str = "1", **more: Any) -> dict[str, Any]:
    """Return the parameters of a LIMIT order."""
    order = {"symbol": SYMBOL, "side": side, "type": "LIMIT", "timeInForce": "GTC", "price": price}
    return order | {"quantity": quantity} | more


class Ear:
    """A connection whose messages are kept as they arrive."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.got: list[Any] = []
        self.closed = False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                self.got.append(_parsed(await self.connection.recv()))
        except ConnectionClosed:
            self.closed = True

    @property
    def kinds(self) -> list[str]:
        """Return the names of the events."""
        return [one.get("e", "") for one in self.got]

    async def until(self, condition: Callable[["Ear"], object]) -> None:
        """Wait until *condition* holds."""
        async with asyncio.timeout(_PATIENCE_S):
            while not condition(self):
                await asyncio.sleep(0)

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, and return its answer."""
        await self.connection.send(json.dumps({"id": len(self.got)} | request))
        before = len(self.got)
        await self.until(lambda ear: any("id" in one for one in ear.got[before:]))
        return next(one for one in self.got[before:] if "id" in one)

    async def close(self) -> None:
        """End the connection."""
        self.connection.transport.abort()
        await self._reading


class UsdmDesk:
    """A box and its clients."""

    def __init__(self, box: Any, http: httpx.AsyncClient) -> None:
        self.box, self.http = box, http
        self.accounts = {one["name"]: one for one in box.ready()["accounts"]}
        self.ears: list[Ear] = []

    async def get(self, path: str, **params: Any) -> Any:
        """Return the answer to a public request below ``/fapi/``."""
        return (await self.http.get(f"/fapi/{path}", params=params)).json()

    async def send(self, who: str, method: str, path: str, **params: Any) -> httpx.Response:
        """Send a signed request below ``/fapi/``."""
        account = self.accounts[who]
        query = urlencode(params | {"timestamp": self.box.scheduler.done_us // 1_000})
        signature = hmac_hex(account["secret"], query)
        url = f"/fapi/{path}?{query}&signature={signature}"
        return await self.http.request(method, url, headers={"X-MBX-APIKEY": account["api_key"]})

    async def ask(self, who: str, method: str, path: str, **params: Any) -> Any:
        """Return the answer to a signed request below ``/fapi/``."""
        return (await self.send(who, method, path, **params)).json()

    async def key(self, who: str, method: str = "POST") -> Any:
        """Return the answer to a request for a listen key."""
        headers = {"X-MBX-APIKEY": self.accounts[who]["api_key"]}
        return (await self.http.request(method, "/fapi/v1/listenKey", headers=headers)).json()

    async def hear(self, path: str) -> Ear:
        """Open a connection."""
        connection = await connect(f"{self.box.ws_url}{path}", proxy=None, compression=None, ping_interval=None)
        self.ears.append(Ear(connection))
        return self.ears[-1]

    def signed(self, who: str, **params: Any) -> dict[str, Any]:
        """Return the parameters of a signed request of the WebSocket API."""
        account = self.accounts[who]
        named = params | {"apiKey": account["api_key"], "timestamp": self.box.scheduler.done_us // 1_000}
        payload = "&".join(f"{name}={value}" for name, value in sorted(named.items()))
        return named | {"signature": ed25519_base64(account["ed25519_private_key"], payload)}

    async def control(self, path: str, **content: Any) -> Any:
        """Return the answer to a control call."""
        return (await self.http.post(f"/sim/{path}", json=content)).json()

    async def truth(self, who: str = "alice") -> Any:
        """Return the record of the truth."""
        return (await self.http.get("/sim/account", params={"user": who})).json()

    async def trade(self, price: str = "100", quantity: str = "1") -> None:
        """Let alice buy from bob."""
        await self.ask("alice", "POST", "v1/order", **limit(price=price, quantity=quantity))
        await self.ask("bob", "POST", "v1/order", **limit("SELL", price, quantity))


@asynccontextmanager
async def usdm_desk(script: str = "", *, scenario: str = "empty", **terms: Any) -> AsyncIterator[UsdmDesk]:
    """Yield a contract in a box, with the faults of *script*."""
    market = UsdmMarket(UsdmTerms(**terms))
    async with (
        asyncio.timeout(3 * _PATIENCE_S),
        lockstep_box(scenario, seed=7, faults=[script], market=market).open() as box,
        httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as http,
    ):
        desk = UsdmDesk(box, http)
        try:
            yield desk
        finally:
            for ear in desk.ears:
                await ear.close()


def _parsed(text: str | bytes) -> Any:
    """Return a message; an empty one for what a fault has damaged."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


def run(case: Callable[[], Awaitable[None]]) -> None:
    """Run a case to its end."""
    asyncio.run(case())  # type: ignore[arg-type]
