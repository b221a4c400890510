# cython: language_level=3
"""Walks over JSON values of any depth: a summary holds a thousand, and each run and each point of a sweep has one."""

from libc.math cimport isfinite
from libc.stdint cimport int64_t

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any


def finite(value: Any) -> Any:
    """Return a JSON value with None for every number that is not finite, at any depth, and lists for tuples."""
    if isinstance(value, float):
        return value if isfinite(<double> value) else None
    if isinstance(value, dict):
        return {name: finite(one) for name, one in (<dict> value).items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return value


def missing(key: str, value: object, reasons: Container[str]) -> list[str]:
    """Return the names of what is None under a *key*: itself, or those of its parts, or of those of its rows.

    A key of *reasons* whose parts are all None stands for them.
    """
    found = []
    _missing(key, value, reasons, found)
    return found


cdef int _missing(object key, object value, object reasons, list found) except -1:
    cdef list names
    if isinstance(value, list):
        names = []
        for one in <list> value:
            if isinstance(one, dict):
                _missing(key, one, reasons, names)
        found += dict.fromkeys(names)
    elif not isinstance(value, dict):
        if value is None:
            found.append(key)
    elif value and key in reasons and _all_none(<dict> value):
        found.append(key)
    else:
        for part, one in (<dict> value).items():
            if one is None or isinstance(one, (dict, list)):
                _missing(f"{key}.{part}", one, reasons, found)
    return 0


cdef bint _all_none(dict value):
    for part in value.values():
        if part is not None:
            return False
    return True


def check(value: object) -> None:
    """Raise TypeError or ValueError with the place of what JSON cannot hold, as a model's own number may be."""
    cdef list place = []
    if not _holds(value, place):
        bad = place.pop(0)
        error = ValueError if isinstance(bad, float) else TypeError
        raise error(f"{'.'.join(map(str, reversed(place)))} is {bad!r}, which JSON cannot hold")


cdef bint _holds(object value, list place) except -1:
    """Return whether JSON can hold a value; else note what it cannot, and the way there from the inside out."""
    cdef int64_t row
    if isinstance(value, float):
        if isfinite(<double> value):
            return True
    elif isinstance(value, dict):
        for name, one in (<dict> value).items():
            if not _holds(one, place):
                place.append(name)
                return False
        return True
    elif isinstance(value, (list, tuple)):
        row = 0
        for one in value:
            if not _holds(one, place):
                place.append(row)
                return False
            row += 1
        return True
    elif value is None or isinstance(value, (str, int)):
        return True
    place.append(value)
    return False
