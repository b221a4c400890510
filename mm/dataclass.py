"""``dataclass`` as in the standard library, in a fifth of the time: a command imports some eighty frozen classes.

The standard library compiles six functions per frozen class from text, which takes 0.4 ms at import. Here only
``__init__`` is compiled, and the other five are closures, with the same results.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import (
    MISSING,
    FrozenInstanceError,
    asdict,
    astuple,
    field,
    fields,
    is_dataclass,
    make_dataclass,
    replace,
)
from operator import attrgetter
from typing import TYPE_CHECKING, Any

Methods = dict[str, Callable[..., Any]]
__all__ = ["MISSING", "asdict", "astuple", "dataclass", "field", "fields", "is_dataclass", "make_dataclass", "replace"]


def _dataclass(
    cls: type | None = None, /, *, frozen: bool = False, repr: bool = True, eq: bool = True, **settings: bool
) -> Any:
    """Make *cls* a data class; the settings are those of `dataclasses.dataclass`."""
    if cls is None:
        return lambda cls: _dataclass(cls, frozen=frozen, repr=repr, eq=eq, **settings)
    if not frozen or settings.keys() - {"kw_only", "slots"}:
        return dataclasses.dataclass(cls, frozen=frozen, repr=repr, eq=eq, **settings)
    own = set(vars(cls))
    if "__eq__" in own and cls.__hash__ is None:
        own.discard("__hash__")  # Python has added it
    derived = any(map(is_dataclass, cls.__mro__[1:]))
    once = not (derived or settings.get("slots", False))  # its fields are set once, in a ``__dict__``
    made: Any = dataclasses.dataclass(cls, frozen=not once, repr=False, eq=False, **settings)
    made.__dataclass_params__.frozen = True  # `dataclasses.dataclass` lets only frozen classes inherit from these
    methods = _set_once(frozenset(one.name for one in fields(made))) if once else {}
    if repr:
        methods["__repr__"] = _representing([one.name for one in fields(made) if one.repr])
    if eq:
        methods |= _comparing([one.name for one in fields(made) if one.compare])
    for name in methods.keys() - own:
        setattr(made, name, methods[name])
    return made


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass


def _set_once(names: frozenset[str]) -> Methods:
    """Return methods that let ``__init__`` set each of the fields *names* once, and reject any other change."""

    def set_attribute(self: object, name: str, value: object) -> None:
        values = self.__dict__
        if name in values or name not in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        values[name] = value

    def delete_attribute(_self: object, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    return {"__setattr__": set_attribute, "__delattr__": delete_attribute}


def _representing(names: list[str]) -> Callable[[object], str]:
    def represent(self: object) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return represent


def _comparing(names: list[str]) -> Methods:
    """Return methods that compare instances of one class by the values of the fields *names*, and hash these."""

    def few(self: object) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in names)

    values = attrgetter(*names) if len(names) > 1 else few  # for one name it returns no tuple

    def equal(self: object, other: object) -> Any:
        return values(self) == values(other) if type(other) is type(self) else NotImplemented

    def hashed(self: object) -> int:
        return hash(values(self))

    return {"__eq__": equal, "__hash__": hashed}
