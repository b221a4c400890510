"""Write a simulated session as the recorder beside the exchange would have recorded it.

The recorder starts before the window and connects at its opening. Its snapshot is the opening book; the first depth
message follows on it without a hole. A message arrives 2 to 8 ms after it was sent, in the order of sending.
Nothing is written but what follows from the flags, so equal flags give equal bytes.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import mm
from mm.clock import US_PER_MS, US_PER_S, run_stamp
from mm.errors import UsageError
from mm.instrument import Instrument
from mm.market_data.day_writer import DayWriter, Stamp, Trade
from mm.market_data.layout import DayFolder
from mm.market_data.local_orderbook import LocalOrderBook
from mm.sim.flow.session import MarketDay, Session
from mm.sim.flow.scenario import Poisson

if TYPE_CHECKING:
    from mm.sim.flow.session import Ints

TRUTH = "truth.json"
TOP_N = 20
_EPOCH = 1
_EARLY_US = 5 * US_PER_S
_CONNECTED_US, _ASKED_US, _ANSWERED_US = 20_000, 25_000, 60_000
_LATENCY_US, _MEAN_JITTER_US, _MOST_JITTER_US = 2_000, 1_000, 6_000


def make_day(folder: DayFolder, scenario: Poisson, session: Session) -> dict[str, Any]:
    """Make one session of *scenario*, write it to *folder*, whole or not at all, and return its truth.

    A simulated day that is there already is replaced.

    Raises:
        UsageError: If *folder* holds a day that was not simulated, or the parameters allow no such market.
    """
    if folder.path.exists() and not (folder.path / TRUTH).is_file():
        raise UsageError(
            f"{folder.path} is there and is no simulated day (it has no {TRUTH}); "
            f"give another --symbol, --day or --data-root"
        )
    market = scenario.simulate(session)
    truth = _truth(scenario, session, market)
    root = folder.root / f".{folder.symbol}-{folder.day}.partial"
    partial = DayFolder(root, folder.symbol, folder.day)
    shutil.rmtree(root, ignore_errors=True)
    try:
        run_id = run_stamp(session.open_ms * US_PER_MS - _EARLY_US)
        with DayWriter(partial, run_id, top_n=TOP_N, instrument=market.instrument) as writer:
            _record(writer, session, market, truth["parameters"])
            (partial.path / TRUTH).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
            writer.seal()
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder.path, ignore_errors=True)
        partial.path.rename(folder.path)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return truth


def _truth(scenario: Poisson, session: Session, market: MarketDay) -> dict[str, Any]:
    flow_us = [instant * US_PER_MS for instant in session.flow_ms]
    return {
        "scenario": scenario.name,
        "seed": session.seed,
        "symbol": session.symbol,
        "day": session.day,
        "hours": session.hours,
        **market.truth,
        "flow": {"start_us": flow_us[0], "end_us": flow_us[1]},
        "depth_messages": int((~market.is_trade).sum()),
        "trades": int(market.is_trade.sum()),
        "parameters": asdict(scenario),
    }


def _record(writer: DayWriter, session: Session, market: MarketDay, parameters: Mapping[str, Any]) -> None:
    """Write the ledger's opening, the snapshot, every message, and the ledger's end."""
    open_us, close_us = session.open_ms * US_PER_MS, session.close_ms * US_PER_MS
    knobs = {"symbol": session.symbol, "day": session.day, "hours": session.hours, "seed": session.seed, **parameters}
    writer.event(open_us - _EARLY_US, "run_start", 0, {"version": mm.__version__, "knobs": knobs})
    writer.event(open_us, "window_start", 0, {})
    writer.event(open_us + _CONNECTED_US, "ws_connected", 0, {"url": "simulated", "conn": 1})
    writer.event(open_us + _CONNECTED_US, "resync_start", 0, {"cause": "start"})
    writer.event(open_us + _ASKED_US, "snapshot_request", 0, {"attempt": 1})

    book = LocalOrderBook(cache(market.instrument.ticks))
    for level in _as_text(market.instrument, market.opening_side, market.opening_ticks, market.opening_lots):
        book.apply(*level)
    answered_us = open_us + _ANSWERED_US
    writer.snapshot(answered_us, "initial", session.first_id, *book.levels(), _EPOCH)
    writer.event(answered_us, "resync_done", _EPOCH, {"last_update_id": session.first_id})
    _messages(writer, session, market, book)
    writer.event(close_us, "window_end", _EPOCH, {})
    writer.event(close_us, "run_stop", _EPOCH, {"reason": "window_end"})


def _messages(writer: DayWriter, session: Session, market: MarketDay, book: LocalOrderBook) -> None:
    """Write every message as it arrives; each level that a depth message sets takes one update id."""
    rows = list(_as_text(market.instrument, market.row_side, market.row_ticks, market.row_lots))
    starts = market.first_row.tolist()
    messages = zip(
        _received_us(session, market).tolist(), market.sent_ms.tolist(), market.is_trade.tolist(), pairwise(starts),
        strict=True,
    )  # fmt: skip
    update_id = trade_id = session.first_id
    for recv_us, sent_ms, is_trade, (start, end) in messages:
        if is_trade:
            side, price, qty = rows[start]
            trade_id += 1
            writer.trade(recv_us, Trade(sent_ms, trade_id, sent_ms, price, qty, side < 0, trade_id, trade_id))
            continue
        first_id, update_id = update_id + 1, update_id + end - start
        bids = [(price, qty) for side, price, qty in rows[start:end] if side > 0]
        asks = [(price, qty) for side, price, qty in rows[start:end] if side < 0]
        recv_seq = writer.diff(recv_us, sent_ms, first_id, update_id, bids, asks)
        for level in rows[start:end]:
            book.apply(*level)
        writer.frame(Stamp(recv_us, recv_seq, sent_ms, update_id), _EPOCH, *book.top(TOP_N))


def _received_us(session: Session, market: MarketDay) -> "Ints":
    """Return when each message arrives: 2 ms and an exponential jitter after it was sent, never before another."""
    import numpy as np

    jitter_us = session.random("latency").exponential(_MEAN_JITTER_US, market.sent_ms.size).astype(np.int64)
    late_us = _LATENCY_US + np.minimum(jitter_us, _MOST_JITTER_US)
    received: Ints = np.maximum.accumulate(market.sent_ms * US_PER_MS + late_us)
    return received


def _as_text(instrument: Instrument, side: "Ints", ticks: "Ints", lots: "Ints") -> Iterator[tuple[int, str, str]]:
    """Return rows as the exchange sends them: the side, and price and quantity as text."""
    price, qty = cache(instrument.price), cache(instrument.qty)
    return zip(side.tolist(), map(price, ticks.tolist()), map(qty, lots.tolist()), strict=True)
