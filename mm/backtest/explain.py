"""Explanation of a fill: the rows of its order, and the tape's events around it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import TAKEN
from mm.clock import US_PER_S, iso
from mm.instrument import e8
from mm.tape._book import CompiledBook
from mm.tape.feed import happened
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from mm.tape.tape import Tape

Row = Mapping[str, str]

WHY = {
    "trade_cross:trade": "a trade of the other side printed at its price or beyond",
    "price_cross:book": "the other side's best price reached its price",
    "queue:trade": "a trade printed at its price after the queue ahead was exhausted, or printed beyond its price",
    "queue:book": "the other side's best price reached its price, so its queue was exhausted",
    "poisson:hazard": "drawn from the fitted intensity: no event of the tape caused it",
    "hawkes:hazard": "drawn from the fitted intensity, raised by earlier orders: no event of the tape caused it",
    TAKEN: "it took liquidity on arrival, from the book before the market moved at that instant",
}
CALLED = {"trade": ", called for a print", "book": ", called after a change of the book"}
PRINTED = ":trade"
REACHING = ("trade_cross:trade", "queue:trade")  # caused by prints of the other side, at the price or beyond
KINDS = {SNAPSHOT: "snapshot", DEPTH: "depth", TRADE: "print", GAP: "gap"}
BEFORE_US = 60 * US_PER_S  # nothing older is shown, however few events there are


@dataclass(frozen=True)
class BookEvent:
    """An event of the tape, and the book after it."""

    event: int
    us: int
    what: str
    bid_ticks: int
    ask_ticks: int
    lots: int


def explain(
    tape: "Tape",
    fill: Row,
    orders: Sequence[Row],
    around: int,
    together: Sequence[Row] = (),
    feed: "Mapping[str, Any] | None" = None,
) -> str:
    """Return the explanation of one fill as text.

    If several prints share its instant (*together* are all fills there), only the single possible cause is named.
    """
    us, price = int(fill["recv_us"]), _short(fill["price"])
    side = 1 if (fill["side"] == "BUY") != (fill["reason"] == TAKEN) else -1
    lines = [
        f"{fill['side']} {_short(fill['qty'])} at {price}, {iso(us)}, order {fill['order_id']}",
        f"{fill['reason']}: {_why(fill['reason'])}",
        "",
        "its order",
        *(f"  {_ago(int(row['recv_us']), us):>12}  {_order_text(row)}" for row in orders),
        "",
        f"the market: best bid and ask, and the displayed quantity at {price} on the {_side(side)} side",
    ]
    ahead = tape.feed_in(feed)
    if ahead is not None:
        tape = happened(tape, ahead, us - BEFORE_US, us + BEFORE_US)
        lines[-1] += ", as at the exchange"
    mark = f"  {'fill':>12}  <- {_short(fill['qty'])} at {price}"
    seen = list(market(tape, us, side, tape.instrument.ticks(fill["price"]), around))
    prints = causing_prints(tape, fill, together or [fill])
    if len(prints) == 1:
        before = sum(row.event <= prints[0] for row in seen)
    else:
        before = sum(row.us < us or (row.us == us and not _came_first(fill, orders)) for row in seen)
        mark += f", by one of {len(prints)} prints of this instant" if prints else ""
    shown = [_line(tape, row, us) for row in seen]
    return "\n".join([*lines, *shown[:before], mark, *shown[before:]])


def causing_prints(tape: "Tape", fill: Row, together: Sequence[Row]) -> list[int]:
    """The prints at a fill's instant that are at least as large.

    An order fills at most once per print, in order, so each fill needs its own print.
    """
    if not fill["reason"].endswith(PRINTED):
        return []
    reaching = list(_reaching(tape, fill))
    printed = [row for row in together if row["reason"].endswith(PRINTED)]
    sizes, nth = [e8(row["qty"]) for row in printed], printed.index(fill)
    first = _needed_prints(reaching, sizes[:nth])
    stop = len(reaching) - _needed_prints(reaching[::-1], sizes[:nth:-1])
    return [event for event, size in reaching[first:stop] if size >= sizes[nth]]


def _reaching(tape: "Tape", fill: Row) -> Iterator[tuple[int, int]]:
    us, side, ticks = int(fill["recv_us"]), 1 if fill["side"] == "BUY" else -1, tape.instrument.ticks(fill["price"])
    for event in range(*np.searchsorted(tape.event_us, (us, us + 1)).tolist()):
        if tape.kind[event] == TRADE:
            ((aggressor, at, lots),) = tape.rows(event)
            if fill["reason"] not in REACHING or (aggressor == -side and side * (at - ticks) <= 0):
                yield event, lots * tape.instrument.lot_e8


def _needed_prints(prints: Sequence[tuple[int, int]], sizes: Sequence[int]) -> int:
    """How many of the first *prints* suffice to assign one to each fill of *sizes*, in order."""
    at = 0
    for size in sizes:
        at = next((place for place in range(at, len(prints)) if prints[place][1] >= size), len(prints)) + 1
    return min(at, len(prints))


def market(tape: "Tape", us: int, side: int, ticks: int, around: int) -> Iterator[BookEvent]:
    changes = tape.kind != KEYFRAME
    at, behind = np.searchsorted(tape.event_us, us, side="left"), np.searchsorted(tape.event_us, us, side="right")
    earlier = np.flatnonzero(changes[:at] & (tape.event_us[:at] >= us - BEFORE_US))[-around:]
    then = at + np.flatnonzero(changes[at:behind])
    later = behind + np.flatnonzero(changes[behind:])[:around]
    wanted = {*earlier.tolist(), *then.tolist(), *later.tolist()}
    if not wanted:
        return
    entries = np.flatnonzero((tape.kind[: min(wanted) + 1] == KEYFRAME) | (tape.kind[: min(wanted) + 1] == SNAPSHOT))
    first = int(entries[-1]) if len(entries) else 0
    book = CompiledBook(max(ticks - (1 << 20), 0), ticks + (1 << 20))
    for event in range(first, max(wanted) + 1):
        kind = int(tape.kind[event])
        if kind == TRADE:
            what = _print(tape, event)
        else:
            apply_event(book, tape, event, whole=kind != DEPTH and (kind != KEYFRAME or event == first))
            what = KINDS.get(kind, "")
        if event in wanted:
            yield BookEvent(event, int(tape.event_us[event]), what, *book.best(), book.lots_at(side, ticks))


def apply_event(book: CompiledBook, tape: "Tape", event: int, *, whole: bool) -> None:
    """A *whole* event replaces the book; otherwise a keyframe changes nothing."""
    if whole:
        book.clear()
    elif tape.kind[event] == KEYFRAME:
        return
    rows = slice(int(tape.first_row[event]), int(tape.first_row[event + 1]))
    book.apply(tape.row_side[rows], tape.row_ticks[rows], tape.row_lots[rows])


def _print(tape: "Tape", event: int) -> str:
    ((side, ticks, lots),) = tape.rows(event)
    grid = tape.instrument
    return f"print {'BUY' if side > 0 else 'SELL'} {_short(grid.qty(lots))} at {_short(grid.price(ticks))}"


def _line(tape: "Tape", seen: BookEvent, us: int) -> str:
    grid = tape.instrument
    bid, ask = (_short(grid.price(ticks)) if ticks else "–" for ticks in (seen.bid_ticks, seen.ask_ticks))
    return f"  {_ago(seen.us, us):>12}  {seen.what:<32} {bid} | {ask}   {_short(grid.qty(seen.lots))}"


def _came_first(fill: Row, orders: Sequence[Row]) -> bool:
    return fill["reason"] == TAKEN and bool(orders) and orders[0]["recv_us"] != fill["recv_us"]


def _why(reason: str) -> str:
    model, _, trigger = reason.partition(":")
    return WHY.get(reason, f"filled by the model {model}{CALLED.get(trigger, '')}")


def _order_text(row: Row) -> str:
    reason = row["reject_reason"] or row["cancel_reason"]
    return f"{row['action']:<12} {row['status']:<10} {_short(row['remaining_qty'])} left  {reason}".rstrip()


def _ago(then_us: int, us: int) -> str:
    return f"{(then_us - us) / US_PER_S:+.6f} s"


def _side(side: int) -> str:
    return "bid" if side > 0 else "ask"


def _short(decimal: str) -> str:
    return decimal.rstrip("0").rstrip(".") or "0"
