"""Knobs without effect in a run, refused as flags, noted if exported; and misspelt variables."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from mm.base.knobs import shown
from mm.errors import UsageError, parameter
from mm.play.unused_knobs import axes, unused_knobs

if TYPE_CHECKING:
    from mm.runs.manifest import SetKnob

MISSPELT = 2  # letters by which a variable may differ from one of ours and be meant as it
SHORTEST = 8  # letters of a name that is compared


def misspelt(environment: Collection[str], known: Collection[str], every: Callable[[], Collection[str]]) -> list[str]:
    """Find variables without effect that are nearly ours: two letters off, with a suffix, or a beginning."""
    ours = [name for name in known if "_" in name and len(name) >= SHORTEST]
    nearest = dict[str, str]()
    for name in environment:
        if name not in known:
            near = [known_name for known_name in ours if name.startswith(f"{known_name}_")]
            near += [
                known_name
                for known_name in ours
                if _may_be_near(name, known_name) and _edits(name, known_name) <= MISSPELT
            ]
            nearest |= {name: min(near, key=partial(_edits, name))} if near else {}
            begun = [known_name for known_name in ours if known_name.startswith(f"{name}_")]
            if begun and "_" in name and len(name) >= SHORTEST:
                nearest[name] = " or ".join(begun)
    others = every() if nearest else ()
    return [
        f"{name} has no effect: it is no knob; did you mean {near}?"
        for name, near in nearest.items()
        if name not in others
    ]


def _may_be_near(word: str, other: str) -> bool:
    letters, others = set(word), set(other)
    apart = max(abs(len(word) - len(other)), len(letters - others), len(others - letters))
    return apart <= MISSPELT


def _edits(word: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for place, letter in enumerate(word, start=1):
        before, row[0] = row[0], place
        for column, wanted in enumerate(other, start=1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (letter != wanted))
    return row[-1]


def refuse_unused(kind: str, settings: Mapping[str, "SetKnob"]) -> list[str]:
    """Note exported variables that the run does not use; refuse such a flag or grid axis (UsageError)."""
    notes = []
    values = {name: setting.value for name, setting in settings.items()}
    varied = axes(values)
    for name, why in unused_knobs(kind, values):
        setting = settings[name]
        if name in varied:
            raise UsageError("{grid} has the axis {}, but {}; leave it out", name.upper(), why)
        if setting.source == "flag" and not setting.is_default:
            raise UsageError("{} is {}, but {}; leave it out", parameter(name), shown(setting.value), why)
        if setting.source == "environment" and not setting.is_default:
            notes.append(f"{name.upper()}={shown(setting.value)} is not used: {why}")
    return notes
