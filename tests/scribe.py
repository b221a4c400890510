"""Writes a small recorded day that contains every kind of ledger event."""

from day_files import RowWriter
from mm.instrument import Instrument
from mm.markets.local_orderbook import LocalOrderBook

TOP_N = 3
START_US = 1_767_600_000_000_000
BIDS = [("99.98", "3.0"), ("99.99", "2.00")]
ASKS = [("100.01", "1.5"), ("100.02", "7"), ("100.05", "0.10")]


class Scribe:
    """Write a day as a recorder would, one message every 100 ms."""

    def __init__(self, folder, run_id, us, epoch=0):
        self.writer = RowWriter(folder, run_id, top_n=TOP_N, instrument=Instrument(folder.symbol, 1_000_000, 1_000))
        self.us = us
        self.epoch = epoch
        self.book = LocalOrderBook()
        self.event("run_start", version="0", knobs={"TOP_N": TOP_N})

    def tick(self):
        self.us += 100_000
        return self.us

    def event(self, kind, /, **details):
        self.writer.event(self.tick(), kind, self.epoch, details)

    def gap(self, kind, first, last):
        details = {"from_id": first, "to_id": last, "from_us": self.us, "to_us": self.us, "cause": "ids_missing"}
        self.writer.gap(self.tick(), kind, self.epoch, details)

    def diff(self, first_id, last_id, bids=(), asks=(), *, frame=True):
        self.tick()
        seq = self.writer.diff(self.us, self.us // 1000, first_id, last_id, bids, asks)
        stamp = self.us, seq, self.us // 1000, last_id
        if frame:
            self.apply(stamp, bids, asks)
        return stamp, bids, asks

    def apply(self, stamp, bids, asks):
        for side, levels in ((1, bids), (-1, asks)):
            for price, qty in levels:
                self.book.apply(side, price, qty)
        self.writer.frame(stamp, self.epoch, *self.book.top(TOP_N))

    def load(self, tag, last_id, buffered=()):
        self.epoch += 1
        self.writer.snapshot(self.tick(), tag, last_id, BIDS, ASKS, self.epoch)
        self.book = LocalOrderBook.of(BIDS, ASKS)
        for update in buffered:
            self.apply(*update)

    def trade(self, trade_id, source="ws"):
        ms = self.tick() // 1000
        event_ms = None if source == "rest" else ms
        maker = trade_id % 2 == 0
        self.writer.trade(self.us, event_ms, trade_id, ms, "100.01", "0.5", maker, trade_id, trade_id, source)


def first_run(folder):
    """Write a run: buffered diffs at the start, a gap and resync, a trade gap partly filled by REST, a clean end."""
    scribe = Scribe(folder, "R1", START_US)
    scribe.event("window_start")
    scribe.event("ws_connected", url="wss://example", conn=1)
    scribe.event("snapshot_request", attempt=1)
    scribe.diff(90, 95, [("50.00", "1")], frame=False)
    buffered = [
        scribe.diff(96, 102, [("99.99", "2.5")], frame=False),
        scribe.diff(103, 103, [], [("100.01", "0.0")], frame=False),
    ]
    scribe.load("initial", 101, buffered)
    scribe.trade(1)
    scribe.trade(2)
    scribe.diff(104, 105, [("100.00", "4")])
    scribe.diff(110, 110, [("100.00", "0")], frame=False)
    scribe.gap("gap", 106, 109)
    scribe.event("resync_start", cause="gap")
    scribe.event("snapshot_request", attempt=1)
    scribe.event("snapshot_failed", cause="timeout", http_status=None)
    scribe.event("snapshot_request", attempt=2)
    buffered = [scribe.diff(111, 112, [("99.97", "6")], frame=False)]
    scribe.load("resync", 110, buffered)
    scribe.event("resync_done", last_update_id=110)
    scribe.diff(113, 113, [], [("100.03", "1")])
    scribe.diff(113, 113, [], [("100.03", "1")], frame=False)
    scribe.event("anomaly", kind="duplicate", first_id=113)
    scribe.trade(7)
    scribe.gap("trade_gap", 3, 6)
    scribe.event("backfill", from_id=3, to_id=4, rows=2)
    scribe.trade(3, "rest")
    scribe.trade(4, "rest")
    scribe.trade(8)
    scribe.diff(114, 114, [], [("100.03", "0")])
    scribe.event("run_stop", reason="signal")
    scribe.writer.close()
    return scribe


def later_runs(folder, first):
    """Write a killed run, and one that recovers from it, crosses, resyncs, refreshes and ends the window."""
    scribe = Scribe(folder, "R2", first.us + 1_000_000, first.epoch)
    scribe.writer.quarantine(scribe.tick(), "depth", "not JSON", b"{")
    scribe.writer.close()
    scribe = Scribe(folder, "R3", scribe.us + 1_000_000, scribe.epoch)
    scribe.event("crash_recovered", previous_run_id="R2")
    scribe.event("window_start")
    scribe.event("snapshot_request", attempt=1)
    buffered = [scribe.diff(121, 122, [("99.96", "1")], frame=False)]
    scribe.gap("gap", 115, 120)
    scribe.gap("trade_gap", 9, 19)
    scribe.load("initial", 120, buffered)
    scribe.trade(20)
    scribe.diff(123, 124, [("100.03", "1")], frame=False)
    scribe.event("anomaly", kind="crossed", bid="100.03", ask="100.01")
    scribe.event("resync_start", cause="crossed")
    scribe.diff(125, 125, [("100.03", "0")], frame=False)
    scribe.event("snapshot_request", attempt=1)
    scribe.load("resync", 126)
    scribe.event("resync_done", last_update_id=126)
    scribe.diff(126, 126, frame=False)
    scribe.diff(127, 127, [("99.00", "1")])
    scribe.event("snapshot_request", attempt=1)
    scribe.load("refresh", 127)
    scribe.diff(128, 130, [("99.99", "0.000")])
    scribe.event("window_end")
    scribe.event("run_stop", reason="window_end")
    scribe.writer.seal()
    scribe.writer.close()
