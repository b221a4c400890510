"""Counterfactual tapes: truncated at a cut, mirrored after it, shifted, stretched, or reflected as a whole."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mm.clock import US_PER_MS, US_PER_S
from mm.dayfolder.contract_rows import ContractRow, LiquidationRow, MarkRow
from mm.signals.other_feed import OtherFeed
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE, Ints, Tape

if TYPE_CHECKING:
    from mm.tape.order_index import OrderIndex

WEEK_US = 7 * 24 * 3600 * US_PER_S  # keeps the day of the week and the time of day
HOURS_US = ((5 * 60 + 37) * 60 + 23) * US_PER_S  # keeps neither the hour nor the minute nor the second
STRETCH = 1.01  # no instant but the first stays where it was, and what is kept in seconds hardly changes
AFTER_US = 2  # from an action to the cut behind it
BEYOND_US = 60 * US_PER_S  # length of a mirrored future
FOREVER_US = 1 << 61
LOTS_TIMES = 3  # factor of the quantities in a mirrored future
_OTHER = {
    "top_bid_ticks": "top_ask_ticks",
    "top_ask_ticks": "top_bid_ticks",
    "top_bid_lots": "top_ask_lots",
    "top_ask_lots": "top_bid_lots",
}


def truncated(tape: Tape, cut_us: int) -> Tape:
    window = tape.between(tape.start_us, cut_us)
    return window.with_orders_of(tape, lambda orders: orders.before(cut_us, tape))


def shifted(tape: Tape, by_us: int = WEEK_US) -> Tape:
    return replace(
        tape,
        event_us=tape.event_us + by_us,
        event_exch_us=np.where(tape.event_exch_us > 0, tape.event_exch_us + by_us, 0),
        start_us=tape.start_us + by_us,
        end_us=tape.end_us + by_us,
    ).with_orders_of(tape, lambda orders: orders.shifted(by_us))


def stretched(tape: Tape, about_us: int) -> Tape:
    """`STRETCH` times as long; messages are as late as they were."""
    moved_us = _stretched_us(tape.event_us, about_us)
    start_us, end_us = _stretched_us(np.array([tape.start_us, tape.end_us]), about_us).tolist()
    return replace(
        tape,
        event_us=moved_us,
        event_exch_us=np.where(tape.event_exch_us > 0, tape.event_exch_us + moved_us - tape.event_us, 0),
        start_us=start_us,
        end_us=end_us,
    ).with_orders_of(tape, lambda orders: _stretched_orders(orders, tape, about_us))


def _stretched_orders(orders: "OrderIndex", tape: Tape, about_us: int) -> "OrderIndex":
    """Move orders as much later as the messages of their instants."""
    logged, at_us = (orders.step_us, orders.meet_us), orders.at(tape, None)
    moved = [us + _stretched_us(at, about_us) - at for us, at in zip(logged, at_us, strict=True)]
    spans = orders.spans and tuple(map(tuple, _stretched_us(np.array(orders.spans), about_us).tolist()))
    return replace(orders, step_us=moved[0], meet_us=moved[1], spans=spans)


def _stretched_us(us: Ints, about_us: int) -> Ints:
    later: Ints = about_us + np.rint((us - about_us) * STRETCH).astype(np.int64)
    return later


def reflected(tape: Tape, _us: int = 0) -> Tape:
    """The whole tape, without its orders, upside down: bids are asks, and what rose falls."""
    return mirrored(tape, -FOREVER_US, beyond_us=2 * FOREVER_US, times=1).with_orders(None)


def mirrored(tape: Tape, cut_us: int, *, beyond_us: int = BEYOND_US, times: int = LOTS_TIMES) -> Tape:
    cut = int(np.searchsorted(tape.event_us, cut_us))
    stop = int(np.searchsorted(tape.event_us, cut_us + beyond_us))
    book = book_before(tape, cut)
    if book:
        bids, asks = ([ticks for side, ticks in book if side == own] for own in (1, -1))
        twice = (max(bids) if bids else min(asks)) + (min(asks) if asks else max(bids))
    else:
        twice = sum(tape.best_span)
    rows = slice(int(tape.first_row[cut]), int(tape.first_row[stop]))
    old = np.array([(side, ticks, lots) for (side, ticks), lots in book.items()], np.int64).reshape(-1, 3)
    breaks = [GAP, SNAPSHOT] if book else []
    begun = np.full(len(breaks), cut_us)
    return replace(
        tape,
        event_us=_joined(tape.event_us, cut, begun, stop),
        event_exch_us=_joined(tape.event_exch_us, cut, np.zeros(len(breaks), np.int64), stop),
        recv_seq=_joined(tape.recv_seq, cut, np.full(len(breaks), -1), stop),
        event_id=_joined(tape.event_id, cut, np.zeros(len(breaks), np.int64), stop),
        kind=_joined(tape.kind, cut, np.array(breaks, np.uint8), stop),
        first_row=np.concatenate(
            [tape.first_row[:cut], np.full(len(breaks), rows.start), tape.first_row[cut : stop + 1] + len(old)]
        ),
        row_side=np.concatenate([tape.row_side[: rows.start], -old[:, 0], -tape.row_side[rows]]),
        row_ticks=np.concatenate(
            [tape.row_ticks[: rows.start], _at(twice - old[:, 1]), _at(twice - tape.row_ticks[rows])]
        ),
        row_lots=np.concatenate([tape.row_lots[: rows.start], old[:, 2] * times, tape.row_lots[rows] * times]),
        **_tops(tape, (cut, stop), old, twice, times),
        end_us=max(cut_us, min(tape.end_us, cut_us + beyond_us)),
    ).with_orders_of(tape, lambda orders: orders.before(cut_us, tape))  # what fills after the cut is not compared


def feeds_like(
    feeds: Mapping[str, OtherFeed], change: Callable[[Tape, int], Tape], us: int, own: Tape
) -> dict[str, OtherFeed]:
    """Change the feeds as the tape *own* was changed; *us* is the cut (by arrival), the shift, or the fixed instant."""
    changed_feeds = {}
    for name, feed in feeds.items():
        tapes, at, cut = feed.tapes, us, change not in _WHOLE
        if cut:
            at = us - max(feed.delay_us, 0)  # a feed that shows what has not happened yet looks ahead
            tapes = tuple(tape for tape in tapes if tape.start_us < at)
        changed = tuple(tape if cut and tape.end_us < at else change(tape, at) for tape in tapes)
        told = tuple(_changed_rows(feed.told(), change, at))
        changed_feeds[name] = feed._replace(tapes=changed, span=(own.start_us, own.end_us), told=partial(tuple, told))
    return changed_feeds


def _changed_rows(rows: Sequence[ContractRow], change: Callable[[Tape, int], Tape], us: int) -> Iterator[ContractRow]:
    for row in rows:
        if change is shifted:
            yield _later(row, us)
        elif change is stretched:
            yield _later(row, int(_stretched_us(np.array([row.recv_us]), us)[0]) - row.recv_us)
        elif change is reflected:
            yield _mirrored_row(row)
        elif row.recv_us < us:
            yield row
        elif change is mirrored:
            yield _mirrored_row(row)


_WHOLE = (shifted, stretched, reflected)  # from the begin on


def _later(row: ContractRow, by_us: int) -> ContractRow:
    later = row._replace(recv_us=row.recv_us + by_us)
    if isinstance(later, MarkRow) and later.funding_ms is not None:
        return later._replace(funding_ms=later.funding_ms + by_us // US_PER_MS)
    return later


def _mirrored_row(row: ContractRow) -> ContractRow:
    if isinstance(row, MarkRow):  # what was dear is cheap
        return row._replace(mark_e8=row.index_e8 or row.mark_e8 // 2, index_e8=row.mark_e8, rate_e8=-row.rate_e8)
    if isinstance(row, LiquidationRow):
        return row._replace(side=-row.side, filled_e8=LOTS_TIMES * row.filled_e8)
    return row._replace(amount_e8=LOTS_TIMES * row.amount_e8)


def book_before(tape: Tape, event: int) -> dict[tuple[int, int], int]:
    entries = np.flatnonzero((tape.kind[:event] == KEYFRAME) | (tape.kind[:event] == SNAPSHOT))
    book: dict[tuple[int, int], int] = {}
    for passed in range(int(entries[-1]) if len(entries) else event, event):
        kind = int(tape.kind[passed])
        if kind in (SNAPSHOT, KEYFRAME, GAP):
            book = {}
        if kind in (SNAPSHOT, KEYFRAME, DEPTH):
            book.update({(side, ticks): lots for side, ticks, lots in tape.rows(passed)})
    return {level: lots for level, lots in book.items() if lots}


def market_at(tape: Tape, us: int) -> str:
    """Describe the market as text: best prices and the last trade."""
    grid = tape.instrument
    top = int(np.searchsorted(tape.event_us[tape.top_event], us, side="right")) - 1
    bid, ask = (int(column[top]) if top >= 0 else 0 for column in (tape.top_bid_ticks, tape.top_ask_ticks))
    words = [f"{name} {short(grid.price(ticks)) if ticks else '–'}" for name, ticks in (("bid", bid), ("ask", ask))]
    passed = int(np.searchsorted(tape.event_us, us, side="right"))
    trades = np.flatnonzero(tape.kind[:passed] == TRADE)[-1:].tolist()
    for trade in trades:
        ((side, ticks, lots),) = tape.rows(trade)
        words.append(
            f"last trade {'BUY' if side > 0 else 'SELL'} {short(grid.qty(lots))} at {short(grid.price(ticks))}"
        )
    return ", ".join(words)


def short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def cuts(tape: Tape, after_us: int, count: int, seed: int, rare: Sequence[int] = ()) -> list[int]:
    """A third each random, before changes of the best prices, and at *rare*."""
    draw = np.random.default_rng(seed)
    changes = tape.event_us[tape.top_event]
    changes = changes[changes > after_us]
    chosen = [us for us in rare if us > after_us][: count // 3]
    at_changes = (count - len(chosen)) // 2 if len(changes) else 0
    anywhere = count - len(chosen) - at_changes
    instants = draw.integers(after_us + 1, max(tape.end_us, after_us + 1) + 1, anywhere).tolist()
    instants += draw.choice(changes, at_changes).tolist() if at_changes else []
    return sorted({*instants, *chosen})


def rare_instants(us: Ints, kinds: NDArray[Any], count: int, seed: int) -> list[int]:
    """Up to *count* instants just behind *us*, each of *kinds* with equal chance."""
    if not len(us):
        return []
    _, of, times = np.unique(kinds, return_inverse=True, return_counts=True)
    chance = 1.0 / times[of]
    drawn = np.random.default_rng(seed).choice(len(us), min(count, len(us)), replace=False, p=chance / chance.sum())
    return list(dict.fromkeys((us[drawn] + AFTER_US).tolist()))


def greatest_moves(tape: Tape, after_us: int, horizons_s: Sequence[float]) -> list[int]:
    """Instants before the largest moves of the mid, one per horizon."""
    both = (tape.top_bid_ticks > 0) & (tape.top_ask_ticks > 0)
    us, mid2 = tape.event_us[tape.top_event][both], (tape.top_bid_ticks + tape.top_ask_ticks)[both]
    first = max(int(np.searchsorted(us, after_us, side="right")), 1)
    if first >= len(us):
        return []
    instants = []
    for horizon_s in horizons_s:
        then = np.searchsorted(us, us[first:] + round(horizon_s * US_PER_S), side="right") - 1
        instants.append(int(us[first + int(np.argmax(np.abs(mid2[then] - mid2[first - 1 : -1])))]))
    return sorted(set(instants))


def greatest_prints(tape: Tape, after_us: int) -> list[int]:
    """Return the instants of the largest print by a buyer and the largest by a seller."""
    late = tape.trades[tape.event_us[tape.trades] > after_us]
    rows = tape.first_row[late]
    instants = []
    for side in (1, -1):
        own = np.flatnonzero(tape.row_side[rows] == side)
        if len(own):
            instants.append(int(tape.event_us[late[own[np.argmax(tape.row_lots[rows[own]])]]]))
    return instants


def _joined(column: NDArray[Any], cut: int, between: NDArray[Any], stop: int) -> NDArray[Any]:
    return np.concatenate([column[:cut], between.astype(column.dtype), column[cut:stop]])


def _at(ticks: Ints) -> Ints:
    return np.maximum(ticks, 1)


def _tops(tape: Tape, events: tuple[int, int], old: Ints, twice: int, times: int) -> dict[str, Any]:
    """Bids and asks are swapped, after the two events that begin the future."""
    first, last = np.searchsorted(tape.top_event, events).tolist()
    past, later = slice(0, first), slice(first, last)
    own: dict[str, Ints] = {"top_event": np.empty(0, np.int64), **{name: np.empty(0, np.int64) for name in _OTHER}}
    if len(old):
        best = {side: _best(old[old[:, 0] == side], side) for side in (1, -1)}
        own["top_event"] = np.array([events[0], events[0] + 1])
        for side, name in ((1, "ask"), (-1, "bid")):  # a bid of the old book is an ask now
            ticks, lots = best[side]
            own[f"top_{name}_ticks"] = np.array([0, max(twice - ticks, 1) if lots else 0])
            own[f"top_{name}_lots"] = np.array([0, lots * times])
    own["top_event"] = np.concatenate(
        [tape.top_event[past], own["top_event"], tape.top_event[later] + len(own["top_event"])]
    )
    for name, other in _OTHER.items():
        column = getattr(tape, other)[later]
        future = np.where(column > 0, _at(twice - column), 0) if name.endswith("ticks") else column * times
        own[name] = np.concatenate([getattr(tape, name)[past], own[name], future])
    return own


def _best(levels: Ints, side: int) -> tuple[int, int]:
    if not len(levels):
        return 0, 0
    _, ticks, lots = max(levels.tolist(), key=lambda level: side * level[1])
    return ticks, lots
