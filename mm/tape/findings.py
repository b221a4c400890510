"""What was mended while a day was read, in words."""

import json
from collections.abc import Iterator, Mapping, Sequence

from mm.dayfolder.layout import DayFolder
from mm.tape.inflate import FileRead
from mm.tape.places import Place, told

# What is said of each count. One warning tells a whole group: a message out of its turn repeats ids and leaves a hole.
_SENTENCES: tuple[dict[str, str], ...] = (
    {
        "id_gaps": "update ids are missing {n} times{at}; the book is void from there to the next snapshot",
        "id_resets": (
            "the exchange began its update ids anew {n} times{at}; the book is void from there to the next snapshot"
        ),
        "repeated_diffs": (
            "the update ids of {n} depth messages do not rise{at}; they bring nothing new and were left out"
        ),
    },
    {"off_tick_left_out": "{n} changes of levels off the tick{at} were left out, as the ledger tells of such levels"},
    {"snapshots_unused": "{n} snapshots{at} do not meet the depth messages around them and were left out"},
    {"duplicate_trades": "{n} trades repeat the id of an earlier one{at} and were left out"},
    {"misplaced": "{n} messages stand behind a later one in their file{at} and were sorted"},
    {"clock_raised": "the clock had stepped back at {n} messages{at}; each is given the time of the one before it"},
    {"ordered_by_time": "no recv_seq in some file: messages are ordered by receive time, depth before trades"},
    {"crossed": "{n} messages leave the book crossed or locked{at}; it is void from there to the next snapshot"},
)


def sentences(folder: DayFolder, counts: Mapping[str, int], places: Mapping[str, list[Place]]) -> Iterator[str]:
    """Yield a warning for each fault that a reader should know of, which begins with the file it was first met in.

    Args:
        folder: The day.
        counts: What was counted.
        places: Where the first few of each count are.
    """
    for group in _SENTENCES:
        names = [name for name in group if counts[name]]
        if names:
            there = places.get(names[0])
            parts = [group[name].format(n=counts[name], at=_at(counts[name], places.get(name))) for name in names]
            yield f"{there[0].path if there else folder.path}: {'; '.join(parts)}"


def _at(count: int, places: list[Place] | None) -> str:
    if not places:
        return ""
    return f" ({told(places)}{', …' if count > len(places) else ''})"


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
