"""The one order of a day's messages: by run and `recv_seq`, or by receive time where a day has no `recv_seq`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm.tape.ledger import LedgerRow
from mm.tape.tables import Ints, Stream

_PER_RUN = 1 << 52  # more than any recv_seq and any instant in µs of this century


@dataclass(frozen=True, slots=True)
class Keys:
    """Sort keys of a day; equal keys are sorted ledger first, then book messages, then trades.

    Attributes:
        ledger, book, trades: One key a row; none falls within a file.
        first_of_run: The least key of each run but the first.
        by_time: The day has no `recv_seq`; it is ordered by receive time.
    """

    ledger: Ints
    book: Ints
    trades: Ints
    first_of_run: tuple[int, ...]
    by_time: bool


def in_order(
    ledger: Sequence[LedgerRow], book: Stream, trades: Stream
) -> tuple[Keys, Stream, Stream, tuple[Ints, Ints]]:
    """Return the keys of a day, both streams in their order, and which rows of each stood behind a later one."""
    by_time = any(len(seq) and seq.min() < 0 for seq in (book.recv_seq, trades.recv_seq, _seqs(ledger)))
    ranks = _run_ranks(ledger, book, trades)
    book_keys = _stream_keys(book, ranks, by_time)
    trade_keys = _stream_keys(trades, ranks, by_time)
    book, book_keys, book_moved = _sorted(book, book_keys)
    trades, trade_keys, trades_moved = _sorted(trades, trade_keys)
    ledger_rank = np.array([ranks.get(row.run_id, 0) for row in ledger], np.int64)
    ledger_place = _rising([row.recv_us for row in ledger]) if by_time else _seqs(ledger)
    keys = Keys(
        ledger=ledger_rank * _PER_RUN + ledger_place,
        book=book_keys,
        trades=trade_keys,
        first_of_run=tuple(rank * _PER_RUN for rank in range(1, max(ranks.values(), default=0) + 1)),
        by_time=by_time,
    )
    return keys, book, trades, (book_moved, trades_moved)


def _run_ranks(ledger: Sequence[LedgerRow], *streams: Stream) -> dict[str, int]:
    """Return the place of each run: as the ledger begins them, then by first arrival; empty where rows name no run."""
    if any(len(stream) and stream.run.min() < 0 for stream in streams):
        return {}
    runs = list(dict.fromkeys(row.run_id for row in ledger))
    arrivals = [
        (int(stream.recv_us[np.argmax(stream.run == code)]), name)
        for stream in streams
        for code, name in enumerate(stream.runs)
    ]
    runs += [name for _, name in sorted(arrivals)]
    return {name: rank for rank, name in enumerate(dict.fromkeys(runs))}


def _stream_keys(stream: Stream, ranks: dict[str, int], by_time: bool) -> Ints:
    place = _rising(stream.recv_us) if by_time else stream.recv_seq
    if not ranks:
        return place
    return np.array([ranks[name] for name in stream.runs] or [0], np.int64)[stream.run] * _PER_RUN + place


def _rising(stamps: Sequence[int] | Ints) -> Ints:
    return np.maximum.accumulate(np.asarray(stamps, np.int64))


def _seqs(ledger: Sequence[LedgerRow]) -> Ints:
    return np.array([row.recv_seq for row in ledger], np.int64)


def _sorted(stream: Stream, keys: Ints) -> tuple[Stream, Ints, Ints]:
    """Return a stream in the order of its keys, and the positions that were behind a later one."""
    misplaced = np.flatnonzero(keys[1:] < keys[:-1]) + 1
    if not len(misplaced):
        return stream, keys, misplaced
    order = np.argsort(keys, kind="stable")
    return stream.taken(order), keys[order], misplaced


def unique_trades(trades: Stream) -> NDArray[np.bool_]:
    """Return which trades come first with their id."""
    kept = np.ones(len(trades), bool)
    if np.any(trades.first_id[1:] <= trades.first_id[:-1]):
        _, first = np.unique(trades.first_id, return_index=True)
        kept[:] = False
        kept[first] = True
    return kept
