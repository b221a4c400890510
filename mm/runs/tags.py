"""Tags and notes on finished runs: one file beside them, as a run's folder is written once."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mm.base.atomic_file import write_atomic
from mm.errors import BrokenFile
from mm.runs.finished import RunFolder

FILE = "run_tags.json"


@dataclass(frozen=True)
class Tagged:
    tags: list[str] = field(default_factory=list)
    note: str = ""


class Tags:
    """The tags and notes of the runs below a folder; BrokenFile if their file cannot be read."""

    def __init__(self, out_root: Path) -> None:
        self._root, self._path = out_root, out_root / FILE
        self._known: dict[str, dict[str, Any]] = {}
        with suppress(FileNotFoundError):
            try:
                self._known = dict(json.loads(self._path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise BrokenFile(f"{self._path}: not a JSON object ({error}); mend or remove it") from error

    def tagged(self, run: RunFolder) -> Tagged:
        entry = self._known.get(self._key(run), {})
        return Tagged(sorted(entry.get("tags", ())), str(entry.get("note", "")))

    def change(
        self, run: RunFolder, add: Iterable[str] = (), remove: Iterable[str] = (), note: str | None = None
    ) -> Tagged:
        before = self.tagged(run)
        after = Tagged(sorted({*before.tags, *add} - set(remove)), before.note if note is None else note)
        self._known[self._key(run)] = {"tags": after.tags, "note": after.note}
        if not after.tags and not after.note:
            del self._known[self._key(run)]
        text = json.dumps(self._known, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write_atomic(self._path, text.encode())
        return after

    def _key(self, run: RunFolder) -> str:
        folder = run.folder.resolve()
        root = self._root.resolve()
        return (folder.relative_to(root) if folder.is_relative_to(root) else folder).as_posix()
