"""Settings: the fields of a class, whose types, bounds, units and meanings are their annotations.

``horizon_s: Annotated[float, Meta(gt=0), about("Time left.", unit=SECONDS)] = 30.0`` is read from Python, JSON or text
by msgspec; error, help and documentation follow from it.
"""

import math
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta

from mm.base.knobs import span
from mm.errors import Sentence, UsageError

REQUIRED = NODEFAULT
"""The default of a setting that must be given."""
WORDS = "{words}"  # in a meaning: replaced by the words that the type allows
_NAMES: Mapping[Any, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
    list: "a list",
    Mapping: "an object",
}
_CONTENTS: Mapping[Any, str] = {float: " of numbers", str: " of texts"}


class Unit(NamedTuple):
    """The unit of a setting: its name, and the power of the tick size that converts a price to it."""

    text: str
    power: int


class Setting(NamedTuple):
    """One field.

    Attributes:
        kind: With msgspec's bounds.
        by_run: Set by the run, not the user (``seed``, ``intensity``).
        shown: Type as source text, if `kind` does not say it; values are then unchecked here.
    """

    name: str
    kind: Any
    help: str = ""
    default: Any = REQUIRED
    unit: Unit | None = None
    by_run: bool = False
    shown: str = ""

    @property
    def annotation(self) -> str:
        return self.shown or _source(self.kind)

    def check(self, owner: Sentence | str, value: Any) -> Any:
        """Return *value* as the setting's type (1 as 1.0, numpy scalars as numbers); UsageError with *owner*, name and
        value.
        """
        if self.shown:
            return value
        try:
            return convert(value, self.kind)
        except ValueError as error:
            unit = f", in {self.unit.text}" if self.unit and self.unit.power else ""
            raise UsageError("{}: {} is {!r}; it must be {}{}", owner, self.name, value, error, unit) from None


def about(meaning: str, unit: Unit | None = None, **others: Any) -> Meta:
    """The last meaning of a type counts."""
    return Meta(description=meaning, extra=({} if unit is None else {"unit": unit}) | others)


@cache
def settings(group: type[msgspec.Struct]) -> tuple[Setting, ...]:
    hints = get_type_hints(group, include_extras=True)
    return tuple(_setting(field.name, hints[field.name], field.default) for field in msgspec.structs.fields(group))


def _setting(name: str, kind: Any, default: Any) -> Setting:
    meaning, others = "", dict[str, Any]()
    for meta in getattr(kind, "__metadata__", ()):
        meaning, others = meta.description or meaning, others | (meta.extra or {})
    words = ", ".join(f"`{word}`" for word in get_args(get_args(kind)[0])) if WORDS in meaning else ""
    return Setting(name, kind, meaning.replace(WORDS, words), default, **others)


def convert(value: Any, kind: Any) -> Any:
    """Return *value* as *kind*, with bounds; ValueError says what it must be, also if not finite."""
    try:
        converted = msgspec.convert(value.tolist() if hasattr(value, "tolist") else value, kind)
    except msgspec.ValidationError:
        raise ValueError(wanted(kind)) from None
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError(wanted(kind))
    return converted


def wanted(kind: Any) -> str:
    """In words: "a number above 0 or auto"."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return wanted(parts[0]) + "".join(span(meta.ge, meta.le, meta.gt, meta.lt) for meta in parts[1:])
    if origin is Literal:
        return parts[0] if len(parts) == 1 else f"one of {', '.join(parts)}"
    if origin in (Union, UnionType):
        return " or ".join(map(wanted, parts))
    return _NAMES.get(origin or kind, str(kind)) + (_CONTENTS.get(parts[-1], "") if parts else "")


def _source(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        return _source(parts[0])
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(_source, parts))
    if kind is NoneType:
        return "None"
    return kind.__name__ if isinstance(kind, type) and not parts else str(kind).split(".")[-1]
