"""Two connections of one stream: never both are replaced at once, and the end of one says nothing of the other."""

import asyncio
from types import SimpleNamespace

import pytest

from mm.market_data import ws_stream
from mm.market_data.live_session import StreamListener
from mm.market_data.rate_budget import Backoff
from mm.market_data.stalls import StallDetector
from mm.market_data.ws_stream import WsStream
from virtual_loop import VirtualLoop


class FakeLink:
    """A connection that opens at once and lives until it is replaced or closed."""

    def __init__(self, inbox, url, slot):
        self.inbox, self.slot, self.url = inbox, slot, url
        self.ended = self.announced = False
        self.changed = asyncio.Event()
        self.replaced_s = self.closed_s = None
        FakeLink.made.append(self)

    async def open(self):
        self.inbox.numbers[self] = len(self.made)

    def replace(self, reason):
        self.replaced_s = asyncio.get_running_loop().time()
        self.changed.set()

    def close(self, reason=""):
        self.ended, self.closed_s = True, asyncio.get_running_loop().time()
        self.inbox.numbers.pop(self, None)
        self.changed.set()

    abort = close


@pytest.fixture
def links(monkeypatch):
    """The connections that a stream has made, all of them fakes."""
    monkeypatch.setattr(ws_stream, "Link", FakeLink)
    monkeypatch.setattr(FakeLink, "made", [], raising=False)
    return FakeLink.made


def played(seconds, act=lambda _: None, max_age_s=1_000.0, *, joins=True):
    """Keep a pair of connections for some time; *act* is called with the stream after a second."""

    async def main():
        stream = WsStream("ws://x", [Backoff(0.1, 1.0), Backoff(0.1, 1.0)], max_age_s)
        listener = SimpleNamespace(joined=lambda _: joins, unreachable=lambda _: None)
        keepers = [asyncio.create_task(stream._keep(slot, listener)) for slot in (0, 1)]
        await asyncio.sleep(1)
        act(stream)
        await asyncio.sleep(seconds)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_connections_of_a_pair_grow_old_at_different_times(links):
    """Both at once would leave a moment in which neither shows what the other has missed."""
    played(900, max_age_s=100.0)
    times = {slot: [one.replaced_s for one in links if one.slot == slot and one.replaced_s] for slot in (0, 1)}
    assert min(map(len, times.values())) >= 8
    assert abs(times[0][0] - times[1][0]) >= 5


@pytest.mark.parametrize("slot", [0, 1])
def test_a_stalled_connection_is_replaced_alone(links, slot):
    """The other one still shows the market."""
    played(20, lambda stream: stream.replace("stall", slot=slot))
    assert [one.slot for one in links if one.replaced_s] == [slot]
    assert [one.slot for one in links].count(slot) == 2


def test_a_connection_is_replaced_by_its_number_alone(links):
    played(20, lambda stream: stream.replace("shutdown", conn=stream._inbox.numbers[links[1]]))
    assert [one for one in links if one.replaced_s] == [links[1]]


@pytest.mark.parametrize(("joins", "least_s", "most_s"), [(True, 1.0, 2.0), (False, 5.0, 6.0)])
def test_a_replaced_connection_stays_until_what_is_on_its_way_has_arrived(links, joins, least_s, most_s):
    """Also after its successor goes on where it is; without that, for a bounded time."""
    played(20, lambda stream: stream.replace("stall", slot=0), joins=joins)
    (old,) = [one for one in links if one.replaced_s]
    assert least_s <= old.closed_s - old.replaced_s <= most_s


def listening():
    """Return a listener of one slot, its stall detector, and the slots of which trades are watched no more."""
    gone, silence = [], StallDetector(1.0)
    session = SimpleNamespace(connected=lambda *_: None, disconnected=lambda *_: None, trades_lost=lambda *_: None)
    trades = SimpleNamespace(connected=lambda *_: None, lost=lambda _: [], gone=gone.append)
    log = SimpleNamespace(info=lambda *_, **__: None)
    listener = StreamListener(session, [silence], trades, SimpleNamespace(), log, lambda: 0)
    return listener, silence, gone


def test_the_late_end_of_a_replaced_connection_does_not_end_the_watch_of_its_successor(monkeypatch):
    """The new one may be silent: without a watch nobody would replace it."""
    listener, silence, gone = listening()
    monkeypatch.setattr("mm.market_data.live_session.monotonic", lambda: 50.0)
    for conn in (1, 2):
        listener.connected("ws://x", conn, 0)
    listener.disconnected(1, 0, 1000, "max_age")
    assert gone == []
    assert silence.stalled_s(60.0) == 10.0


def test_the_end_of_the_only_connection_ends_its_watch(monkeypatch):
    """Silence without a connection is no stall."""
    listener, silence, gone = listening()
    monkeypatch.setattr("mm.market_data.live_session.monotonic", lambda: 50.0)
    listener.connected("ws://x", 1, 0)
    listener.disconnected(1, 0, 1006, "cut")
    assert gone == [0]
    assert silence.stalled_s(60.0) is None
