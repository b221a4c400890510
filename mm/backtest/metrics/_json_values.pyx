# cython: language_level=3, cdivision=True
"""Recursive passes over JSON values: a summary has about a thousand, and each run and sweep point has a summary."""

from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.math cimport fabs, isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from mm._decimals cimport put_decimal

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

cdef enum:
    LONGEST = 25  # characters of a number


def finite(value: Any) -> Any:
    """Return a JSON value with None in place of every non-finite number, at any depth, and lists in place of tuples."""
    if isinstance(value, float):
        return value if isfinite(<double> value) else None
    if isinstance(value, dict):
        return {name: finite(member) for name, member in (<dict> value).items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def missing(key: str, value: object, reasons: Container[str]) -> list[str]:
    """Return the dotted names that are None under a *key*: the key itself, its members, or the members of its rows.

    A key of *reasons* whose members are all None is reported in their place.
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
    """Raise TypeError or ValueError with the path of a value that JSON cannot represent, e.g. a number of a model."""
    cdef list place = []
    if not _holds(value, place):
        bad = place.pop(0)
        error = ValueError if isinstance(bad, float) else TypeError
        raise error(f"{'.'.join(map(str, reversed(place)))} is {bad!r}, which JSON cannot hold")


cdef bint _holds(object value, list place) except -1:
    """Return whether JSON can represent a value; else append the bad value and its path, inside out, to *place*."""
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


def joined_numbers(values: list[float | None], between: str) -> str:
    """Return numbers as JSON text, each by its ``repr`` and None as ``null``; *between* has up to 8 ASCII characters.

    Numbers of up to 8 decimals and 15 digits, such as money, are formatted as decimals, which equals their ``repr``.

    Raises:
        ValueError: If one is not finite.
    """
    cdef bytes sign = between.encode("ascii"), other
    cdef int64_t width = len(sign)
    cdef bytearray room = bytearray(len(values) * (LONGEST + 8) + 1)
    cdef char* begin = room
    cdef char* end = begin
    cdef char* written
    for one in values:
        if end > begin:
            memcpy(end, <const char*> sign, width)
            end += width
        written = NULL if one is None else put_money(end, one)
        if written is NULL:
            if one is not None and not isfinite(<double> one):
                raise ValueError(f"{one} is not a number that JSON can hold")
            other = b"null" if one is None else repr(one).encode("ascii")
            memcpy(end, <const char*> other, len(other))
            written = end + len(other)
        end = written
    return PyUnicode_DecodeASCII(begin, end - begin, NULL)


cdef char* put_money(char* text, double value) noexcept:
    """Append a number of up to 8 decimals and return the end of the text; return NULL for any other number."""
    cdef double units = fabs(value) * 1e8 + 0.5
    cdef int64_t whole
    if not 1e4 < units < 1e15:  # the ``repr`` of a smaller number has an exponent
        return NULL
    whole = <int64_t> units
    if <double> whole / 1e8 != fabs(value):
        return NULL
    text = put_decimal(text, -whole if value < 0 else whole, 8)
    while text[-1] == 48 and text[-2] != 46:  # trailing zeros, except one right after the point
        text -= 1
    return text
