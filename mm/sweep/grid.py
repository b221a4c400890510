"""Grids: axes with their names and values, and the points that they span."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any, overload

from mm.backtest.account_limits import AccountLimits
from mm.backtest.margin_terms import Margin
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.base.common_knobs import Output
from mm.base.knobs import Knob, axes_of, closest, knobs
from mm.cli.symbol_runs import SHARED
from mm.errors import MMError, UsageError, parameter
from mm.play.knobs import Day, Market, Models, OtherMarkets
from mm.play.names import accepted_by, resolve
from mm.play.setup import AccountSetup, AnySetup, Setup

KNOB, QUOTE, FILL, LIMIT = "knob", "quote", "fill", "limit"
FLAG = parameter("grid")
_SWEPT: Mapping[str, Knob] = {
    knob.variable: knob for group in (Execution, Account, Margin, Models, Risk) for knob in knobs(group)
}
_LIMITS: Mapping[str, Knob] = {knob.variable: knob for knob in knobs(AccountLimits)}
_FIXED = {knob.variable for group in (Day, Market, OtherMarkets, Output) for knob in knobs(group)}
_PARAMETERS = {"QUOTE": QUOTE, "FILL": FILL}
# Assumptions of the user, not choices: a sweep over one shows how strongly a result depends on it.
_FILLS = {"FILL_MODEL", "FILL_PARAMS_JSON", "FILL_PARAMS_FILE", "FILL_PER_SIDE"}
_ASSUMED = _FILLS | {
    "FIT_DRAWS",
    "ORDER_LATENCY_MS",
    "CANCEL_LATENCY_MS",
    "LATENCY_FILE",
    "FEED_LATENCY",
    "MAKER_FEE_RATE",
    "TAKER_FEE_RATE",
    "SEED",
}
MOST_POINTS = 20_000
NEAREST = 3  # names that a misspelt axis is told
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
RANGE = re.compile(r"([-+]?[\d.]+(?:e[-+]?\d+)?)\.\.([-+]?[\d.]+(?:e[-+]?\d+)?)", re.IGNORECASE)
"""Two ends of a range, as a search takes it: ``0.01..1``."""
_OTHER_RANGE = re.compile(rf"({_NUMBER})(?:…|-|(?::{_NUMBER})?:)({_NUMBER})", re.IGNORECASE)
_SPACED = re.compile(rf"{_NUMBER}(?:\s*[\s|/]\s*{_NUMBER})+", re.IGNORECASE)


@dataclass(frozen=True)
class Axis:
    """One axis of a grid.

    Attributes:
        name: A knob's variable or a model's parameter, for one symbol of an account after the symbol and a dot.
        kind: ``knob``, ``quote`` or ``fill``; ``limit`` of an account.
        key: The knob's field, or the model's parameter.
        by_symbol: In the grid of an account: the axis of each symbol that it sets.
    """

    name: str
    kind: str
    key: str
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    by_symbol: "Mapping[str, Axis]" = field(default_factory=dict)

    @property
    def assumed(self) -> bool:
        """Whether it is an assumption about market or account, not a choice."""
        return self.kind == FILL or self._variable in _ASSUMED

    @property
    def fills(self) -> bool:
        return self.kind == FILL or self._variable in _FILLS

    @property
    def _variable(self) -> str:
        return next((axis.name for axis in self.by_symbol.values()), self.name)


Chosen = list[tuple[Axis, int]]
Written = Sequence[tuple[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Params:
    names: frozenset[str]
    free: bool

    def spelling(self, word: str) -> str | None:
        alike = [name for name in sorted(self.names) if name.lower() == word.lower()]
        return word if word in self.names else alike[0] if alike else None


def axes_for(text: str, base: AnySetup) -> list[Axis]:
    """The models of *base* are used unless an axis names others; UsageError for an invalid axis."""
    written = axes_of(text)
    for name, texts in written:
        if len(texts) == 1 and RANGE.fullmatch(texts[0]):
            raise UsageError(
                "{}: {}={} is a range, which a grid does not have; give {search} N to search it in N points, or list "
                "its values, {}=A,B,…",
                FLAG,
                name,
                texts[0],
                name,
            )
    return axes_from(written, base)


def axes_from(written: Written, base: AnySetup) -> list[Axis]:
    return _axes_of_account(written, base) if isinstance(base, AccountSetup) else _axes(written, base.models)


def _axes_of_account(written: Written, base: AccountSetup) -> list[Axis]:
    """An axis sets all symbols, or the one before its dot, or a limit of the account."""
    named = [(*_owner(name, base.setups), texts) for name, texts in written]
    of_symbol = {
        symbol: iter(_axes([(name, texts) for owner, name, texts in named if owner in ("", symbol)], setup.models))
        for symbol, setup in base.setups.items()
    }
    axes = list[Axis]()
    for owner, name, texts in named:
        if owner == LIMIT:
            knob = _LIMITS[name]
            axes.append(Axis(name, LIMIT, knob.name, tuple(_read(knob, text) for text in texts), texts))
            continue
        each = {symbol: next(own) for symbol, own in of_symbol.items() if owner in ("", symbol)}
        first = next(iter(each.values()))
        axes.append(replace(first, name=f"{owner}.{first.name}" if owner else first.name, by_symbol=each))
    return axes


def _owner(name: str, symbols: Collection[str]) -> tuple[str, str]:
    """Split an axis's name into the symbol that it sets (``limit`` for the account, empty for all symbols) and the
    rest.
    """
    owner, _, rest = name.partition(".")
    if owner.upper() in symbols:
        if rest.upper() in SHARED:
            raise UsageError(
                f"{FLAG}: one account has one {rest.upper()} for all its symbols; give it without {owner}."
            )
        return owner.upper(), rest
    return (LIMIT, name.upper()) if name.upper() in _LIMITS else ("", name)


def _axes(written: Written, models: Models) -> list[Axis]:
    playing = {
        QUOTE: _playing(written, "QUOTE_MODEL", models.quote_model),
        FILL: _playing(written, "FILL_MODEL", models.fill_model),
    }
    axes: list[Axis] = []
    for name, texts in written:
        axis = _axis(name, texts, playing)
        for other in axes:
            if (other.kind, other.key) == (axis.kind, axis.key):
                raise UsageError(f"{FLAG}: axis {axis.name} was given twice; give it once, with all its values")
        axes.append(axis)
    return axes


def params_of(kind: str, model: str) -> Params:
    accepted, free = accepted_by(resolve(QUOTE_MODELS if kind == QUOTE else FILL_MODELS, model, f"{kind} model"))
    return Params(frozenset(setting.name for setting in accepted), free)


def _playing(written: Written, variable: str, given: str) -> dict[str, Params]:
    kind = QUOTE if variable == "QUOTE_MODEL" else FILL
    names = next((texts for name, texts in written if name.upper() == variable), (given,))
    return {name: params_of(kind, name) for name in names}


def _axis(name: str, texts: tuple[str, ...], playing: Mapping[str, Mapping[str, Params]]) -> Axis:
    variable = name.upper()
    if variable in _SWEPT:
        knob = _SWEPT[variable]
        return Axis(variable, KNOB, knob.name, tuple(_read(knob, text) for text in texts), texts)
    if variable in _FIXED:
        raise UsageError(
            f"{FLAG}: {variable} cannot be an axis, because all points must use one tape; give it as a knob"
        )
    place, dot, key = name.partition(".")
    if dot and place.upper() in _PARAMETERS:
        kind = _PARAMETERS[place.upper()]
        name, key = f"{place.upper()}.{key}", _spelled(key, kind, playing[kind], name)
    else:
        kind, key = _find_parameter(name, playing)
        name = variable
    return Axis(name, kind, key, tuple(map(_value, texts)), texts)


def _read(knob: Knob, text: str) -> Any:
    try:
        return knob.read(text)
    except UsageError as error:
        raise UsageError(f"{FLAG}: {error}{_hint(knob.variable, text)}") from error


def _find_parameter(name: str, playing: Mapping[str, Mapping[str, Params]]) -> tuple[str, str]:
    matches = {
        kind: next((spelled for params in models.values() if (spelled := params.spelling(name))), None)
        for kind, models in playing.items()
    }
    quote, fill = matches[QUOTE], matches[FILL]
    if quote and fill:
        raise UsageError(f"{FLAG}: {name} is a parameter of quotes and of fills; write QUOTE.{quote} or FILL.{fill}")
    if quote or fill:
        return (QUOTE, quote) if quote else (FILL, str(fill))
    parameters = {
        parameter.upper() for models in playing.values() for params in models.values() for parameter in params.names
    }
    near = closest(name.upper(), [*_SWEPT, *parameters], NEAREST)
    listing = " and ".join(f"mm models {model}" for models in playing.values() for model in models)
    raise UsageError(
        f"{FLAG}: {name} is neither a knob nor a parameter of the models{near or ';'} "
        f"mm backtest --help-all lists knobs, {listing} parameters"
    )


def _spelled(word: str, kind: str, models: Mapping[str, Params], name: str) -> str:
    for params in models.values():
        if spelled := params.spelling(word):
            return spelled
    if any(params.free for params in models.values()):
        return word
    known = [parameter for params in models.values() for parameter in sorted(params.names)]
    raise UsageError(f"{FLAG}: no model takes {name}; {_listed(kind, models)}{closest(word, known)}")


def _listed(kind: str, models: Mapping[str, Params]) -> str:
    each = (f"{model} takes {', '.join(sorted(params.names)) or 'none'}" for model, params in models.items())
    return f"{kind} model {', '.join(each)}"


def _value(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


@dataclass(frozen=True)
class Point:
    number: int
    texts: dict[str, str]
    setup: Setup


@dataclass(frozen=True)
class AccountPoint:
    number: int
    texts: dict[str, str]
    setup: AccountSetup

    def of_symbol(self, symbol: str) -> Point:
        return Point(self.number, self.texts, self.setup.setups[symbol])


AnyPoint = Point | AccountPoint


@overload
def points_of(axes: Sequence[Axis], base: Setup, unfit: str) -> list[Point]: ...
@overload
def points_of(axes: Sequence[Axis], base: AccountSetup, unfit: str) -> list[AccountPoint]: ...
def points_of(axes: Sequence[Axis], base: AnySetup, unfit: str) -> list[Point] | list[AccountPoint]:
    """Points around *base*; UsageError if one is invalid, or there are too many; *unfit*: ``refuse`` or
    ``leave_out``.
    """
    size = prod(len(axis.values) for axis in axes)
    if size > MOST_POINTS:
        raise UsageError(f"{FLAG}: {size:,} points, more than the {MOST_POINTS:,} of one sweep; give fewer values")
    accepted: dict[tuple[str, str], Params] = {}
    points, of_account = list[Point](), list[AccountPoint]()
    for number, places in enumerate(product(*(range(len(axis.values)) for axis in axes)), start=1):
        chosen = list(zip(axes, places, strict=True))
        try:
            if isinstance(base, AccountSetup):
                account, texts = _varied_account(chosen, base, unfit, accepted)
                of_account.append(AccountPoint(number, texts, account))
            else:
                setup, texts = _varied(chosen, base, unfit, accepted)
                points.append(Point(number, texts, setup))
        except MMError as error:
            raise invalid_point({axis.name: axis.texts[place] for axis, place in chosen}, error) from error
    return of_account or points


def invalid_point(texts: Mapping[str, str], error: MMError) -> UsageError:
    named, hint = " ".join(f"{name}={text}" for name, text in texts.items()), "".join(map(_hint, texts, texts.values()))
    return UsageError(f"{FLAG}: the point {named} is invalid: {error}{hint}")


def _hint(name: str, text: str) -> str:
    """What may have been meant by a value that looks like a range, or like several; empty otherwise."""
    if (ends := _OTHER_RANGE.fullmatch(text)) is not None:
        return f"; list the values, {name}=A,B,…, or give --search N with {name}={'..'.join(ends.groups())}"
    if _SPACED.fullmatch(text):
        return f"; commas divide values: {name}={','.join(re.findall(_NUMBER, text, re.IGNORECASE))}"
    return ""


def _varied_account(
    chosen: Chosen, base: AccountSetup, unfit: str, accepted: dict[tuple[str, str], Params]
) -> tuple[AccountSetup, dict[str, str]]:
    setups, fitting = dict[str, Setup](), set[str]()
    for symbol, setup in base.setups.items():
        own = {axis.name: (axis.by_symbol[symbol], place) for axis, place in chosen if symbol in axis.by_symbol}
        setups[symbol], texts = _varied(list(own.values()), setup, unfit, accepted)
        fitting |= {name for name, (axis, _) in own.items() if texts[axis.name]}
    limits = {axis.key: axis.values[place] for axis, place in chosen if axis.kind == LIMIT}
    account = replace(base, setups=setups, limits=replace(base.limits, **limits))
    return account, {
        axis.name: axis.texts[place] if axis.name in fitting or axis.kind == LIMIT else "" for axis, place in chosen
    }


def _varied(
    chosen: Chosen, base: Setup, unfit: str, accepted: dict[tuple[str, str], Params]
) -> tuple[Setup, dict[str, str]]:
    """Knobs of a point, and the texts of its axes, empty where its model lacks the parameter."""
    values = {axis.key: axis.values[place] for axis, place in chosen if axis.kind == KNOB}
    groups: dict[str, Any] = {
        name: replace(getattr(base, name), **_fields_of(getattr(base, name), values))
        for name in ("execution", "account", "margin", "risk")
    }
    models, texts = base.models, {}
    own = _fields_of(models, values)
    params = {QUOTE: _params(own, "quote_params_json", models), FILL: _params(own, "fill_params_json", models)}
    named = {QUOTE: own.get("quote_model", models.quote_model), FILL: own.get("fill_model", models.fill_model)}
    for axis, place in chosen:
        texts[axis.name] = axis.texts[place]
        if axis.kind == KNOB:
            continue
        model = named[axis.kind]
        if (axis.kind, model) not in accepted:
            accepted[axis.kind, model] = params_of(axis.kind, model)
        taken = accepted[axis.kind, model]
        if taken.free or axis.key in taken.names:
            params[axis.kind][axis.key] = axis.values[place]
        elif unfit == "refuse":
            raise UsageError(
                "{} model {} takes no {}; it takes {}; {grid_unfit} leave_out runs such models without the axis",
                axis.kind,
                model,
                axis.key,
                ", ".join(sorted(taken.names)) or "none",
            )
        else:
            texts[axis.name] = ""
    own |= {
        f"{kind}_params_json": json.dumps(values, sort_keys=True) if values else None for kind, values in params.items()
    }
    return replace(base, **groups, models=replace(models, **own)), texts


def _fields_of(group: object, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in vars(group)}


def _params(own: dict[str, Any], name: str, models: object) -> dict[str, Any]:
    return dict(json.loads(own.get(name, getattr(models, name)) or "{}"))
