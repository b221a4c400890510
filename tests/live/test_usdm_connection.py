"""The connections of USD-M with fake servers: both up, a key that ends, a silent stream, requests by REST."""

import asyncio
import json
from ssl import SSLCertVerificationError

import msgspec
import pytest

from mm.live.venues.binance import Signer
from mm.live.venues.binance_usdm import CANCEL, MARK_PRICE, PLACE
from mm.live.venues.keys import Credentials
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import ExchangeClock
from mm.live.venues.usdm_connection import SILENT_S, UsdmConnection
from virtual_loop import VirtualLoop

API, STREAMS, DAY_US = "ws://api/ws-fapi/v1", "ws://streams", 10**15


class FakeLink:
    """A connection to the API, which answers from a table, or to a stream, which is silent."""

    def __init__(self, world, url, take):
        self.changed = asyncio.Event()
        self.world, self.url, self.take = world, url, take

    async def open(self):
        self.world.opened.append(self.url)
        if self.world.refused and self.world.refused in self.url:
            raise self.world.error

    def send(self, text):
        request = json.loads(text)
        self.world.sent.append((request["method"], request["params"]))
        answer = self.world.answers.get(request["method"], {"status": 200, "result": {}})
        asyncio.get_running_loop().call_later(0.01, self.push, {"id": request["id"], **answer})

    def push(self, content):
        if not self.changed.is_set():
            self.take(msgspec.json.encode(content), self.world.now_us())

    def close(self, reason=""):
        self.abort()

    def abort(self):
        self.changed.set()

    def ending(self):
        return 1006, "gone"


class World:
    """The exchange, and the watcher of its connection."""

    def __init__(self):
        self.links, self.opened, self.sent, self.heard, self.by_rest = [], [], [], [], []
        self.refused, self.error = "", OSError("refused")
        self.answers = {"userDataStream.start": {"status": 200, "result": {"listenKey": "key1"}}}
        clock = ExchangeClock(self.now_us)
        signer = Signer(Credentials("k", secret="s"), clock, 1_000)
        limits = OrderLimits(None, lambda: asyncio.get_running_loop().time())
        self.connection = UsdmConnection((API, STREAMS), signer, limits, self, self, self.connect, kept_s=60.0)

    def now_us(self):
        return DAY_US + round(asyncio.get_running_loop().time() * 1e6)

    def connect(self, url, take):
        self.links.append(FakeLink(self, url, take))
        return self.links[-1]

    def request(self, route, parameters, done):
        self.by_rest.append((route.path, dict(parameters)))
        return 7

    @property
    def stream(self):
        return next(link for link in reversed(self.links) if link.url.startswith(STREAMS))

    @property
    def api(self):
        return next(link for link in reversed(self.links) if link.url.startswith(API))

    def connected(self):
        self.heard.append("up")

    def disconnected(self, why):
        self.heard.append(f"down: {why}")

    def event(self, kind, body, us):
        self.heard.append(kind)


def strange():
    """Return the error of a certificate that this machine does not trust."""
    error = SSLCertVerificationError("of nobody known")
    error.verify_message = "of nobody known"
    return error


def play(story, refused=""):
    """Run *story* with a world on a virtual clock; *refused* is the address that cannot be opened at first."""

    async def run():
        world = World()
        world.refused = refused
        if refused:
            world.error = strange()
        running = asyncio.create_task(world.connection.run())
        await asyncio.sleep(1)
        try:
            return await story(world)
        finally:
            world.connection.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def test_connection_is_up_with_api_and_stream():
    """Orders without events would be blind."""

    async def story(world):
        assert world.connection.up
        assert world.opened == [API, f"{STREAMS}/private/ws/key1"]
        assert world.sent[0] == ("userDataStream.start", {"apiKey": "k"})
        world.stream.push({"e": "ORDER_TRADE_UPDATE", "o": {}})
        assert world.heard == ["up", "ORDER_TRADE_UPDATE"]

    play(story)


@pytest.mark.parametrize("before", [False, True])
def test_stream_with_a_certificate_of_nobody_known_ends_a_start_and_no_trade(before):
    """In the middle of a trade somebody may be in between for a while: it tries on."""

    async def story(world):
        if before:
            assert world.connection.up
            world.refused, world.error = STREAMS, strange()
            world.stream.abort()
            await asyncio.sleep(5)
        assert not world.connection.up
        assert (world.connection.failure is None) == before

    play(story, refused="" if before else STREAMS)


def test_stream_that_cannot_be_opened_keeps_it_down():
    """The address that failed is named, the key is not."""

    async def story(world):
        world.refused = STREAMS
        world.stream.abort()
        await asyncio.sleep(5)
        assert not world.connection.up
        assert "key1" not in world.connection.trouble
        assert STREAMS in world.connection.trouble
        world.refused = ""
        await asyncio.sleep(15)
        assert world.connection.up
        assert world.heard[-1] == "up"

    play(story)


def test_expired_key_is_asked_for_anew():
    """Its end is told by an event: a new key, a new stream, and a reconcile."""

    async def story(world):
        world.answers["userDataStream.start"]["result"]["listenKey"] = "key2"
        world.stream.push({"e": "listenKeyExpired", "listenKey": "key1"})
        await asyncio.sleep(2)
        assert world.opened[-1] == f"{STREAMS}/private/ws/key2"
        assert [one.partition(":")[0] for one in world.heard] == ["up", "down", "up"]
        assert world.connection.keys == 2

    play(story)


def test_key_is_kept_alive_and_given_up_when_unknown():
    """An unknown key brings no event any more, though the connection stays open."""

    async def story(world):
        await asyncio.sleep(130)
        assert [method for method, _ in world.sent].count("userDataStream.ping") == 2
        assert world.heard == ["up"]
        world.answers["userDataStream.ping"] = {"status": 400, "error": {"code": -1125, "msg": "no such key"}}
        await asyncio.sleep(70)
        assert world.connection.keys == 2
        assert world.heard[-1] == "up"

    play(story)


def test_lost_api_keeps_the_stream():
    """The stream is not opened again, and the watcher hears of both changes."""

    async def story(world):
        world.api.abort()
        await asyncio.sleep(5)
        assert world.connection.up
        assert sum(url.startswith(STREAMS) for url in world.opened) == 1
        assert [one.partition(":")[0] for one in world.heard] == ["up", "down", "up"]

    play(story)


@pytest.mark.parametrize("told", [True, False])
def test_stream_that_tells_nothing_of_an_order_is_opened_again(told):
    """A half-open stream looks like a quiet one: only an order of ours shows which it is."""

    async def story(world):
        world.connection.request(PLACE, {"symbol": "BTCUSDT"}, lambda _: None)
        await asyncio.sleep(0.5)
        if told:
            world.stream.push({"e": "ORDER_TRADE_UPDATE", "o": {}})
        await asyncio.sleep(SILENT_S + 5)
        assert sum(url.startswith(STREAMS) for url in world.opened) == (1 if told else 2)
        assert world.connection.up

    play(story)


def test_requests_that_the_api_lacks_go_by_rest():
    """Each request has one way."""

    async def story(world):
        assert world.connection.request(MARK_PRICE, {"symbol": "BTCUSDT"}, lambda _: None) == 7
        world.connection.request(CANCEL, {"symbol": "BTCUSDT", "orderId": 1}, lambda _: None)
        assert world.by_rest == [("/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"})]
        assert world.sent[-1][0] == "order.cancel"

    play(story)
