"""The ledger of a day: what happened to the recording, and to which ids.

`EVENT_KEYS` is the whole vocabulary; an event of another type, or with other details, cannot be written.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Details = Mapping[str, Any]

_HOLE = ("from_id", "to_id", "from_us", "to_us", "cause")

EVENT_KEYS: dict[str, tuple[str, ...]] = {
    "run_start": ("version", "knobs"),
    "run_stop": ("reason",),
    "crash_recovered": ("previous_run_id",),
    "tail_recovered": ("path", "bytes", "lost_s"),
    "window_start": (),
    "window_end": (),
    "ws_connected": ("url", "conn"),
    "ws_disconnected": ("conn", "code", "reason"),
    "resync_start": ("cause",),
    "resync_done": ("last_update_id",),
    "snapshot_request": ("attempt",),
    "snapshot_loaded": ("last_update_id", "path"),
    "snapshot_failed": ("cause", "http_status"),
    "gap": _HOLE,
    "trade_gap": _HOLE,
    "backfill": ("from_id", "to_id", "rows"),
    "anomaly": ("kind",),
    "stall": ("stream", "silent_s"),
    "clock_step": ("by_us",),
    "clock_offset": ("median_us", "p99_us", "stream"),
    "disk_full": ("errno",),
    "exchange_info": ("status",),
}
"""Event types with the keys of their details. An anomaly may say more than its kind."""

OPEN_ENDED = ("anomaly",)


class Ledger:
    """Number the events of a day and write them, and the gaps file, row by row.

    Args:
        add_event: Takes a line of the events file.
        add_gap: Takes a line of the gaps file; None where the day keeps none.
        run_id: The run that writes.
        next_event_id: The first id to give out; ids count over the day.

    Attributes:
        counts: Events written, by type.
        last: Time and details of the last one of each type.
    """

    def __init__(
        self,
        add_event: Callable[[str], None],
        add_gap: Callable[[str], None] | None,
        run_id: str,
        next_event_id: int,
    ) -> None:
        self._add_event = add_event
        self._add_gap = add_gap
        self._run_id = run_id
        self.next_event_id = next_event_id
        self.counts: Counter[str] = Counter()
        self.last: dict[str, tuple[int, Details]] = {}

    def event(self, recv_us: int, recv_seq: int, kind: str, epoch_id: int, details: Details) -> int:
        """Write one event and return its id; raises ValueError where it is not in the vocabulary."""
        check_details(kind, details)
        event_id, self.next_event_id = self.next_event_id, self.next_event_id + 1
        self.counts[kind] += 1
        self.last[kind] = recv_us, details
        text = _quoted(details)
        self._add_event(f"{event_id},{recv_us // 1000},{recv_seq},{self._run_id},{kind},{epoch_id},{text},{recv_us}\n")
        return event_id

    def gap(self, recv_us: int, recv_seq: int, kind: str, epoch_id: int, details: Details) -> int:
        """Write one event and its row in the gaps file, and return the event's id."""
        event_id = self.event(recv_us, recv_seq, kind, epoch_id, details)
        if self._add_gap:
            self._add_gap(f"{gap_row(recv_us, recv_seq, self._run_id, kind, epoch_id, details)}\n")
        return event_id


def gap_row(recv_us: int, recv_seq: int, run_id: str, kind: str, epoch_id: int, details: Details) -> str:
    """Return the row of the gaps file that repeats an event."""
    return f"{recv_us // 1000},{recv_seq},{run_id},{epoch_id},{kind},{_quoted(details)},{recv_us}"


def check_details(kind: str, details: Details) -> None:
    """Raise ValueError where *kind* is no event type, or *details* has not the keys of its type."""
    keys = EVENT_KEYS.get(kind)
    if keys is None:
        raise ValueError(f"{kind!r} is not an event type; the ledger knows {', '.join(EVENT_KEYS)}")
    missing = [key for key in keys if key not in details]
    unknown = [] if kind in OPEN_ENDED else [key for key in details if key not in keys]
    if missing or unknown:
        raise ValueError(f"event {kind} has the details {list(details)}; its keys are {list(keys)}")


def _quoted(details: Details) -> str:
    """Return *details* as JSON inside one quoted CSV field."""
    return '"' + msgspec.json.encode(details).decode().replace('"', '""') + '"'
