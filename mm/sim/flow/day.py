"""Write a simulated session as the recorder beside the exchange would have recorded it.

The recorder starts before the window and connects at its opening. Its snapshot is the opening book; the first depth
message follows on it without a hole. Beside the day stand its truth and its order log, which no recorder sees.
Nothing is written but what follows from the flags, so equal flags give equal bytes.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

import mm
from mm.clock import US_PER_MS, US_PER_S, run_stamp
from mm.errors import UsageError
from mm.market_data.day_writer import DayWriter, Stamp, Trade
from mm.market_data.layout import DayFolder
from mm.market_data.local_orderbook import LocalOrderBook
from mm.sim.flow.market import Market
from mm.sim.flow.session import Session
from mm.sim.matching.order_log import Row, write_log

if TYPE_CHECKING:
    from mm.sim.flow.messages import Depth, Print

TRUTH = "truth.json"
TOP_N = 20
_EPOCH = 1
_MOST_LEVELS = 5_000  # of a snapshot
_EARLY_US = 5 * US_PER_S
_CONNECTED_US, _ASKED_US, _ANSWERED_US = 20_000, 25_000, 60_000
_CHUNK_US = 10 * US_PER_S


def make_day(folder: DayFolder, scenario: Market, session: Session) -> dict[str, Any]:
    """Make one session of *scenario*, write it to *folder*, whole or not at all, and return its truth.

    A simulated day that is there already is replaced.

    Raises:
        UsageError: If *folder* holds a day that was not simulated, or the parameters allow no such market, or one
            without any depth message.
    """
    if folder.path.exists() and not (folder.path / TRUTH).is_file():
        raise UsageError(
            f"{folder.path} is there and is no simulated day (it has no {TRUTH}); "
            f"give another --symbol, --day or --data-root"
        )
    root = folder.root / f".{folder.symbol}-{folder.day}.partial"
    partial = DayFolder(root, folder.symbol, folder.day)
    shutil.rmtree(root, ignore_errors=True)
    try:
        truth = _make(partial, scenario, session)
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder.path, ignore_errors=True)
        partial.path.rename(folder.path)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return truth


def _make(folder: DayFolder, scenario: Market, session: Session) -> dict[str, Any]:
    run_id = run_stamp(session.open_us - _EARLY_US)
    with DayWriter(folder, run_id, top_n=TOP_N, instrument=scenario.instrument(session.symbol)) as writer:
        recording = _Recording(writer, scenario, session)
        write_log(folder.path / f"order_log_{folder.symbol}_{folder.day}.csv.gz", recording.rows())
        truth = recording.truth()
        (folder.path / TRUTH).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
        writer.seal()
    return truth


class _Recording:
    """A session on its way into a day folder."""

    def __init__(self, writer: DayWriter, scenario: Market, session: Session) -> None:
        from mm.sim.matching._core import Matching

        first_id = session.first_id
        self._writer, self._scenario, self._session = writer, scenario, session
        self._matching = Matching(first_order_id=first_id, first_trade_id=first_id, first_update_id=first_id)
        self._flow = scenario.flow(self._matching, session)
        self._instrument = scenario.instrument(session.symbol)
        self._book = LocalOrderBook(cache(self._instrument.ticks))
        self._depth_messages = self._trades = 0

    def rows(self) -> Iterator[Row]:
        """Play and record the session, and yield the rows of its order log."""
        from mm.sim.flow.messages import Messages

        session, messages = self._session, Messages(self._session)
        self._flow.advance(session.open_us)
        yield from map(tuple, self._matching.take_log().tolist())
        self._begin()
        for chunk_us in range(session.open_us, session.close_us, _CHUNK_US):
            self._flow.advance(min(chunk_us + _CHUNK_US, session.flow_us[1]))
            log = self._matching.take_log()
            for message in messages.of(log):
                self._take(message)
            yield from map(tuple, log.tolist())
        self._end()

    def truth(self) -> dict[str, Any]:
        """Return what is true of the session."""
        session, flow_us = self._session, self._session.flow_us
        if not self._depth_messages:
            raise UsageError(
                f"--scenario {self._scenario.name} (SCENARIO) leaves no depth message in {session.hours} hours, and a "
                f"day without one is no recording; choose another, or give it a higher rate"
            )
        return {
            "scenario": self._scenario.name,
            "seed": session.seed,
            "symbol": session.symbol,
            "day": session.day,
            "hours": session.hours,
            **self._scenario.truth(session),
            **self._flow.counts(),
            "flow": {"start_us": flow_us[0], "end_us": flow_us[1]},
            "depth_messages": self._depth_messages,
            "trades": self._trades,
            "parameters": asdict(self._scenario),
        }

    def _begin(self) -> None:
        """Write the ledger's opening, and the opening book as the snapshot."""
        session, writer, parameters = self._session, self._writer, asdict(self._scenario)
        open_us = session.open_us
        knobs = {"symbol": session.symbol, "day": session.day, "hours": session.hours, "seed": session.seed}
        knobs |= {"scenario": self._scenario.name, **parameters}
        writer.event(open_us - _EARLY_US, "run_start", 0, {"version": mm.__version__, "knobs": knobs})
        writer.event(open_us, "window_start", 0, {})
        writer.event(open_us + _CONNECTED_US, "ws_connected", 0, {"url": "simulated", "conn": 1})
        writer.event(open_us + _CONNECTED_US, "resync_start", 0, {"cause": "start"})
        writer.event(open_us + _ASKED_US, "snapshot_request", 0, {"attempt": 1})
        for side in (1, -1):
            self._change_book([(side, ticks, lots) for ticks, lots in self._matching.depth(side, _MOST_LEVELS)])
        last_id, answered_us = self._matching.update_id, open_us + _ANSWERED_US
        writer.snapshot(answered_us, "initial", last_id, *self._book.levels(), _EPOCH)
        writer.event(answered_us, "resync_done", _EPOCH, {"last_update_id": last_id})

    def _take(self, message: "Depth | Print") -> None:
        """Write a message as it arrives, and the frame that it makes."""
        from mm.sim.flow.messages import Print

        price, qty, sent_ms = self._instrument.price, self._instrument.qty, message.sent_us // US_PER_MS
        if isinstance(message, Print):
            number, side = message.trade_id, message.side
            trade = Trade(sent_ms, number, sent_ms, price(message.ticks), qty(message.lots), side < 0, number, number)
            self._writer.trade(message.recv_us, trade)
            self._trades += 1
            return
        bids, asks = ([(price(t), qty(n)) for at, t, n in message.levels if at == side] for side in (1, -1))
        seq = self._writer.diff(message.recv_us, sent_ms, message.first_id, message.last_id, bids, asks)
        self._change_book(message.levels)
        stamp = Stamp(message.recv_us, seq, sent_ms, message.last_id)
        self._writer.frame(stamp, _EPOCH, *self._book.top(TOP_N))
        self._depth_messages += 1

    def _change_book(self, levels: Iterable[tuple[int, int, int]]) -> None:
        for side, ticks, lots in levels:
            self._book.apply(side, self._instrument.price(ticks), self._instrument.qty(lots))

    def _end(self) -> None:
        close_us = self._session.close_us
        self._writer.event(close_us, "window_end", _EPOCH, {})
        self._writer.event(close_us, "run_stop", _EPOCH, {"reason": "window_end"})
