"""What a day holds of depth, counted."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class BookCounts:
    """What a day holds: rows stored, and what went wrong by kind."""

    diffs: int = 0
    frames: int = 0
    snapshots: int = 0
    snapshots_refused: int = 0
    gaps: int = 0
    epochs: int = 0
    anomalies: Counter[str] = field(default_factory=Counter)
