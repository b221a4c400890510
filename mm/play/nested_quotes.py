"""Nested quote models of QUOTE_PARAMS_JSON, and the volatility of the run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mm.backtest.models import QUOTE_MODELS
from mm.backtest.parameters import VOLATILITY
from mm.base.knobs import REQUIRED
from mm.errors import Sentence, UsageError, parameter
from mm.play.names import accepted_by, resolve

STEPS = Sentence(
    '{quote_params_json}: steps takes {{"model": [name, {{parameters}}], "steps": [[name, {{parameters}}], ...]}}'
)
MIXED = Sentence('{quote_params_json}: mixed takes {{"models": [[name, {{parameters}}, weight], ...]}}')
DEEPEST = 8  # levels of nested models; more is a mistake

Named = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Tree:
    name: str
    params: Mapping[str, Any]
    inner: tuple["Tree", ...] = ()
    weights: tuple[float, ...] = ()
    steps: tuple[Named, ...] = ()

    @classmethod
    def parsed(cls, name: str, params: Mapping[str, Any], depth: int = 1) -> "Tree":
        if depth > DEEPEST:
            raise UsageError("{quote_params_json}: models are nested more than {} deep; remove some", DEEPEST)
        rest = {key: value for key, value in params.items() if key not in ("model", "models", "steps")}
        if name == "steps" and {"model", "steps"} <= set(params):
            inner = cls.parsed(*named(params["model"], STEPS), depth + 1)
            return cls(name, rest, (inner,), steps=tuple(named(step, STEPS) for step in listed(params["steps"], STEPS)))
        if name == "mixed" and params.get("models"):
            parts = [_weighted(model) for model in listed(params["models"], MIXED)]
            inners = tuple(cls.parsed(*part, depth + 1) for part, _ in parts)
            return cls(name, rest, inners, weights=tuple(weight for _, weight in parts))
        return cls(name, params)

    def leaves(self) -> Iterator["Tree"]:
        if not self.inner:
            yield self
        for inner in self.inner:
            yield from inner.leaves()


def volatility(tree: Tree) -> dict[str, Any]:
    values: dict[str, Any] = {}
    leaves = list(tree.leaves())
    for setting in VOLATILITY:
        name = setting.name
        given = [(leaf.name, leaf.params[name]) for leaf in leaves if name in leaf.params]
        wanted = given or [(leaf.name, value) for leaf in leaves for value in _default(leaf, name)]
        for model, value in wanted:
            if value != wanted[0][1]:
                raise UsageError(
                    "{quote_params_json}: {} is {!r} for {} and {!r} for {}; one run has one volatility: give the "
                    "same {} for both",
                    name,
                    wanted[0][1],
                    wanted[0][0],
                    value,
                    model,
                    name,
                )
            setting.check(parameter("quote_params_json"), value)
            values[name] = value
    return values


def _default(leaf: Tree, name: str) -> list[Any]:
    if leaf.params.get("sigma") is not None:
        return []
    accepted, _ = accepted_by(resolve(QUOTE_MODELS, leaf.name, "quote model"))
    return [setting.default for setting in accepted if setting.name == name and setting.default is not REQUIRED]


def listed(value: object, shape: Sentence) -> Sequence[object]:
    if not isinstance(value, list):
        raise UsageError(f"{shape}; {value!r} is not a list")
    return value


def named(value: object, shape: Sentence) -> Named:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        return value[0], value[1]
    raise UsageError(f"{shape}; an entry is {value!r}")


def _weighted(value: object) -> tuple[Named, float]:
    if not (isinstance(value, list) and len(value) == 3 and type(value[2]) in (int, float)):
        raise UsageError(f"{MIXED}; an entry is {value!r}")
    return named(value[:2], MIXED), value[2]
