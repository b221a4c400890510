"""Knobs without effect in a run, refused as flags, noted if exported; and misspelt variables."""

import re
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
# Variables that are no knobs: ours, and of what we call.
_OURS = re.compile(r"BINANCE_([A-Z]+_)?(API_KEY|API_SECRET|PRIVATE_KEY_FILE)|TRADE_PRODUCTION|MM_CONFIG|MM_ENV_FILE")
_OTHERS = re.compile(r"NO_COLOR|TZ|PATH|PYTHON\w+|COMPOSE_\w+|\w+_proxy", re.IGNORECASE)


def misspelt(
    environment: Collection[str],
    known: Collection[str],
    every: Callable[[], Collection[str]],
    listed: Collection[str] = (),
) -> list[str]:
    """Find variables without effect that are nearly ours, and any such of those *listed* in a file of settings.

    Nearly is in another case or with dashes, two letters off, with a suffix, or a beginning or end of ours.
    """
    ours = [name for name in known if "_" in name and len(name) >= SHORTEST]
    nearest = dict[str, str]()
    for name in environment:
        spelt = name.upper().replace("-", "_")
        if name in known:
            continue
        if spelt != name and (spelt in known or _OURS.fullmatch(spelt)):
            nearest[name] = spelt
            continue
        near = [ours_name for ours_name in ours if spelt.startswith(f"{ours_name}_")]
        near += [
            ours_name for ours_name in ours if _may_be_near(spelt, ours_name) and _edits(spelt, ours_name) <= MISSPELT
        ]
        nearest |= {name: min(near, key=partial(_edits, spelt))} if near else {}
        part = [ours_name for ours_name in ours if ours_name.startswith(f"{spelt}_") or ours_name.endswith(f"_{spelt}")]
        if part and "_" in spelt and len(spelt) >= SHORTEST:
            nearest[name] = " or ".join(part)
    unknown = [name for name in listed if not (name in known or _OURS.fullmatch(name) or _OTHERS.fullmatch(name))]
    others = every() if nearest or unknown else ()
    for name in unknown:
        spelt = name.upper().replace("-", "_")
        nearest.setdefault(name, spelt if spelt in others else "")
    return [
        f"{name} has no effect: it is no knob; did you mean {near}?"
        if near
        else f"{name} in the file of variables is no knob, and is only handed on"
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
