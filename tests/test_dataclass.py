"""Data classes built from closures behave like those of the standard library, the reference of each test."""

import copy
import dataclasses
import pickle
import re
from dataclasses import FrozenInstanceError, field
from functools import cached_property
from typing import Any

import pytest

from mm.dataclass import dataclass
from support import ROOT

FORMS = [
    {"frozen": True},
    {"frozen": True, "kw_only": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "repr": False},
    {"frozen": True, "eq": False},
    {"frozen": True, "order": True},
    {"slots": True},
    {},
]


class Plain:
    a: int
    b: list[int] = field(default_factory=list, compare=False)
    c: str = field(default="x", repr=False)


class Single:
    a: float


class Empty:
    pass


class OwnMethods:  # noqa: PLW1641 - the hash follows from __eq__
    """Defines its own methods, which must be kept."""

    a: int
    b: int = 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.a == other.a

    def __repr__(self) -> str:
        return f"own {self.a}"


class PostInit:
    a: int
    doubled: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", 2 * self.a)


SHAPES = [(Plain, {"a": 1}), (Single, {"a": 0.5}), (Empty, {}), (OwnMethods, {"a": 1}), (PostInit, {"a": 3})]


def build(decorator: Any, shape: type, form: dict[str, bool]) -> Any:
    """Return a copy of the class *shape*, made a data class by *by*."""
    body = {name: value for name, value in vars(shape).items() if name not in ("__dict__", "__weakref__")}
    body["__annotations__"] = dict(shape.__annotations__) if "__annotations__" in vars(shape) else {}
    return decorator(**form)(type("Made", (), body))


def result(do: Any) -> Any:
    """Return what *do* returns, or the type and message of its exception."""
    try:
        return do()
    except (TypeError, AttributeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize(("shape", "values"), SHAPES, ids=lambda value: getattr(value, "__name__", ""))
def test_class_matches_standard_library_dataclass(form: dict[str, bool], shape: type, values: dict[str, Any]) -> None:
    if form.get("order") and shape is OwnMethods:
        pytest.skip("a class with its own comparison has no order")

    def behaviour(decorator: Any) -> list[Any]:
        cls = build(decorator, shape, form)
        instance, same = cls(**values), cls(**values)
        other = cls(**{name: value + 1 for name, value in values.items()})
        fields = [(each.name, each.repr, each.compare, each.kw_only) for each in dataclasses.fields(cls)]
        # Without its own __repr__, an instance prints its address.
        text = repr(instance) if form.get("repr", True) or shape is OwnMethods else ""
        hashed = result(lambda: hash(instance) == (hash(same) if form.get("eq", True) else object.__hash__(instance)))
        return [
            *(
                text,
                instance == same,
                instance == other,
                instance == values,
                instance != same,
                hashed,
                fields,
                cls.__match_args__,
            ),
            result(lambda: hash(instance) if form.get("eq", True) and form.get("frozen") else None),
            result(lambda: setattr(instance, "a", 7)),
            result(lambda: setattr(instance, "unknown", 7) if form.get("frozen") and not form.get("slots") else None),
            result(lambda: delattr(instance, "a") if form.get("frozen") else None),
            dataclasses.asdict(dataclasses.replace(other, **values)),
            dataclasses.asdict(copy.deepcopy(other)),
            result(lambda: dataclasses.asdict(cls(1, [], "y"))),
            result(lambda: dataclasses.asdict(cls(nothing=1))),
            result(lambda: instance < other),
        ]

    assert behaviour(dataclass) == behaviour(dataclasses.dataclass)


@dataclass(frozen=True)
class Base:
    a: int
    b: int = 2

    @cached_property
    def total(self) -> int:
        return self.a + self.b


@dataclass(frozen=True)
class Derived(Base):
    c: int = 3

    def __post_init__(self) -> None:
        if self.c < 0:
            raise ValueError("c is negative")


def test_derived_class_has_base_fields_first_and_is_frozen() -> None:
    one = Derived(1, c=5)
    assert (one.a, one.b, one.c, one.total) == (1, 2, 5, 3)
    assert repr(one) == "Derived(a=1, b=2, c=5)"
    assert one == Derived(1, c=5)
    assert one != Derived(1, c=6)
    for name in ("a", "b", "c", "total", "other"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(one, name, 0)
    with pytest.raises(ValueError, match="c is negative"):
        Derived(1, c=-1)


def test_instances_of_different_classes_are_unequal() -> None:
    @dataclass(frozen=True)
    class Other(Base):
        pass

    assert Base(1) != Other(1)
    assert Other(1) == Other(1)


def test_frozen_standard_dataclass_can_inherit_from_frozen_base() -> None:
    @dataclasses.dataclass(frozen=True)
    class Standard(Base):
        c: int = 3

    one = Standard(1)
    assert (one.a, one.b, one.c, one == Standard(1, 2, 3), one == Standard(1, 2, 4)) == (1, 2, 3, True, False)
    for name in ("a", "c"):
        with pytest.raises(FrozenInstanceError):
            setattr(one, name, 0)
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):

        @dataclass
        class NotFrozen(Base):
            pass


def test_unpickled_instance_is_equal_and_frozen() -> None:
    one = pickle.loads(pickle.dumps(Base(1, 4)))
    assert one == Base(1, 4)
    with pytest.raises(FrozenInstanceError):
        one.a = 2


def test_mutable_default_raises_value_error() -> None:
    with pytest.raises(ValueError, match="mutable default"):

        @dataclass(frozen=True)
        class Wrong:
            a: list[int] = []  # noqa: RUF012 - the rejected default


def test_only_dataclass_module_uses_standard_decorator() -> None:
    standard_use = re.compile(r"^\s*from dataclasses import .*\bdataclass\b|dataclasses\.dataclass\(", re.MULTILINE)
    sources = [path for path in sorted((ROOT / "mm").rglob("*.py*")) if path.suffix in (".py", ".pyx")]
    found = [
        path.relative_to(ROOT).as_posix() for path in sources if standard_use.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["mm/dataclass.py"]
