# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Other markets: what had arrived of them by an instant, and signals that compare them with the run's own market.

A reader is pulled: ``show(us)`` takes the events that had arrived by then, and nothing later is ever read. So whoever
shows a market at the instants of his own decisions cannot look ahead, in a replay and live alike.
"""

from libc.math cimport NAN, log
from libc.stdint cimport int8_t, int64_t, uint8_t

from mm.tape._lots cimport lots_shown
from mm.signals.signal_set cimport Now, Signal, SignalSet
from mm.tape._kinds cimport GAP, TRADE

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from mm.signals.other_feed import OtherTrade
from mm.tape.lateness import lateness

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mm.instrument import Instrument
    from mm.tape.tape import Tape

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef double BASIS_POINTS = 1e4


cdef class OtherMarket:
    """Another market, with what had arrived of it by ``now_us``. Prices are its own ticks, quantities its own order
    steps.

    Args:
        tapes: Its days in order of time; none if it is fed.
        delay_us: Time from an event's instant on the tape until it arrives.
        signals: Its own signals; they see its events at their arrival.
        strict: Whether it is late until our clock was measured against its exchange's.
    """

    def __init__(
        self,
        name: str,
        grid: Instrument,
        tapes: Sequence[Tape],
        delay_us: int,
        signals: SignalSet,
        *,
        strict: bool = False,
    ) -> None:
        self.strict = strict
        self.name, self.grid, self.delay_us, self.signals = name, grid, delay_us, signals
        self.tapes, self.fed, self.fed_us, self.tick_e8 = deque(tapes), deque(), NEVER, grid.tick_e8
        self.now_us = self.heard_us = self.trade_us = -1
        self.end_us = NEVER
        if self.tapes:
            self.turn()

    cdef int show(self, int64_t us) except -1 nogil:
        """Take the events that have arrived by an instant."""
        cdef int64_t event, row, at_us
        while True:
            while self.next_event < self.events and self.event_us[self.next_event] <= us - self.delay_us:
                event = self.next_event
                self.next_event += 1
                row, at_us = self.first_row[event], self.event_us[event] + self.delay_us
                if self.event_late_us is not NULL:
                    self.late_us = self.event_late_us[event]
                self.take(
                    self.kind[event], at_us, self.recv_seq[event],
                    self.row_side + row, self.row_ticks + row, self.row_lots + row, self.first_row[event + 1] - row,
                )
            if self.next_event < self.events or self.end_us >= us - self.delay_us:
                break
            with gil:  # the tape is over: nothing is known of this market until the next one begins
                self.turn()
        if self.fed_us <= us:
            with gil:
                self.take_fed(us)
        self.now_us = max(self.now_us, us)
        return 0

    cdef int take(
        self, int kind, int64_t us, int64_t seq,
        const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows,
    ) except -1 nogil:
        if kind == GAP:
            self.broken += 1
        else:
            self.heard_us = us
        if kind == TRADE:
            self.trade_us, self.trade_side, self.trade_ticks, self.trade_lots = us, side[0], ticks[0], lots[0]
        return self.signals.take(kind, us, seq, side, ticks, lots, rows)

    cdef int turn(self) except -1:
        """Without a further tape the market is unknown from here on."""
        cdef const int64_t[::1] event_us, recv_seq, first_row, ticks, lots, late_us
        cdef const int8_t[::1] side
        cdef const uint8_t[::1] kind
        tape = self.tapes.popleft() if self.tapes else None
        if self.last is not None and (tape is None or not tape.continues(self.last)):
            self.broken += 1
            self.signals.take(GAP, self.end_us + self.delay_us, -1, NULL, NULL, NULL, 0)
        self.last, self.next_event, self.events, self.end_us = tape, 0, 0, NEVER
        self.event_late_us, self.late_us = NULL, 0
        if tape is None:
            return 0
        event_us, recv_seq, first_row, kind = tape.event_us, tape.recv_seq, tape.first_row, tape.kind
        side, ticks, lots = tape.row_side, tape.row_ticks, tape.row_lots
        found = lateness(tape, strict=self.strict)
        if found is not None and len(found):
            late_us = found
            self.event_late_us = &late_us[0]
        self.owners = event_us, recv_seq, first_row, kind, side, ticks, lots, found
        self.events, self.end_us = kind.shape[0], tape.end_us
        if self.events:
            self.event_us, self.recv_seq = &event_us[0], &recv_seq[0]
            self.first_row, self.kind = &first_row[0], &kind[0]
        if side.shape[0]:
            self.row_side, self.row_ticks, self.row_lots = &side[0], &ticks[0], &lots[0]
        return 0

    def feed(self, events: Iterable[Sequence[object]]) -> None:
        """Add events of a live market (``FeedEvent``), in order; one that is shown late counts from then on."""
        for event in events:
            self.fed.append(event)
        if self.fed:
            self.fed_us = self.fed[0][1] + self.delay_us

    cdef int take_fed(self, int64_t us) except -1:
        cdef const int8_t[::1] side
        cdef const int64_t[::1] ticks, lots
        cdef int64_t at_us
        while self.fed_us <= us:
            kind, _, seq, _, rows, _, self.late_us = self.fed.popleft()
            table, at_us = np.array(rows, np.int64).reshape(-1, 3), max(self.fed_us, self.now_us)
            if len(table):
                side = np.ascontiguousarray(table[:, 0], np.int8)
                ticks, lots = np.ascontiguousarray(table[:, 1]), np.ascontiguousarray(table[:, 2])
                self.take(kind, at_us, seq, &side[0], &ticks[0], &lots[0], len(table))
            else:
                self.take(kind, at_us, seq, NULL, NULL, NULL, 0)
            self.fed_us = self.fed[0][1] + self.delay_us if self.fed else NEVER
        return 0

    cdef double log_mid(self) noexcept nogil:
        """Return the logarithm of the mid in the quote asset; NaN without one."""
        if not self.signals.valid or not self.signals.now.both:
            return NAN
        return log(<double> self.signals.now.mid2 * <double> self.tick_e8) - log(2e8)

    # ------------------------------------------------------------------ what a strategy sees

    @property
    def valid(self) -> bool:
        """Whether its book is valid; without it there are no best prices."""
        return self.signals.valid

    @property
    def bid_ticks(self) -> int | None:
        """Best bid; None without a valid book or a bid."""
        return self.signals.now.bid_ticks or None if self.signals.valid else None

    @property
    def ask_ticks(self) -> int | None:
        """Best ask; None without a valid book or an ask."""
        return self.signals.now.ask_ticks or None if self.signals.valid else None

    @property
    def bid_lots(self) -> float:
        """Lots at the best bid; 0 without one."""
        return lots_shown(self.signals.now.bid_lots, self.signals.now.step_lots) if self.signals.valid else 0

    @property
    def ask_lots(self) -> float:
        """Lots at the best ask; 0 without one."""
        return lots_shown(self.signals.now.ask_lots, self.signals.now.step_lots) if self.signals.valid else 0

    @property
    def mid(self) -> float | None:
        """Mean of its best prices in its quote asset; None without both."""
        if not self.signals.valid or not self.signals.now.both:
            return None
        return <double> self.signals.now.mid2 * <double> self.tick_e8 / 2e8

    @property
    def tick(self) -> float:
        """Its price step, in its quote asset."""
        return <double> self.tick_e8 / 1e8

    @property
    def lot(self) -> float:
        """Its lot, the order step, in its base asset."""
        return <double> self.grid.lot_e8 * <double> self.signals.now.step_lots / 1e8

    @property
    def last_trade(self) -> OtherTrade | None:
        """Its last trade; None before the first."""
        if self.trade_us < 0:
            return None
        lots = lots_shown(self.trade_lots, self.signals.now.step_lots)
        return OtherTrade(self.trade_us, self.trade_side, self.trade_ticks, lots)

    @property
    def age_us(self) -> int | None:
        """Time since its last message arrived, and how late that was by its exchange's clock; None before the first."""
        return None if self.heard_us < 0 else self.now_us - self.heard_us + self.late_us

    def signal(self, name: str) -> float | None:
        """Return the last value of one of its own signals, which the model declares as ``<market>.<signal>``.

        Returns:
            None while it is undefined.

        Raises:
            KeyError: If the model does not declare it.
        """
        if name not in self.signals.names:
            raise KeyError(f"the model does not declare {self.name}.{name}; add it to its `signals`")
        return self.signals.last()[name] if self.signals.valid else None

    def __repr__(self) -> str:
        return f"<market {self.name}: bid {self.bid_ticks}, ask {self.ask_ticks} at {self.now_us}>"


# ---------------------------------------------------------------------- signals of the run's own market that read it


cdef class OtherSignal(Signal):
    """A signal of another market, at each diff of the run's own: its last value that had arrived by then."""

    cdef OtherMarket other
    cdef int place

    def __init__(self, other: OtherMarket, place: int) -> None:
        self.other, self.place, self.one_sided = other, place, True
        self.interpreted = other.signals.interpreted

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.other.show(now.us)
        self.value = self.other.signals.values[self.place] if self.other.signals.valid else NAN
        return 0


cdef class Basis(Signal):
    """Mid of another market over our own, in basis points of log price."""

    cdef OtherMarket other
    cdef double tick_e8

    def __init__(self, other: OtherMarket, tick_e8: int) -> None:
        self.other, self.tick_e8 = other, <double> tick_e8

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.other.show(now.us)
        self.value = BASIS_POINTS * (self.other.log_mid() - log(<double> now.mid2 * self.tick_e8) + log(2e8))
        return 0


cdef class OtherReturn(Signal):
    """Log return of another market's mid over a window, basis points; undefined over a gap of its book.

    Args:
        other: The other market.
        before: The same market, a window later: what it shows now is what the first showed a window ago.
    """

    cdef OtherMarket other, before

    def __init__(self, other: OtherMarket, before: OtherMarket) -> None:
        self.other, self.before, self.one_sided = other, before, True

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.other.show(now.us)
        self.before.show(now.us)
        self.value = NAN
        if self.other.broken == self.before.broken:
            self.value = BASIS_POINTS * (self.other.log_mid() - self.before.log_mid())
        return 0


cdef class Divergence(Signal):
    """Log return of another market's mid over a window less our own, basis points.

    Args:
        ours: Momentum of our own mid over the same window, ticks.
    """

    cdef Signal theirs, ours

    def __init__(self, theirs: OtherReturn, ours: Signal) -> None:
        self.theirs, self.ours, self.sources = theirs, ours, (theirs, ours)

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef double mid = 0.5 * <double> now.mid2
        self.value = self.theirs.value - BASIS_POINTS * (log(mid) - log(mid - self.ours.value))
        return 0
