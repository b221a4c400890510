"""Quote models inside quote models, as QUOTE_PARAMS_JSON names them, and the one volatility of the run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mm.backtest.models import QUOTE_MODELS
from mm.backtest.parameters import REQUIRED, VOLATILITY
from mm.errors import UsageError
from mm.plugins import accepted_by, resolve

STEPS = 'QUOTE_PARAMS_JSON: steps takes {"model": [name, {parameters}], "steps": [[name, {parameters}], ...]}'
MIXED = 'QUOTE_PARAMS_JSON: mixed takes {"models": [[name, {parameters}, weight], ...]}'
DEEPEST = 8  # models in models; more is a mistake

Named = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Tree:
    """A quote model that is yet to be made.

    Attributes:
        name: Its name.
        params: Its own parameters, as JSON has them.
        inner: The models inside.
        weights: What each of them weighs, where it is a mixture.
        steps: What is to be put around the inner model, innermost first.
    """

    name: str
    params: Mapping[str, Any]
    inner: tuple["Tree", ...] = ()
    weights: tuple[float, ...] = ()
    steps: tuple[Named, ...] = ()

    @classmethod
    def of(cls, name: str, params: Mapping[str, Any], depth: int = 1) -> "Tree":
        """Read a model and those inside it.

        Raises:
            UsageError: If ``steps`` or ``mixed`` hold something else, or models stand too deep in each other.
        """
        if depth > DEEPEST:
            raise UsageError(f"QUOTE_PARAMS_JSON: models are nested more than {DEEPEST} deep; remove some")
        rest = {key: value for key, value in params.items() if key not in ("model", "models", "steps")}
        if name == "steps" and {"model", "steps"} <= set(params):
            inner = cls.of(*named(params["model"], STEPS), depth + 1)
            return cls(name, rest, (inner,), steps=tuple(named(one, STEPS) for one in listed(params["steps"], STEPS)))
        if name == "mixed" and params.get("models"):
            parts = [_weighed(one) for one in listed(params["models"], MIXED)]
            inners = tuple(cls.of(*part, depth + 1) for part, _ in parts)
            return cls(name, rest, inners, weights=tuple(weight for _, weight in parts))
        return cls(name, params)

    def leaves(self) -> Iterator["Tree"]:
        """Yield the models that hold no others."""
        if not self.inner:
            yield self
        for one in self.inner:
            yield from one.leaves()


def volatility(tree: Tree) -> dict[str, Any]:
    """Return the fields of ``Rules`` that set the volatility of a run of these models.

    A value that one of them is given counts for all; where none is given, their defaults count.

    Raises:
        UsageError: If they want different ones, for one run has one volatility, or a value cannot be.
    """
    found: dict[str, Any] = {}
    leaves = list(tree.leaves())
    for setting in VOLATILITY:
        name = setting.name
        given = [(leaf.name, leaf.params[name]) for leaf in leaves if name in leaf.params]
        wanted = given or [(leaf.name, value) for leaf in leaves for value in _default(leaf, name)]
        for model, value in wanted:
            if value != wanted[0][1]:
                raise UsageError(
                    f"QUOTE_PARAMS_JSON: {name} is {wanted[0][1]!r} for {wanted[0][0]} and {value!r} for {model}; one "
                    f"run has one volatility: name the same {name} for both"
                )
            setting.check("QUOTE_PARAMS_JSON", value)
            found[name] = value
    return found


def _default(leaf: Tree, name: str) -> list[Any]:
    """Return a model's default of a setting, if it looks at the volatility of the run at all."""
    if leaf.params.get("sigma") is not None:
        return []
    accepted, _ = accepted_by(resolve(QUOTE_MODELS, leaf.name, "quote model"))
    return [one.default for one in accepted if one.name == name and one.default is not REQUIRED]


def listed(value: object, shape: str) -> Sequence[object]:
    """Return a value that must be a list; *shape* says what is expected."""
    if not isinstance(value, list):
        raise UsageError(f"{shape}; {value!r} is not a list")
    return value


def named(value: object, shape: str) -> Named:
    """Return a value that must be a name with its parameters; *shape* says what is expected."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        return value[0], value[1]
    raise UsageError(f"{shape}; one is {value!r}")


def _weighed(value: object) -> tuple[Named, float]:
    if not (isinstance(value, list) and len(value) == 3 and type(value[2]) in (int, float)):
        raise UsageError(f"{MIXED}; one is {value!r}")
    return named(value[:2], MIXED), value[2]
