"""The recorder and the simulated exchange in one event loop; tests advance the exchange's time."""

import asyncio
import base64
import re
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from day_files import defects_of
from day_oracle import Day, hold
from mm.ids import IdRanges
from mm.market_data import snapshot as rest_tasks
from mm.market_data import stalls, ws_link, ws_stream
from mm.market_data.days import Days, WindowRule
from mm.market_data.live_session import LiveSession
from mm.market_data.rate_budget import Backoff, RateBudget
from mm.market_data.recording import Parts, Recording
from mm.market_data.snapshot import RestClient, RestParts
from mm.market_data.stalls import StallDetector
from mm.markets.binance_spot import BINANCE_SPOT
from mm.markets.messages import DepthUpdate
from mm.sim.wire.box import Box

SYMBOL, TOP_N = "SIMUSDT", 10
STEP_S = 0.1
TURNS = 10
"""Of the event loop in each step, at least: a machine under load gives it one in 4 ms, and a request takes several."""
PATIENCE_S = 60.0


class Silent:
    """A logger that discards everything."""

    def debug(self, event, **numbers):
        pass

    info = warning = error = critical = debug


_LOG = Silent()


class Boxed:
    """A recording of a simulated exchange.

    Args:
        box: The exchange.
        root: The data folder.
        pair: Whether two connections are used.
        options: `silence_s`, `max_age_s`, `limit` of snapshots, `delays` (first, longest) of connections and of REST,
            `weight` of requests per minute of the wall clock.
    """

    def __init__(
        self,
        box,
        root,
        *,
        pair=False,
        silence_s=5.0,
        max_age_s=3600.0,
        limit=5000,
        trade_stream="trade",
        delays=((0.01, 0.05), (0.02, 0.2)),
        weight=4_800,
    ):
        self.box = box
        self.root = root

        def clock():
            return box.scheduler.done_us

        self.weight = RateBudget(weight, 60.0)
        rest = RestClient(box.rest_url, self.weight, clock)
        links = 2 if pair else 1
        url = BINANCE_SPOT.stream_url(box.ws_url, SYMBOL, trade_stream)
        self.attempts = RateBudget(290, 300.0)
        to_connect, of_rest = delays
        backoffs = [Backoff(*to_connect) for _ in range(links)]
        stream = ws_stream.WsStream(url, backoffs, max_age_s, self.attempts, lambda: 1_000 * clock())
        self.parts = Parts(
            days=Days(
                data_root=root,
                symbol=SYMBOL,
                run_id="R1",
                own_id=False,
                top_n=TOP_N,
                trade_stream=trade_stream,
                flush_interval_s=0.2,
                write_diffs=True,
                write_gaps=True,
                min_free_mb=0.0,
                knobs={
                    "trade_stream": trade_stream,
                    "snapshot_limit": limit,
                    "top_n": TOP_N,
                    "flush_interval_s": 0.2,
                    "write_diffs": True,
                    "write_gaps": True,
                },
            ),
            window=WindowRule("always", "24:00", "Europe/Berlin"),
            rest=RestParts(SYMBOL, rest, limit, Backoff(*of_rest), Backoff(*of_rest)),
            stream=stream,
            silences=[StallDetector(silence_s) for _ in range(links)],
            start_jitter_s=0.0,
        )
        self.recording = Recording(self.parts, _LOG, clock)
        self.task = None
        self.received = []  # the ids of all readable depth messages

    @property
    def session(self):
        return self.recording.session

    def logged(self, kind):
        """Return the number of events of *kind* in the ledger so far."""
        return self.session.writer.ledger.counts[kind] if self.session else 0

    async def play(self, seconds):
        """Advance the time and let sent messages arrive."""
        for _ in range(round(seconds / STEP_S)):
            await self.box.advance(seconds=STEP_S)
            await asyncio.sleep(0.004)
            for _ in range(TURNS):
                await asyncio.sleep(0)

    async def until(self, condition, *, playing=True):
        """Advance the time until *condition* holds; fail after PATIENCE_S."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.play(STEP_S) if playing else await asyncio.sleep(0.005)

    async def synced(self):
        await self.until(lambda: self.session is not None and self.session.market.book_id is not None)

    async def caught_up(self):
        """Wait until the last message is written; the market is constant."""
        truth = self.box.truth
        await self.until(
            lambda: (
                self.session.report.trades
                and self.session.market.arbiter._trades.last_id == truth.last_trade_id
                and self.session.backfill.plan.next_request() is None
            ),
            playing=False,
        )


@asynccontextmanager
async def recording(script="", *, root, scenario_name="large_tick", seed=7, **options):
    """Yield a recording of an exchange that plays *script*; it is stopped cleanly after the block."""
    received = []
    with patch.object(LiveSession, "message", _noted(received)):
        async with _recording(script, root, scenario_name, seed, options) as boxed:
            boxed.received = received
            yield boxed


@asynccontextmanager
async def _recording(script, root, scenario_name, seed, options):
    async with (
        asyncio.timeout(3 * PATIENCE_S),
        Box.in_lockstep(scenario_name, seed=seed, faults=[script], symbol=SYMBOL).open() as box,
    ):
        await box.advance(seconds=1)
        boxed = Boxed(box, root, **options)
        task = boxed.task = asyncio.create_task(boxed.recording.run())
        try:
            yield boxed
            boxed.recording.stop("enough")
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _ids(raw):
    """Return the ids of a depth message, read by no decoder; None if it has none."""
    found = re.search(rb'"U":(\d+),"u":(\d+)', raw)
    return found and tuple(map(int, found.groups()))


def _noted(received):
    """Return `LiveSession.message`, which also notes the ids of depth messages that it reads."""
    process = LiveSession.message

    def message(session, recv_us, raw, *more):
        taken = process(session, recv_us, raw, *more)
        if taken.kind is DepthUpdate:
            received.append(_ids(raw))
        return taken

    return message


def unstored(received, day):
    """Return the ids of received depth messages that are neither in the diffs nor in the quarantine of a day.

    With a pair, one whose ids are all in others may be missing.
    """
    rows = {(diff["U"], diff["u"]) for diff in day.diffs}
    rows |= {_ids(base64.b64decode(line["raw_base64"])) for line in day.quarantined}
    rows.discard(None)
    ids = IdRanges(rows)
    return [one for one in received if one not in rows and not ids.covers(*one)]


def recorded(scenario, script="", *, root=None, clean=True, defects=(), **options):
    """Run *scenario* with a recording and return the checked day."""
    with TemporaryDirectory() as place:
        at = Path(root or place)

        async def run():
            async with recording(script, root=at, **options) as boxed:
                await scenario(boxed)
                return boxed

        boxed = asyncio.run(run())
        (path,) = (at / SYMBOL).iterdir()
        found = defects_of(path)
        assert [defect for defect in found if defect.kind not in defects] == []
        day = hold(path, boxed.box.truth) if clean else Day(path)
        assert unstored(boxed.received, day) == []
        return day


def quicken(monkeypatch):
    """Shorten the waits of handovers and REST requests for tests."""
    monkeypatch.setattr(ws_stream, "LINGER_S", 0.05)
    monkeypatch.setattr(ws_stream, "POLL_S", 0.01)
    monkeypatch.setattr(ws_stream, "HANDOVER_S", 1.0)
    monkeypatch.setattr(ws_link, "CLOSE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(rest_tasks, "FILL_EVERY_S", 0.02)
    monkeypatch.setattr(stalls, "GRACE_S", 0.05)
