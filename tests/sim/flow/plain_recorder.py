"""A session recorded message by message in plain Python: the expected output of the fast writer, line by line."""

from itertools import groupby

from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.rows import Stamp, Trade
from mm.market_data.local_orderbook import LocalOrderBook
from mm.sim.flow.session import STEP_US
from mm.sim.matching.order_log import ROW_LEVEL, ROW_TRADE


def messages_of(rows, open_us):
    """Return (instant, is_trade, rows): a depth message at the end of each step with changes, before its trades."""

    def step_end(row):
        return open_us + -(-(row[0] - open_us) // STEP_US) * STEP_US

    messages = [(row[0], 1, [row]) for row in rows if row[1] == ROW_TRADE]
    changes = (row for row in rows if row[1] == ROW_LEVEL)
    messages += [(instant, 0, list(changed)) for instant, changed in groupby(changes, step_end)]
    return sorted(messages, key=lambda message: message[:2])


class PlainRecorder:
    """Write messages through `DayWriter`, one by one."""

    def __init__(self, writer: DayWriter, session, instrument, top_n):
        self.writer, self.session, self.instrument, self.top_n = writer, session, instrument, top_n
        self.book = LocalOrderBook()
        self.jitter = session.random("latency")
        self.recv_us = 0

    def text(self, ticks, lots):
        return self.instrument.price(ticks), self.instrument.qty(lots)

    def load(self, epoch_id, bids, asks):
        self.epoch_id = epoch_id
        for side, levels in ((1, bids), (-1, asks)):
            for level in levels:
                self.book.apply(side, *self.text(*level))

    def take(self, rows):
        for instant, is_trade, sent_rows in messages_of(rows, self.session.open_us):
            self.recv_us = max(self.recv_us, instant + 2_000 + int(min(self.jitter.exponential(1_000), 6_000)))
            if is_trade:
                self.trade(instant // 1000, *sent_rows)
            else:
                self.depth(instant // 1000, sent_rows)

    def trade(self, sent_ms, row):
        side, ticks, lots, number = row[5:9]
        trade = Trade(sent_ms, number, sent_ms, *self.text(ticks, lots), side < 0, number, number)
        self.writer.trade(self.recv_us, trade)

    def depth(self, sent_ms, changes):
        last = {(row[5], row[6]): row[7] for row in changes}
        first_id, last_id = changes[0][9], changes[-1][9]
        bids = [self.text(ticks, lots) for (side, ticks), lots in sorted(last.items(), reverse=True) if side > 0]
        asks = [self.text(ticks, lots) for (side, ticks), lots in sorted(last.items()) if side < 0]
        seq = self.writer.diff(self.recv_us, sent_ms, first_id, last_id, bids, asks)
        for side, levels in ((1, bids), (-1, asks)):
            for level in levels:
                self.book.apply(side, *level)
        self.writer.frame(Stamp(self.recv_us, seq, sent_ms, last_id), self.epoch_id, *self.book.top(self.top_n))
