"""Strategies that send their orders themselves, on a schedule: outside of its pieces they are not called."""

import pytest

from engine_tapes import BEGIN_US, TEST
from mm import Rules, Tape, backtest
from mm.backtest.fills.base import TradeCross
from mm.backtest.fills.intensity import Intensity, IntensityPiece
from mm.backtest.quotes.steps import Gated, PostOnly
from mm.errors import UsageError
from mm.instrument import Instrument
from mm.signals.other_feed import OtherFeed

SECOND = 1_000_000
LEAD = Instrument("LEADUSDT", tick_e8=1_000_000, lot_e8=1_000)
RULES = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=SECOND // 10, start_lots=100, quote_lots=2)
LEG = Rules(LEAD.tick_e8, LEAD.lot_e8, start_lots=50, requote_us=10**12)
OPEN = ((2, 4), (6, 8))  # seconds of the pieces


class Keeps:
    """Keeps a bid and an ask, in both markets, and notes its calls and what ended."""

    def __init__(self):
        self.calls, self.ended = [], []

    def on_event(self, market, orders):
        self.calls.append((market.us - BEGIN_US) / SECOND)
        self.ended += [(order.status, self.calls[-1]) for order in orders.ended]
        for here in (orders, orders.at("lead")):
            if not len(here):
                here.submit(1, market.bid_ticks - 3)
                here.submit(-1, market.ask_ticks + 3)


def quiet(instrument):
    """Return ten seconds of a book of which only the sizes change."""
    events = [(BEGIN_US, "snapshot", [(99, 5)], [(101, 5)])]
    events += [(BEGIN_US + step * SECOND // 10, "depth", [(99, 5 + step % 2)], []) for step in range(1, 100)]
    return Tape.of(instrument, events)


def open_at(journal, second):
    """Return the number of orders that rest at an instant."""
    rows = [row for row in journal.state.tolist() if row[0] <= BEGIN_US + second * SECOND]
    return rows[-1][5]


def test_strategy_trades_within_the_pieces_only():
    """Its orders are cancelled behind each, in every market; its next call is told so."""
    pieces = [
        IntensityPiece(BEGIN_US + begin * SECOND, BEGIN_US + end * SECOND, 1.0, 0.5, 1.0, 0.5, 0.5)
        for begin, end in OPEN
    ]
    model = Keeps()
    rules = Rules(**{**vars(RULES), "others": {"lead": OtherFeed(LEAD, (quiet(LEAD),))}, "legs": {"lead": LEG}})
    result = backtest(quiet(TEST), Gated(model, Intensity(pieces)), TradeCross(), rules)
    assert len(model.calls) > 20
    assert all(any(begin <= at < end for begin, end in OPEN) for at in model.calls)
    assert model.ended == [("CANCELLED", 6.0)] * 2
    for journal in (result.journal, result.legs["lead"].journal):
        assert [open_at(journal, second) for second in (1, 3, 5, 7, 9)] == [0, 2, 0, 2, 0]


def test_no_other_step_takes_a_strategy():
    with pytest.raises(UsageError, match="Keeps sends its orders itself"):
        PostOnly(inner=Keeps())
