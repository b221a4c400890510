"""Points that were played, kept by what they are: the next sweep takes them from here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.whole_file import clear_unfinished, whole_file

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Store:
    """The kept points of one symbol and its days; each is a JSON file named by its key.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    @classmethod
    def of(cls, out_root: Path, symbol: str, label: str) -> "Store":
        """Return the store below *out_root* for a symbol and its days' *label*."""
        return cls(out_root / "points" / symbol / label)

    def find(self, key: str) -> dict[str, Any] | None:
        """Return what is kept under *key*; None where nothing is, or what is there cannot be read as it."""
        found = _read(self.folder / f"{key}.json")
        return found if found is not None and found["key"] == key else None

    def keep(self, key: str, content: dict[str, Any]) -> None:
        """Keep JSON *content* under *key*, whole or not at all."""
        text = json.dumps({"schema_version": SCHEMA_VERSION, "key": key, **content}, allow_nan=False)
        self.write(f"{key}.json", text + "\n")

    def write(self, name: str, text: str) -> Path:
        """Write *text* to a file beside the points, whole or not at all, and return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
        return self.folder / name

    def tidy(self) -> None:
        """Remove what sweeps left that were killed while they kept a point."""
        clear_unfinished(self.folder)

    def every(self) -> Iterator[dict[str, Any]]:
        """Yield all that is kept, in order of its keys."""
        for path in sorted(self.folder.glob("*.json")):
            found = _read(path)
            if found is not None:
                yield found


def _read(path: Path) -> dict[str, Any] | None:
    """Return a kept point; None where there is none, or it is broken: it is played again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] != SCHEMA_VERSION or found["key"] != path.stem:
            return None
        return dict(found) if {"trial", "inputs", "walkforward", "summary", "series"} <= set(found) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
