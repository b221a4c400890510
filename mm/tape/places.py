"""Where in the files of a day something was found, as a warning names it."""

from pathlib import Path
from typing import NamedTuple

FEW = 3
"""How many places of one fault are named; the others are counted."""


class Place(NamedTuple):
    """A file, and in words what to look for in it."""

    path: Path
    what: str


class Event(NamedTuple):
    """What names an event of a tape: its kind, and as its columns say recv_seq, id and instant."""

    kind: int
    recv_seq: int
    last_id: int
    recv_us: int


def named(recv_seq: int, last_id: int, recv_us: int) -> str:
    """Return the best name that a message has: its `recv_seq`, else its id, else its instant."""
    if recv_seq >= 0:
        return f"recv_seq {recv_seq}"
    return f"id {last_id}" if last_id > 0 else f"recv_us {recv_us}"


def told(places: list[Place]) -> str:
    """Return *places* in one clause; those in another file than the first say in which."""
    return ", ".join(
        place.what if place.path == places[0].path else f"{place.what} of {place.path.name}" for place in places
    )
