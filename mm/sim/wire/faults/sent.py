"""What each connection was really sent, faults and all: the other half of the truth."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from mm.sim.wire.stream_messages import Message


class Sent(NamedTuple):
    """One frame that a connection was sent.

    Attributes:
        kind: Of the message; empty for a frame that is none.
        first_id: Of the message, as the client read it unless its text was damaged.
        last_id: Likewise.
        faults: Names of the faults that it went through: with one, its content or its place may be false.
    """

    kind: str
    first_id: int
    last_id: int
    faults: tuple[str, ...]


class SentLog:
    """Everything that one connection was sent, counted; the newest of it, told.

    Args:
        keep: Frames that are told; of older ones only the count is left.

    Attributes:
        counts: Frames by kind.
        frames: The newest, oldest first.
        lost: Messages that faults kept from the connection, by the faults' names.
        depth_ids: U and u of the first depth message, then of the newest; zeros before the first.
    """

    def __init__(self, keep: int) -> None:
        self.counts: Counter[str] = Counter()
        self.frames: deque[Sent] = deque(maxlen=keep)
        self.lost: Counter[str] = Counter()
        self.depth_ids = (0, 0, 0, 0)

    def note(self, out: Message | bytes, faults: Sequence[str]) -> None:
        """Take what was sent."""
        kind, ids = (out.kind, (out.first_id, out.last_id)) if isinstance(out, Message) else ("", (0, 0))
        self.counts[kind] += 1
        self.frames.append(Sent(kind, *ids, tuple(faults)))
        if kind == "depth":
            self.depth_ids = (*(self.depth_ids[:2] if self.depth_ids[1] else ids), *ids)

    def content(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        frames = [one._asdict() for one in self.frames]
        return {"counts": dict(self.counts), "lost": dict(self.lost), "frames": frames}
