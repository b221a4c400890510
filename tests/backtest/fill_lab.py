"""One resting order, a book and prints made by hand, and the resulting fills of a fill model."""

from dataclasses import dataclass

from mm import PaperExchange, Quotes, Rules, Tape
from mm.instrument import Instrument

TEST = Instrument("TESTUSDT", tick_e8=1_000_000, lot_e8=1_000)
BEGIN_US = 1_000_000_000
BIDS, ASKS = [(100, 10), (99, 20)], [(102, 10), (103, 20)]


@dataclass
class Want:
    """Quote these prices and lots at every requote; None for no quote."""

    bid: int | None
    ask: int | None = None
    lots: int = 5

    def quote(self, view):
        return Quotes(self.bid, self.ask, self.lots, self.lots)


def play(fills, events, *, bid=100, ask=None, lots=5, bids=BIDS, asks=ASKS, latency_us=0, **rules):
    """Return the fills as (µs since the snapshot, side, ticks, lots, reason).

    The snapshot (*bids*, *asks*) has time 0 and the quotes are sent then; *events* are those of ``Tape.of``,
    with times counted from it.
    """
    all_events = [(BEGIN_US, "snapshot", bids, asks), *((BEGIN_US + us, *rest) for us, *rest in events)]
    tape = Tape.of(TEST, all_events)
    settings = {"order_latency_us": latency_us, "cancel_latency_us": 0, "requote_on_fill": False, **rules}
    terms = Rules(TEST.tick_e8, TEST.lot_e8, enforce_balances=False, **settings)
    exchange = PaperExchange(Want(bid, ask, lots), fills, terms)
    exchange.run(tape)
    journal = exchange.journal()
    return [
        (us - BEGIN_US, side, ticks, filled, journal.fill_reasons[reason])
        for us, _, side, ticks, filled, _, reason, *_ in journal.fills.tolist()
    ]


def sold(us, ticks, lots):
    """A print whose aggressor sold."""
    return (us, "trade", -1, ticks, lots)


def bought(us, ticks, lots):
    """A print whose aggressor bought."""
    return (us, "trade", 1, ticks, lots)


def depth(us, bids=(), asks=()):
    """A depth message that sets these levels."""
    return (us, "depth", list(bids), list(asks))
