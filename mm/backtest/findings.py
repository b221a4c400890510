"""What was mended while a day was read, in words."""

import json
from collections.abc import Iterator, Mapping, Sequence

from mm.backtest.inflate import FileRead
from mm.market_data.layout import DayFolder

_SENTENCES = {
    "id_gaps": "update ids are missing {n} times; the book is void from there to the next snapshot",
    "id_resets": "the exchange began its update ids anew {n} times; the book is void from there to the next snapshot",
    "repeated_diffs": "the update ids of {n} depth messages do not rise; they bring nothing new and were left out",
    "off_tick_left_out": "{n} changes of levels off the tick were left out, as the ledger tells of such levels",
    "snapshots_unused": "{n} snapshots do not meet the depth messages around them and were left out",
    "duplicate_trades": "{n} trades repeat the id of an earlier one and were left out",
    "misplaced": "{n} messages stand behind a later one in their file and were sorted",
    "clock_raised": "the clock had stepped back at {n} messages; each is given the time of the one before it",
    "ordered_by_time": "no recv_seq in some file: messages are ordered by receive time, depth before trades",
}


def sentences(folder: DayFolder, counts: Mapping[str, int], crossed: Sequence[int]) -> Iterator[str]:
    """Yield a warning for each count that a reader should know of.

    Args:
        folder: The day.
        counts: What was counted.
        crossed: `recv_seq` of each message that left the book crossed or locked.
    """
    for name, sentence in _SENTENCES.items():
        if counts[name]:
            yield f"{folder.path}: {sentence.format(n=counts[name])}"
    if crossed:
        numbers = ", ".join(map(str, crossed[:5])) + (", …" if len(crossed) > 5 else "")
        yield (
            f"{folder.path}: {len(crossed)} messages leave the book crossed or locked (recv_seq {numbers}); "
            f"it is void from there to the next snapshot"
        )


def lost_lines(folder: DayFolder, reads: Sequence[FileRead]) -> dict[str, int]:
    """Return how many lines of each damaged file are lost, by its path: by the manifest, else at least the torn one."""
    damaged = [read for read in reads if read.cut_off or read.torn_lines]
    rows = _manifest_rows(folder) if damaged else {}
    lost = {}
    for read in damaged:
        header = 1 if ".csv" in read.path.name else 0
        expected = rows.get(folder.relative(read.path), 0) + header
        lost[str(read.path)] = max(expected - read.lines, read.torn_lines)
    return lost


def lost_sentences(reads: Sequence[FileRead], lost: Mapping[str, int]) -> Iterator[str]:
    """Yield a warning for each damaged file."""
    for read in reads:
        count = lost.get(str(read.path))
        if count is not None:
            how = "ends in the middle of its gzip data" if read.cut_off else "ends in the middle of a line"
            yield f"{read.path}: the file {how}; its {read.lines} whole lines are used, at least {count} lost"


def never_synced(folder: DayFolder, counts: Mapping[str, int]) -> str:
    """Return the message about a day without one valid book."""
    waiting = counts["unsynced_diffs"] + counts["id_gaps"] + counts["id_resets"]
    return (
        f"{folder.path}: the book is never valid: {waiting} depth messages wait for a snapshot, "
        f"{counts['snapshots_unused']} snapshots do not meet them, {counts['crossed']} books are crossed; "
        f"record or import the day with a snapshot"
    )


def _manifest_rows(folder: DayFolder) -> dict[str, int]:
    """Return the rows of each file as a manifest, if there is one that can be read, tells."""
    try:
        files = json.loads(folder.manifest.read_bytes())["files"]
        return {entry["path"]: int(entry["rows"]) for entry in files}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
