"""Detection of stalled streams in contrast to quiet markets, for depth messages and trades."""

import asyncio

import pytest

from boxed import quicken, recorded
from mm.market_data import stalls as trade_watch
from mm.market_data.stalls import MAX_TIMEOUT_S, StallDetector, TradeWatch
from mm.sim.flow.scenario import SCENARIOS, LargeTick


def test_silence_beyond_the_limit_is_reported_as_a_stall_once():
    """Silence is measured from the last update, or from the connection if there was no update yet."""
    silence = StallDetector(3.0)
    silence.connected(100.0)
    assert silence.stalled_s(102.9) is None
    silence.received(102.9, ids_missing=False)
    assert silence.stalled_s(105.8) is None
    assert silence.stalled_s(106.0) == 106.0 - 102.9
    assert silence.stalled_s(107.0) is None


def test_no_stall_without_a_connection():
    """Another connection is being opened already."""
    silence = StallDetector(3.0)
    assert silence.stalled_s(50.0) is None
    silence.connected(100.0)
    silence.disconnected()
    assert silence.stalled_s(200.0) is None


def quiet(silence, now_s):
    """Connect, receive nothing, and return the time in s until a stall."""
    silence.connected(now_s)
    waited = next(tenth / 10 for tenth in range(1, 10_000) if silence.stalled_s(now_s + tenth / 10) is not None)
    return round(waited)


def test_patience_doubles_for_a_quiet_symbol():
    """Each stall costs a connection, and the new one shows that the market is only quiet."""
    silence = StallDetector(3.0)
    found = [quiet(silence, 100.0 * n) for n in range(7)]
    assert found == [3, 6, 12, 24, 48, MAX_TIMEOUT_S, MAX_TIMEOUT_S]


def test_missing_ids_reset_the_patience():
    """Missing ids prove that the stream had stalled."""
    silence = StallDetector(3.0)
    quiet(silence, 0.0)
    quiet(silence, 100.0)
    silence.connected(200.0)
    silence.received(200.1, ids_missing=True)
    assert silence.stalled_s(203.0) is None
    assert silence.stalled_s(203.2) is not None


def test_minute_without_a_long_silence_resets_the_patience():
    """The market is active again."""
    silence = StallDetector(3.0)
    quiet(silence, 0.0)
    silence.connected(100.0)
    for second in range(62):
        silence.received(100.0 + second, ids_missing=False)
    assert silence.stalled_s(164.5) is not None


def test_trade_without_an_update_is_a_stall_despite_patience():
    """A trade changes the book, so silence after a trade is a stall; silence before it is not."""
    silence = StallDetector(3.0)
    for n in range(4):
        quiet(silence, 100.0 * n)
    silence.connected(1000.0)
    silence.expect(1010.0)
    silence.expect(1012.0)
    assert silence.stalled_s(1012.9) is None
    assert silence.stalled_s(1013.0) == 13.0


def test_update_clears_the_expectation_after_a_trade():
    """Updates follow trades within a tenth of a second."""
    silence = StallDetector(3.0)
    silence.connected(0.0)
    silence.expect(2.5)
    silence.received(2.6, ids_missing=False)
    assert silence.stalled_s(5.55) is None


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


class Market:
    """A watch with a limit of 3 s in a loop with a manual clock, the state of REST, and the received messages."""

    def __init__(self, links=1):
        self.now_s = 100.0
        self.last_id = self.rest = None
        self.requests = 0
        self.watch = TradeWatch(
            [StallDetector(3.0) for _ in range(links)], lambda: self.last_id, self.last_trade, self.settled
        )

    async def last_trade(self):
        self.requests += 1
        return self.rest

    async def settled(self):
        pass

    def trade(self, trade_id, slot=0):
        new, self.last_id, self.rest = trade_id != self.last_id, trade_id, trade_id
        self.watch.received(slot, self.now_s, ids_missing=False, advanced=new)

    def after(self, seconds, monkeypatch):
        """Let time pass; return the connections that have stalled."""
        self.now_s += seconds

        async def stalls():
            monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now_s)
            return await self.watch.stalls()

        async def no_time(_seconds):
            pass

        monkeypatch.setattr(trade_watch.asyncio, "sleep", no_time)
        return [(stall.conn, stall.silent_s) for stall in asyncio.run(stalls())]


def test_trade_of_rest_missing_in_the_stream_is_a_stall(monkeypatch):
    """The stall is reported once, with the lost ids."""
    market = Market()
    market.watch.connected(0, 1, 100.0)
    market.trade(50)
    market.rest = 53
    assert market.after(2.9, monkeypatch) == []
    assert market.requests == 0
    assert market.after(0.1, monkeypatch) == [(1, 3.0)]
    assert market.after(60, monkeypatch) == []
    assert market.watch.lost(1) == [(51, 53)]
    assert market.watch.lost(1) == []


@pytest.mark.slow
def test_market_without_trades_is_checked_once_a_minute_at_most(monkeypatch):
    """No connection is replaced."""
    market = Market()
    market.watch.connected(0, 1, 100.0)
    market.trade(50)
    for _ in range(3600):
        assert market.after(1, monkeypatch) == []
    assert 58 <= market.requests <= 66


def test_first_answer_on_a_new_connection_is_only_a_starting_point(monkeypatch):
    """Trades before the connection do not make it stalled; later ones do."""
    market = Market()
    market.trade(50)
    market.rest = 70
    market.watch.connected(0, 1, 100.0)
    assert market.after(3, monkeypatch) == []
    assert market.after(60, monkeypatch) == []
    market.rest = 71
    assert market.after(60, monkeypatch) == [(1, 123.0)]
    assert market.watch.lost(1) == [(51, 71)]


def test_first_answer_is_the_start_if_no_trade_ever_arrived(monkeypatch):
    """Earlier trades do not belong to the day."""
    market = Market()
    market.watch.connected(0, 1, 100.0)
    market.rest = 70
    assert market.after(3, monkeypatch) == []
    market.rest = 72
    assert market.after(60, monkeypatch) == [(1, 63.0)]
    assert market.watch.lost(1) == [(71, 72)]


def test_missing_rest_answer_is_no_stall(monkeypatch):
    """The request is repeated later."""
    market = Market()
    market.watch.connected(0, 1, 100.0)
    market.trade(50)
    market.rest = None
    assert market.after(3, monkeypatch) == []
    market.rest = 51
    assert market.after(60, monkeypatch) == [(1, 63.0)]


def test_trades_of_the_other_connection_show_a_stall_without_rest(monkeypatch):
    """One connection of a pair stalls: it is replaced, and nothing is missing."""
    market = Market(links=2)
    for slot in (0, 1):
        market.watch.connected(slot, slot + 1, 100.0)
    market.trade(50, slot=0)
    market.trade(50, slot=1)
    market.trade(51, slot=1)
    for _ in range(4):
        market.now_s += 1
        market.trade(market.last_id + 1, slot=1)
    assert market.after(0, monkeypatch) == [(1, 4.0)]
    assert (market.requests, market.watch.lost(1)) == (0, [])


def test_connection_replaced_in_the_meantime_is_not_a_stall(monkeypatch):
    """Its successor is watched from then on."""
    market = Market()
    market.watch.connected(0, 1, 100.0)
    market.trade(50)
    market.rest = 53

    async def settled():
        market.watch.connected(0, 2, market.now_s)

    market.watch._settled = settled
    assert market.after(3, monkeypatch) == []
    assert market.watch.lost(1) == []


def stalled(boxed):
    return boxed.logged("stall") and boxed.logged("ws_disconnected")


@pytest.mark.parametrize("trade_stream", ["trade", "aggTrade"])
def test_row_8_trade_stall_with_a_running_book_costs_no_trade(trade_stream):
    """Another connection opens in parallel; missed trades are reported and fetched, and the epoch continues."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.until(lambda: stalled(boxed))
        await boxed.play(2)
        await boxed.until(lambda: boxed.session.backfill.plan.next_request() is None, playing=False)

    day = recorded(
        scenario,
        "at time 3 on newest do stall of=trade",
        silence_s=0.3,
        trade_stream=trade_stream,
        clean=trade_stream == "trade",
    )
    assert [details["stream"] for details in day.logged("stall")] == ["trade"]
    assert day.logged("stall")[0]["silent_s"] >= 0.3
    assert day.logged("ws_disconnected")[0]["reason"] == "stall"
    kinds = [event["type"] for event in day.events if event["type"].startswith("ws_")]
    assert kinds[:3] == ["ws_connected", "ws_connected", "ws_disconnected"]
    assert (len(day.logged("trade_gap")), day.logged("gap"), day.tags) == (1, [], ["initial"])
    assert {row["source"] for row in day.trades} == {"ws", "rest"}
    assert day.holes("trade_gap") <= {int(row["trade_id"]) for row in day.trades}


def test_row_8_trades_lost_in_a_stall_are_fetched_without_new_trades():
    """The window may end before another trade shows the hole."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(3)
        await boxed.until(lambda: stalled(boxed), playing=False)
        await boxed.until(lambda: boxed.logged("backfill"), playing=False)
        boxed.last_trade_id = boxed.box.truth.last_trade_id

    day = recorded(scenario, "at time 3 on newest do stall of=trade", silence_s=0.3)
    assert "trade" in [details["stream"] for details in day.logged("stall")]
    assert day.missing_trades == set()


@pytest.mark.slow
def test_row_8_market_with_rare_trades_is_no_stall(monkeypatch):
    """REST is queried, but no connection is replaced and no stall reported."""
    monkeypatch.setitem(SCENARIOS, "quiet", lambda: LargeTick(market_per_s=0.05))

    async def scenario(boxed):
        await boxed.synced()
        answers = []
        original = boxed.recording._open._trades._ask

        async def last_trade():
            answers.append(await original())
            return answers[-1]

        boxed.recording._open._trades._ask = last_trade
        await boxed.until(lambda: len(answers) >= 3)

    day = recorded(scenario, silence_s=0.5, scenario_name="quiet")
    assert (day.logged("stall"), len(day.logged("ws_connected")), day.logged("gap")) == ([], 1, [])
    assert len(day.diffs) > 10
