"""One symbol's trade sequence: events from trades, and requests for missing ones."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
from msgspec import structs

from mm.clock import checked_stamp
from mm.dayfolder.ledger import NO_EXECUTION, SKIPPED
from mm.errors import BrokenFile, OffGrid
from mm.ids import IdRange, MissingIds
from mm.market_data import market_events as events
from mm.market_data.doubts import FAR_IDS
from mm.market_data.market_events import MarketEvent, TradesMissing
from mm.markets.feed import Feed
from mm.markets.grid import Grid
from mm.markets.messages import EXECUTED, AggTrade, Answer, PastTrades, RestRefusal, RestRequest, TradePrint
from mm.markets.records import Trade
from mm.markets.trade_ids import CountedPrints, TradeIds, TradeVerdict


class TradeState:
    """Tracks one symbol's trade ids; reports each trade once.

    Args:
        keeps_late: Whether a late trade is a `TradeArrived`: an import's rows are in order of arrival, a stream's in
            order of ids.
    """

    def __init__(
        self,
        emit: events.Subscriber,
        *,
        keeps_late: bool,
        ids_skip: bool = False,
        last_id: int | None = None,
        last_us: int = 0,
        missing: Iterable[MissingIds] = (),
    ) -> None:
        self._emit = emit
        self._keeps_late, self._ids_skip = keeps_late, ids_skip
        self._ids = TradeIds(last_id)
        for gap in missing:
            self._ids.missing.add(*gap.ids)
        self._last_us = last_us
        self._of_last: int | None = None  # the last single trade of the latest aggregate
        self._today_id: int | None = None

    @property
    def last_id(self) -> int | None:
        return self._ids.last_id

    def next_day(self) -> None:
        self._today_id = None

    def forget_ids(self) -> None:
        self._ids, self._of_last, self._today_id = TradeIds(), None, None

    def took_columns(self, count: int, last_us: int) -> None:
        if count and self._ids.last_id is not None:
            self._ids.last_id += count
            self._today_id = max(self._ids.last_id, self._today_id or 0)
            self._last_us = last_us

    def take(self, recv_us: int, trade: events.TradeMessage, cause: str) -> TradeVerdict:
        """*cause* is why ids before the trade's may be missing."""
        trade_id = events.trade_id_of(trade)
        verdict = self._ids.take(trade_id)
        if verdict is TradeVerdict.DUPLICATE and self._is_another(trade):
            verdict = TradeVerdict.NEW
        if verdict is TradeVerdict.DUPLICATE:
            self._emit(events.TradeRepeated(recv_us, trade))
            return verdict
        self._today_id = max(trade_id, self._today_id or trade_id)
        if isinstance(trade, AggTrade):
            self._of_last = max(trade.l, self._of_last or 0)
        if verdict is TradeVerdict.GAP:
            self._report_missing(recv_us, cause)
        elif verdict is TradeVerdict.RESET:
            self._anomaly(recv_us, "id_reset", trade)
        elif verdict is TradeVerdict.LATE and not self._keeps_late:
            self._ids.missing.add(trade_id, trade_id)  # it is not a row, so REST must return it
            self._anomaly(recv_us, "late", trade)
            return verdict
        word = trade.X if isinstance(trade, TradePrint) else None
        if word not in EXECUTED or not trade.q.strip("0."):
            details = {"trade_id": trade_id, "X": word or "NA", "price": trade.p, "qty": trade.q}
            self._emit(events.Anomaly(recv_us, NO_EXECUTION, details))
        else:
            self._emit(events.TradeArrived(recv_us, trade, verdict))
        self._last_us = recv_us
        return verdict

    def _is_another(self, trade: events.TradeMessage) -> bool:
        """A new day may repeat the last id for another aggregate, made of later trades; within a day that
        contradicts.
        """
        later = isinstance(trade, AggTrade) and self._of_last is not None and trade.f > self._of_last
        return later and (self._today_id is None or events.trade_id_of(trade) > self._today_id)

    def lost(self, recv_us: int, first_id: int, last_id: int, cause: str) -> None:
        known = self._ids.last_id
        if (known is None or last_id - known <= FAR_IDS) and self._ids.skip(first_id, last_id):
            self._report_missing(recv_us, cause)

    def fetched(self, recv_us: int, trades: Sequence[tuple[IdRange, Trade]]) -> int:
        filled = [(ids, trade) for ids, trade in trades if self._ids.fill(*ids)]
        if filled:
            ids = IdRange(filled[0][0].first, filled[-1][0].last)
            self._emit(events.TradesFetched(recv_us, [trade for _, trade in filled], ids))
        return len(filled)

    def _report_missing(self, recv_us: int, cause: str) -> None:
        cause = SKIPPED if self._ids_skip else cause
        self._emit(events.TradesMissing(recv_us, MissingIds(*self._ids.hole, self._last_us, recv_us), cause))

    def _anomaly(self, recv_us: int, kind: str, trade: events.TradeMessage) -> None:
        details = {"stream": events.stream_of(trade), "trade_id": events.trade_id_of(trade)}
        self._emit(events.Anomaly(recv_us, kind, details))


class PrintState:
    """Numbers the prints of a market whose own ids do not, and reports each once."""

    def __init__(self, emit: events.Subscriber, numbers: CountedPrints) -> None:
        self._emit, self._numbers = emit, numbers

    @property
    def last_number(self) -> int:
        return self._numbers.last_id

    def next_day(self, last_id: int) -> None:
        self._numbers.last_id = last_id

    def fetched(self, recv_us: int, prints: Sequence[Trade], last_number: int) -> bool:
        """Number the unknown ones of *prints*, oldest first; return whether they reach back to *last_number* or before.

        Prints before the oldest known one are left out: they may be those of another day.
        """
        reached = [at for at, one in enumerate(prints) if self._numbers.is_known(one.name or "", up_to=last_number)]
        news = []
        for one in prints[reached[0] :] if reached else prints:
            number = self._numbers.number(one.name or "")
            if number is not None:
                news.append(structs.replace(one, trade_id=number, first_id=number, last_id=number))
        if news:
            ids = IdRange(news[0].trade_id, news[-1].trade_id)
            self._emit(events.TradesFetched(recv_us, news, ids))
        return bool(reached)

    def take(self, recv_us: int, trade: TradePrint, conn: int | None) -> bool:
        """Return whether it is new; with connections (*conn*), that another one told it before is no anomaly."""
        name = trade.name or ""
        number = self._numbers.number(name)
        if number is not None:
            trade.t = number
            self._emit(events.TradeArrived(recv_us, trade, TradeVerdict.NEW))
            return True
        trade.t = self._numbers.number_of(name)
        if conn is None:
            self._emit(events.TradeRepeated(recv_us, trade))
        return False


MOST_MISSING = 200_000
MOST_MISSES = 5


@dataclass
class _Fill:
    missing: MissingIds
    misses: int = 0
    more: RestRequest | None = None


class FillPlan:
    """Decides which trades to request and when to give up; *ways* are the venue's interfaces, best first."""

    def __init__(self, ways: Sequence[PastTrades]) -> None:
        self._interfaces = ways
        self._selected = 0
        self._fills: deque[_Fill] = deque()

    def missing(self, missing: MissingIds) -> None:
        if missing.ids.size <= MOST_MISSING:
            self._fills.append(_Fill(missing))

    def clear(self) -> None:
        self._fills.clear()

    @property
    def current(self) -> MissingIds | None:
        return self._fills[0].missing if self._fills else None

    def next_request(self) -> RestRequest | None:
        if not self._fills:
            return None
        fill = self._fills[0]
        return fill.more or self._interfaces[self._selected].request(fill.missing)

    def refused(self, refusal: RestRefusal) -> None:
        if refusal is not RestRefusal.STAYS:
            return
        if self._selected + 1 < len(self._interfaces):
            self._selected += 1
        else:
            self._fills.popleft()

    def answered(self, body: bytes) -> list[tuple[IdRange, Trade]]:
        """The trades that fill the gap, each with its range of ids; raises MsgspecError or BrokenFile."""
        fill, missing = self._fills[0], self._fills[0].missing
        page = self._interfaces[self._selected].page(body)
        ids = [span for span, _ in page.trades]
        if any(span.size < 1 for span in ids) or any(low.last >= high.first for low, high in pairwise(ids)):
            raise BrokenFile(f"trades from REST whose ids are not ascending: {ids[:3]} …")
        inside = [(span, trade) for span, trade in page.trades if span.is_within(missing.ids)]
        fill.more = page.more or fill.more
        reached = max((last for _, last in ids), default=0)
        if reached >= missing.last_id:
            self._fills.popleft()
        elif reached >= missing.first_id:
            fill.missing, fill.misses = missing._replace(first_id=reached + 1), 0
        elif fill.more is None or not ids:
            self.missed()
        return inside

    def missed(self) -> None:
        """A response without the trades, or unreadable: retry after the others, not forever."""
        fill = self._fills.popleft()
        fill.misses += 1
        if fill.misses < MOST_MISSES:
            self._fills.append(fill)


class TradeBackfill:
    def __init__(self, grid: Grid, feed: Feed, *, aggregates: bool, missing: Iterable[MissingIds] = ()) -> None:
        self._grid = grid
        self._feed = feed
        self._aggregates = aggregates
        self.plan = FillPlan(feed.trade_history(aggregates=aggregates))
        for gap in missing:
            self.plan.missing(gap)

    def __call__(self, event: MarketEvent) -> None:
        if isinstance(event, TradesMissing):
            self.plan.missing(event.missing)

    def last_id(self, answer: Answer) -> int | None:
        """The last id of a `Feed.last_trade` response, in the used numbering."""
        return None if answer.cause else self._feed.last_trade_id(answer.body, aggregates=self._aggregates)

    def answered(self, answer: Answer) -> list[tuple[IdRange, Trade]]:
        """The requested trades, each with its range of ids; BrokenFile if unreadable, to be requested again."""
        missing = self.plan.current
        if missing is None:
            return []
        if answer.cause:
            self.plan.refused(self._feed.refusal(answer.status))
            return []
        try:
            trades = self.plan.answered(answer.body)
            self._grid.check([(trade.price, trade.qty) for _, trade in trades])
            for _, trade in trades:
                checked_stamp(trade.trade_time, "time")
        except (ValueError, OffGrid, msgspec.MsgspecError, BrokenFile) as error:
            if self.plan.current is missing:
                self.plan.missed()
            raise BrokenFile(f"{answer.url}: {error}") from error
        return trades
