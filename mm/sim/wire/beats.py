"""Depth events: level changes gathered into batches that end on a beat, every 100 ms or every second.

Connections beat on phases of their own, so the borders of their batches differ; those of one phase share the batch
and its bytes. A connection that is behind gets its batches joined into one, which absolute quantities allow.
"""

from typing import Protocol

from mm.clock import US_PER_MS, US_PER_S
from mm.market_data.local_orderbook import LocalOrderBook
from mm.sim.wire.stream_messages import Batch, Message, Texts
from mm.sim.wire.stream_names import Stream


class Subscriber(Protocol):
    """A connection, as the streams see it.

    Attributes:
        micro: Whether its stamps are µs, not ms.
        phase_ms: When its depth batches end, in ms behind each whole second; 100 ms streams take it modulo 100.
    """

    micro: bool
    phase_ms: int

    def behind(self, stream: str) -> bool:
        """Tell whether events of *stream* that later ones replace should not be sent now."""

    def deliver(self, message: Message) -> None:
        """Take *message*, in the order of sending."""


class Beat:
    """All depth and partial depth streams of one interval and phase.

    Args:
        interval_us: From one beat to the next.
        phase_us: A beat is an instant that leaves this remainder.
        now_us: The exchange's instant.

    Attributes:
        due_us: The next beat.
    """

    def __init__(self, interval_us: int, phase_us: int, now_us: int) -> None:
        self.key = interval_us, phase_us
        self._speed = "@100ms" if interval_us < US_PER_S else ""
        self.due_us = self._after(now_us)
        self._first_id = 0
        self._bids: dict[int, str] = {}
        self._asks: dict[int, str] = {}
        self._depth: dict[Subscriber, Batch | None] = {}
        self._partial: dict[tuple[Subscriber, Stream], int] = {}

    def add(self, side: int, ticks: int, level: str, update_id: int) -> None:
        """Take a change of the book: the text of the level at *ticks* as it is after *update_id*."""
        self._first_id = self._first_id or update_id
        (self._bids if side > 0 else self._asks)[ticks] = level

    def join(self, subscriber: Subscriber, stream: Stream) -> None:
        """Let *subscriber* have the events of *stream* from the next beat on."""
        if stream.kind == "depth":
            self._depth[subscriber] = None
        else:
            self._partial[subscriber, stream] = -1

    def leave(self, subscriber: Subscriber, stream: Stream) -> None:
        """Send *subscriber* no more of *stream*; one that is not of this beat changes nothing."""
        if stream.kind == "depth" and stream.interval_ms * US_PER_MS == self.key[0]:
            self._depth.pop(subscriber, None)
        self._partial.pop((subscriber, stream), None)

    @property
    def deserted(self) -> bool:
        """Whether nobody listens."""
        return not self._depth and not self._partial

    def strike(self, symbol: str, texts: Texts, book: LocalOrderBook, update_id: int) -> None:
        """Send what the beat that is due brings, and wait for the next one.

        Args:
            symbol: Lower case, as stream names have it.
            texts: Writes the events.
            book: As it is at this beat.
            update_id: That of *book*.
        """
        batch = Batch(self._first_id, update_id, self._bids, self._asks) if self._first_id else None
        self._first_id, self._bids, self._asks = 0, {}, {}
        self._send_depth(f"{symbol}@depth{self._speed}", batch, texts)
        self._send_partial(texts, book, update_id)
        self.due_us = self._after(self.due_us)

    def skip_to(self, us: int) -> None:
        """Let the next beat be the first one at *us* or behind it: between, nothing happened."""
        self.due_us = max(self.due_us, self._after(us - 1))

    def _send_depth(self, name: str, batch: Batch | None, texts: Texts) -> None:
        made: dict[bool, Message] = {}
        for subscriber, waiting in list(self._depth.items()):
            owed = waiting.then(batch) if waiting and batch else waiting or batch
            if owed is None:
                continue
            if subscriber.behind(name):
                self._depth[subscriber] = owed
                continue
            self._depth[subscriber] = None
            micro = subscriber.micro
            if owed is not batch:
                subscriber.deliver(texts.depth(name, owed, self.due_us, micro=micro))
                continue
            if micro not in made:
                made[micro] = texts.depth(name, batch, self.due_us, micro=micro)
            subscriber.deliver(made[micro])

    def _send_partial(self, texts: Texts, book: LocalOrderBook, update_id: int) -> None:
        made: dict[Stream, Message] = {}
        for (subscriber, stream), sent_id in list(self._partial.items()):
            if sent_id == update_id or subscriber.behind(stream.name):
                continue
            if stream not in made:
                made[stream] = texts.partial(stream.name, update_id, *book.top(stream.levels))
            self._partial[subscriber, stream] = update_id
            subscriber.deliver(made[stream])

    def _after(self, us: int) -> int:
        interval_us, phase_us = self.key
        return us + interval_us - (us - phase_us) % interval_us
