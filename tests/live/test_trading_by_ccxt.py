"""A third-party client trades as the gateway does: on two equal exchanges, equal orders have equal fills."""

import asyncio
import contextlib
import random
import warnings
from dataclasses import asdict

import pytest
from gateway_rig import ALICE, FollowingListener, MemoryAudit, QuietLog, credentials, urls

from mm.live.gateway import Gateway, GatewayRun, OrderAccess, Surroundings
from mm.sim.wire.box import LOCKSTEP_US, Box

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    ccxt = pytest.importorskip("ccxt.async_support")

PAIR, SYMBOL = "SIM/USDT", "SIMUSDT"
STEPS, UPDATES = 40, 30
LEAST_FILLS = 20
ENDED_S = 30.0
BEGINS_US = LOCKSTEP_US + 20_000_000


def script(seed):
    """Yield each step: cancel an earlier order, or place one: side, ticks from the touch, kind, quantity."""
    rng = random.Random(seed)
    for step in range(STEPS):
        if step > 3 and rng.random() < 0.25:
            yield "cancel", rng.randrange(step)
        else:
            kind = rng.choice(["LIMIT_MAKER", "LIMIT", "LIMIT", "MARKET", "IOC"])
            yield "place", rng.choice([1, -1]), rng.choice([-1, 0, 0, 1, 2]), kind, rng.choice(["0.500", "2.000"])


def price(box, side, away):
    """Return a price so many ticks from the best one of a side, outwards."""
    bids, asks = box.truth.book(box.exchange.update_id)
    ticks = round(float((bids if side > 0 else asks)[0][0]) * 100) - side * away
    return f"{ticks // 100}.{ticks % 100:02}"


async def played(box, seed, trader):
    """Play the script at the same update ids by *trader*; return alice's fills, as the exchange has them."""
    await box.advance(seconds=(BEGINS_US - box.scheduler.done_us) / 1e6)
    for step, (action, *terms) in enumerate(script(seed)):
        await box.advance(updates=UPDATES)
        if action == "cancel":
            await trader.cancel(*terms)
        else:
            side, away, kind, qty = terms
            await trader.place(step, side, price(box, side, away), qty, kind)
    return [asdict(one) for one in box.exchange.users.fills(ALICE)]


class ByGateway:
    """Our gateway; a request is complete when its answer was processed."""

    def __init__(self, box):
        self.box, self.listener = box, FollowingListener()
        run = GatewayRun(symbol=SYMBOL, run_id="ours", access=OrderAccess(), share_budget=False, sync=False)

        around = Surroundings(clock=lambda: box.scheduler.done_us)
        self.gateway = Gateway(
            urls(box), credentials(box), run, self.listener, MemoryAudit(), log=QuietLog(), around=around
        )

    async def _answered(self, count):
        async with asyncio.timeout(ENDED_S):
            while len(self.listener.latencies) <= count:
                await asyncio.sleep(0.001)

    async def start(self):
        """Start the gateway, at an instant that is the same for any client."""
        starting = asyncio.ensure_future(self.gateway.start())
        while not starting.done():
            await self.box.advance(seconds=0.001)
            await asyncio.sleep(0.005)
        await starting

    async def place(self, step, side, at, qty, kind):
        count = len(self.listener.latencies)
        self.gateway.place(step + 1, side, "" if kind == "MARKET" else at, qty, kind)
        await self._answered(count)

    async def cancel(self, step):
        count = len(self.listener.latencies)
        if self.listener.state.get(step + 1) == "open" and step + 1 in self.gateway._orders:
            self.gateway.cancel(step + 1)
            await self._answered(count)


class ByCcxt:
    """ccxt, by REST."""

    def __init__(self, box):
        ready = box.ready()
        alice, rest = ready["accounts"][0], ready["rest_url"] + "/api/v3"
        options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
        keys = {"apiKey": alice["api_key"], "secret": alice["secret"]}
        urls_ = {"api": {"public": rest, "private": rest}}
        self.client = ccxt.binance({**keys, "options": options, "urls": urls_, "enableRateLimit": False})
        self.client.nonce = lambda: box.scheduler.done_us // 1_000
        self.ids = {}

    async def place(self, step, side, at, qty, kind):
        more = {"LIMIT_MAKER": {"postOnly": True}, "IOC": {"timeInForce": "IOC"}}.get(kind, {})
        named, word = "market" if kind == "MARKET" else "limit", "buy" if side > 0 else "sell"
        limit = None if kind == "MARKET" else float(at)  # a price would make it an order of so much of the quote asset
        try:
            made = await self.client.create_order(PAIR, named, word, float(qty), limit, more)
            self.ids[step] = made["id"]
        except ccxt.OrderImmediatelyFillable:
            pass

    async def cancel(self, step):
        if step in self.ids:
            with contextlib.suppress(ccxt.OrderNotFound):
                await self.client.cancel_order(self.ids[step], PAIR)


async def by_gateway(seed):
    """Return the fills of our gateway's orders, from the exchange and from the reports."""
    async with Box.in_lockstep("zero_intelligence", seed=seed).open() as box:
        trader = ByGateway(box)
        await trader.start()
        try:
            return await played(box, seed, trader), trader.listener.fills
        finally:
            await trader.gateway.stop()


async def by_ccxt(seed):
    """Return the fills of ccxt's orders."""
    async with Box.in_lockstep("zero_intelligence", seed=seed).open() as box:
        trader = ByCcxt(box)
        try:
            await trader.client.load_markets()
            return await played(box, seed, trader)
        finally:
            await trader.client.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 11, 12])
def test_same_orders_have_same_fills_through_ccxt(seed):
    ours, reported = asyncio.run(by_gateway(seed))
    theirs = asyncio.run(by_ccxt(seed))
    assert len(ours) >= LEAST_FILLS
    assert ours == theirs
    assert [one.trade_id for one in reported] == [one["trade_id"] for one in ours]
