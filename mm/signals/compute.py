"""Signals over a whole tape, event by event, and as a Parquet file."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mm.signals.families import SIGNALS
from mm.signals.micro_price import MicroPriceFit
from mm.tape.columns import GAP

if TYPE_CHECKING:
    from mm.signals.other_feed import OtherFeed
    from mm.tape.tape import Tape

NO_OTHERS: Mapping[str, "OtherFeed"] = {}
PIECE = 1 << 16  # rows in memory at once


class SignalRows(NamedTuple):
    recv_us: NDArray[np.int64]
    recv_seq: NDArray[np.int64]
    values: NDArray[np.float64]


def compute(
    tape: "Tape",
    names: Sequence[str],
    micro_price: MicroPriceFit | None = None,
    piece: int = PIECE,
    *,
    others: Mapping[str, "OtherFeed"] = NO_OTHERS,
) -> Iterator[SignalRows]:
    """Yield at most *piece* rows at a time; *micro_price* None leaves it undefined. UnknownModel or UsageError."""
    signals = SIGNALS.set_of(names, tape.instrument, micro_price, SIGNALS.others(others, names), tape.step_lots)
    event = 0
    while event < len(tape):
        when, values = np.empty((piece, 2), np.int64), np.empty((len(signals.names), piece))
        event, rows = signals.run(tape, event, when, values)
        yield SignalRows(when[:rows, 0], when[:rows, 1], values[:, :rows])


def live(
    tape: "Tape",
    names: Sequence[str],
    micro_price: MicroPriceFit | None = None,
    *,
    others: Mapping[str, "OtherFeed"] = NO_OTHERS,
) -> Iterator[dict[str, float | int | None]]:
    """Yield ``recv_us``, ``recv_seq`` and signals by name for each diff, event by event as in a live market."""

    read = SIGNALS.others({name: feed._replace(tapes=()) for name, feed in others.items()}, names)
    signals = SIGNALS.set_of(names, tape.instrument, micro_price, read, tape.step_lots)
    waiting = {name: _arriving(feed) for name, feed in others.items()}
    columns = (tape.kind, tape.event_us, tape.recv_seq, tape.event_id)
    for event, (kind, us, seq, number) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        for name, events in waiting.items():
            while events and events[0][1] + others[name].delay_us <= us:  # what has arrived before this event
                read.feed(name, [events.popleft()])
        row = signals.feed((kind, us, seq, number, tape.rows(event)))
        if row is not None:
            yield {"recv_us": us, "recv_seq": seq, **row}


def _arriving(feed: "OtherFeed") -> deque[tuple[Any, ...]]:
    events = deque[tuple[Any, ...]]()
    for tape, after in zip(feed.tapes, (*feed.tapes[1:], None), strict=True):
        columns = (tape.kind.tolist(), tape.event_us.tolist(), tape.recv_seq.tolist())
        events += [
            (kind, us, seq, 0, tape.rows(at), 0, 0) for at, (kind, us, seq) in enumerate(zip(*columns, strict=True))
        ]
        if after is None or not after.continues(tape):
            events.append((GAP, tape.end_us + 1, -1, 0, (), 0, 0))
    return events


def write_signals(
    path: Path, names: Sequence[str], pieces: Iterable[SignalRows], about: Mapping[str, Any]
) -> dict[str, int]:
    """Return the number of non-null values of each signal.

    Column metadata are unit, formula and source; file metadata are *about*, JSON under ``mm``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [pa.field("recv_us", pa.int64()), pa.field("recv_seq", pa.int64())]
    for name in names:
        described = SIGNALS.described(name)
        fields.append(
            pa.field(name, pa.float64(), metadata={key: described[key] for key in ("unit", "formula", "source")})
        )
    schema = pa.schema(fields, metadata={"mm": json.dumps(about)})
    known = dict.fromkeys(names, 0)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in pieces:
            columns = [pa.array(piece.recv_us), pa.array(piece.recv_seq)]
            for name, values in zip(names, piece.values, strict=True):
                columns.append(pa.array(values, from_pandas=True))  # converts NaN to null
                known[name] += int(np.count_nonzero(~np.isnan(values)))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return known
