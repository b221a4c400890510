"""Notes of many days: what is said of several of them, said once."""

import re
from collections.abc import Iterable

_OF_DAY = re.compile(r"(?P<before>.*?)(?P<symbol>\b[^\s:]+ )(?P<day>\d{8}): (?P<text>.*)", re.DOTALL)


def once_for_days(notes: Iterable[str]) -> list[str]:
    """Join the notes that differ only in their day, ``SYMBOL YYYYMMDD: …``, where the first of them is.

    Thirty days have thirty such notes of each kind; a summary keeps them all.
    """
    days: dict[tuple[str, ...], list[str]] = {}
    for note in dict.fromkeys(notes):
        told = _OF_DAY.fullmatch(note)
        key = (told["before"], told["symbol"], told["text"]) if told else (note,)
        days.setdefault(key, []).append(told["day"] if told else "")
    return [_joined(key, named) for key, named in days.items()]


def _joined(key: tuple[str, ...], days: list[str]) -> str:
    if len(key) == 1:
        return key[0]
    before, symbol, text = key
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"
    return f"{before}{symbol}{span}: {text}"
