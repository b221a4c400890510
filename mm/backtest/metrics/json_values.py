"""JSON values of a summary: what JSON cannot hold, and which numbers are missing."""

import json
import math
from collections.abc import Container
from dataclasses import fields, is_dataclass
from typing import Any


def finite(value: Any) -> Any:
    """Data classes become objects, infinities and NaN None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if is_dataclass(value):
        return {field.name: finite(getattr(value, field.name)) for field in fields(value)}
    return value


def missing(key: str, value: object, reasons: Container[str]) -> list[str]:
    """Dotted names of the None values under *key*.

    A key of *reasons* whose members are all None stands for them.
    """
    if isinstance(value, list):
        names = [name for row in value if isinstance(row, dict) for name in missing(key, row, reasons)]
        return list(dict.fromkeys(names))
    if not isinstance(value, dict):
        return [key] if value is None else []
    if key in reasons and value and all(member is None for member in value.values()):
        return [key]
    inside = ((name, item) for name, item in value.items() if item is None or isinstance(item, dict | list))
    return [path for name, item in inside for path in missing(f"{key}.{name}", item, reasons)]


def check(value: object) -> None:
    """Raise TypeError or ValueError with the path of a value that JSON cannot hold."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        place, bad = _bad_value(value) or ("the object", value)
        raise type(error)(f"{place} is {bad!r}, which JSON cannot hold") from error


def _bad_value(value: object) -> tuple[str, object] | None:
    if isinstance(value, dict | list | tuple):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            if bad_value := _bad_value(item):
                place, bad = bad_value
                return f"{name}.{place}".rstrip("."), bad
        return None
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return "", value
    return None
