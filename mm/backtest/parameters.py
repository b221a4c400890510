"""Declarations of models: name, parameters, volatility settings and known bias.

A declaration is the attribute ``declared`` of a class, or decorates the function that builds the model. Everything else
is derived from it: the keys of QUOTE_PARAMS_JSON and FILL_PARAMS_JSON and their checks, the type stubs, the tables of
docs/configuration.md, and the parameters in a summary.

Prices are in ticks, time in seconds, inventory in clips. A key that names another unit (``gamma_usd``,
``k_per_price``, ``sigma_pct``, ``horizon_ms``) is rejected with the conversion to the unit used here.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from mm.backtest.rules import SIGMA_METHODS
from mm.errors import UsageError

AUTO = "auto"
TOUCH = "touch"
REQUIRED = inspect.Parameter.empty
LONGEST_S = 1_000_000  # upper bound of the windows of a volatility
LARGEST_TICKS = 1e9  # upper bound of distances; beyond it prices lose whole ticks
Made = TypeVar("Made", bound=Callable[..., Any])


class Unit(NamedTuple):
    """The unit of a parameter: its name, and the power of the tick size that converts a price to it."""

    text: str
    power: int


class Check(NamedTuple):
    """A condition on a value: the text after "it must", and the test."""

    text: str
    holds: Callable[[Any], bool]


NUMBER, PER_S, SECONDS, CLIPS = Unit("–", 0), Unit("1/s", 0), Unit("s", 0), Unit("clips", 0)
TICKS, TICKS_PER_CLIP, TICKS_PER_S = Unit("ticks", -1), Unit("ticks/clip", -1), Unit("ticks/s", -1)
PER_TICK, PER_TICK_CLIP = Unit("1/tick", 1), Unit("1/(tick·clip)", 1)
TICKS_PER_ROOT_S, TICKS_PER_CLIP_S = Unit("ticks/√s", -1), Unit("ticks/(clip·s)", -1)

ABOVE_0 = Check("be above 0", lambda value: 0.0 < value < math.inf)
NOT_NEGATIVE = Check("be 0 or more", lambda value: 0.0 <= value < math.inf)
DISTANCE = Check("be 0 or more", lambda value: 0.0 <= value < LARGEST_TICKS)
ANY_TICKS = Check("be a number of ticks", lambda value: -LARGEST_TICKS < value < LARGEST_TICKS)


def one_of(*options: str) -> Check:
    """Return the check that a value is one of *options*."""
    return Check(f"be one of {', '.join(options)}", lambda value: value in options)


@dataclass(frozen=True)
class Parameter:
    """One argument of a model.

    Attributes:
        name: Its name, and its key in JSON.
        kind: Its type, as in an annotation; a string names a class of the project, which JSON cannot hold.
        help: Its meaning, one sentence.
        default: ``REQUIRED`` if there is none.
        unit: None if it has none; keys are then not checked for other units.
        must: Condition on its value; None is not checked.
        by_run: Whether the run sets it instead of the user (``seed``, ``intensity``).
    """

    name: str
    kind: Any
    help: str
    default: Any = REQUIRED
    unit: Unit | None = None
    must: Check | None = None
    by_run: bool = False

    def by_default(self, value: Any, text: str | None = None) -> "Parameter":
        """Return the same parameter with another default and help *text*; None is allowed only as the default."""
        kind = float if self.kind == float | None and value is not None else self.kind
        return replace(self, kind=kind, default=value, help=text or self.help)

    def means(self, text: str) -> "Parameter":
        """Return the same parameter with another help *text*."""
        return replace(self, help=text)

    def check(self, owner: str, value: Any) -> None:
        """Raise UsageError for an invalid value; a default of None is not checked.

        Raises:
            UsageError: With the *owner*, the name and the value.
        """
        if self.must is None or (value is None and self.default is None):
            return
        if not self.must.holds(value):
            raise UsageError(f"{owner}: {self.name} is {value!r}; it must {self.must.text}")

    @property
    def annotation(self) -> str:
        """The type as source text."""
        if isinstance(self.kind, str):
            return self.kind
        return self.kind.__name__ if isinstance(self.kind, type) else str(self.kind).replace("collections.abc.", "")


@dataclass(frozen=True)
class Declaration:
    """Parameters and known properties of a model; as a decorator it declares the parameters of a function.

    Attributes:
        name: Name of the model in registries and results.
        parameters: Constructor parameters, in the order in which messages list them.
        volatility: Volatility settings of the run that its keys may include; empty if it does not use the volatility.
        bias: The known bias of a fill model, one sentence.
    """

    name: str
    parameters: tuple[Parameter, ...] = ()
    volatility: tuple[Parameter, ...] = ()
    bias: str | None = None

    def __call__(self, function: Made) -> Made:
        """Declare the parameters of *function*, and return it."""
        function.declared = self  # type: ignore[attr-defined]
        function.__signature__ = self.signature  # type: ignore[attr-defined]
        return function

    @cached_property
    def keys(self) -> tuple[Parameter, ...]:
        """Parameters that a user may give in JSON."""
        return tuple(key for key in (*self.parameters, *self.volatility) if not key.by_run)

    @cached_property
    def signature(self) -> inspect.Signature:
        """Signature of the constructor."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature(
            [inspect.Parameter(p.name, keyword, default=p.default, annotation=p.annotation) for p in self.parameters]
        )

    def settle(self, given: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
        """Return the value of each parameter: the given one, or its default.

        Args:
            given: The arguments of a call.
            name: The model's name in messages; None is the declared one.

        Raises:
            TypeError: If one is unknown, or a required one is missing.
            UsageError: If a value is invalid.
        """
        try:
            bound = self.signature.bind(**given)
        except TypeError as error:
            raise TypeError(f"{name or self.name}: {error}") from None
        bound.apply_defaults()
        values = bound.arguments
        for one in self.parameters:
            if one.kind in (float, float | None) and type(values[one.name]) is int:
                values[one.name] = float(values[one.name])
            if one.kind is int and isinstance(values[one.name], float):
                raise UsageError(f"{name or self.name}: {one.name} is {values[one.name]}; it must be a whole number")
            one.check(name or self.name, values[one.name])
        return dict(values)


def declaration_of(build: object) -> Declaration | None:
    """Return the declaration of a class or a function; None for a user's class, even if its base has one."""
    found = vars(build).get("declared") if hasattr(build, "__dict__") else None
    return found if isinstance(found, Declaration) else None


def name_of(kind: type) -> str:
    """Return the name of a model class in results: its declared name, or the name of the class."""
    found = getattr(kind, "declared", None)
    return found.name if isinstance(found, Declaration) else kind.__name__


# Parameters shared by several models, with the same meaning everywhere.
GAMMA = Parameter(
    "gamma",
    float | str,
    "Risk aversion γ; `auto` follows from σ, k and `horizon_s`.",
    AUTO,
    PER_TICK_CLIP,
    Check(
        "be above 0, in 1/(tick·clip), or auto",
        lambda value: value == AUTO or (type(value) in (int, float) and 0.0 < value < math.inf),
    ),
)
SKEW_SHARE = Parameter(
    "skew_share",
    float,
    "Target of `auto`: the share of the half-spread by which one clip moves the reservation price.",
    0.1,
    Unit("a share of the half-spread", 0),
    Check("be above 0 and at most 1", lambda value: 0.0 < value <= 1.0),
)
DECAY = Parameter(
    "k",
    float | None,
    "Decay of the fill intensity; default: the value of FILL_PARAMS_FILE at each instant, else 1 with a warning.",
    None,
    PER_TICK,
    ABOVE_0,
)
DECAY_OR_TOUCH = Parameter(
    "k",
    float | str | None,
    "Decay of the fill intensity; default: the value of FILL_PARAMS_FILE at each instant, else 1 with a warning. "
    "`touch`: from the spread, so that quotes without inventory join the best prices.",
    None,
    PER_TICK,
    Check(
        "be above 0, in 1/tick, or touch",
        lambda value: value == TOUCH or (type(value) in (int, float) and 0.0 < value < math.inf),
    ),
)
RATE = Parameter(
    "A",
    float | None,
    "Fills per second of one order at the mid, on one side; default: the value of FILL_PARAMS_FILE at each instant.",
    None,
    PER_S,
    ABOVE_0,
)
SIGMA = Parameter(
    "sigma",
    float | None,
    "Volatility σ; default: estimated from the past of the tape.",
    None,
    TICKS_PER_ROOT_S,
    NOT_NEGATIVE,
)
HORIZON_S = Parameter(
    "horizon_s", float, "Time left τ, or length of the sessions in mode `session`.", 30.0, SECONDS, ABOVE_0
)
Q_MAX = Parameter(
    "q_max",
    float | None,
    "Bound of the inventory: no bid at `q_max` or more, no ask at −`q_max` or less.",
    None,
    CLIPS,
    Check("be above 0, in clips", ABOVE_0.holds),
)
DELTA_TICKS = Parameter("delta_ticks", float, "Half the spread.", REQUIRED, TICKS, DISTANCE)
SKEW_TICKS = Parameter("skew_ticks", float, "Shift of both quotes per clip held.", 0.0, TICKS_PER_CLIP, DISTANCE)
ADVERSE_TICKS = Parameter(
    "adverse_ticks",
    float,
    "Adverse move of the mid after a fill; with k and A of a fit, by default the move that it measured.",
    0.0,
    TICKS,
    ANY_TICKS,
)
FEE_TICKS = Parameter("fee_ticks", float, "Fee of a fill: its rate times price over tick size.", 0.0, TICKS, ANY_TICKS)
DRIFT = Parameter(
    "drift",
    float,
    "Expected drift of the mid.",
    0.0,
    TICKS_PER_S,
    Check("be a number of ticks per second", lambda value: -math.inf < value < math.inf),
)
MOST_LEVELS = 1_000
LEVELS = Parameter(
    "levels",
    int,
    "Prices per side.",
    must=Check(f"be from 1 to {MOST_LEVELS}", lambda value: 1 <= value <= MOST_LEVELS),
)
GRID_Q_MAX = Q_MAX.means("Bound of the inventory, in both directions from the target; quotes beyond it are omitted.")
SOFT_BOUND = Parameter(
    "soft_bound",
    bool,
    "Quote all prices of a side until `q_max` is reached, then none; fills may pass the bound by `levels` clips.",
    False,
)
_OF_A_SIDE = Mapping[str, float] | None
RATES = (  # of fill models that draw from A and k
    Parameter("A", float | None, "Fills per second at distance 0, on each side.", None, PER_S),
    Parameter("k", float | None, "Decay of the intensity with distance.", None, PER_TICK),
    Parameter("bid", _OF_A_SIDE, 'A and k of the bids: `{"A": …, "k": …}`; requires `ask`.', None),
    Parameter("ask", _OF_A_SIDE, "A and k of the asks.", None),
)
INTENSITY = Parameter("intensity", "Intensity | None", "The fit or schedule behind k and A.", None, by_run=True)
SEED = Parameter("seed", int, "Seed of all random draws.", 0, by_run=True)
MODELS = Parameter("models", "Iterable[object]", "The models: `[[name, {parameters}], …]`.")

SIGMA_METHOD = Parameter(
    "sigma_method",
    str,
    f"Estimator of the volatility: {', '.join(f'`{one}`' for one in SIGMA_METHODS)}.",
    SIGMA_METHODS[0],
)
SIGMA_WINDOW_S = Parameter(
    "sigma_window_s",
    int,
    "Window of that estimate (`rolling`, `two_scale`).",
    300,
    SECONDS,
    Check("be a whole number of seconds", lambda value: type(value) is int and 1 <= value <= LONGEST_S),
)
SIGMA_HALF_LIFE_S = Parameter(
    "sigma_half_life_s",
    float,
    "Half-life of the weights (`ewma`).",
    60.0,
    SECONDS,
    Check("be a number of seconds above 0", lambda value: type(value) in (int, float) and 0 < value <= LONGEST_S),
)
VOLATILITY = (SIGMA_METHOD, SIGMA_WINDOW_S, SIGMA_HALF_LIFE_S)


def modes(*options: str) -> Parameter:
    """Return the parameter that selects one of a model's formulas; the first is the default."""
    text = f"Formula: {', '.join(f'`{one}`' for one in options)}."
    return Parameter("mode", str, text, options[0], must=one_of(*options))


# Words in a key that denote a unit.
PRICES = frozenset({"price", "prices", "quote", "usd", "usdt", "usdc", "fdusd", "eur", "dollar", "dollars"})
SHARES = frozenset({"bp", "bps", "percent", "pct", "relative"})
TIMES = frozenset(
    {"us", "ms", "min", "mins", "minute", "minutes", "m", "h", "hour", "hours", "day", "days", "daily"}
    | {"year", "years", "annual", "annualised"}
)
QUANTITIES = frozenset({"lot", "lots", "qty", "quantity", "base", "coin", "coins", "btc", "eth"})
OURS = frozenset({"tick", "ticks", "s", "sec", "secs", "second", "seconds", "clip", "clips"})


def refuse_other_units(model: str, params: Mapping[str, object], known: Mapping[str, Unit | None], tick: str) -> None:
    """Raise UsageError for a key that is one of the *known* parameters in another unit.

    Args:
        model: The model's name, for the message.
        params: As in QUOTE_PARAMS_JSON.
        known: The model's parameters, with their units.
        tick: The tick size, a decimal string, which converts a price to ticks.

    Raises:
        UsageError: With the right name, its unit, and the converted value if it can be computed.
    """
    # Longest name first: sigma_window_min is sigma_window_s in minutes, not a variant of sigma.
    names = sorted(known, key=len, reverse=True)
    for key, name in ((key, name) for key in params if key not in known for name in names):
        unit, words = known[name], _unit_words(key, name)
        if unit is not None and words & (PRICES | SHARES | TIMES | QUANTITIES | OURS):
            found = f"QUOTE_PARAMS_JSON: {model}: {key} is {params[key]!r}; use {name}, in {unit.text}"
            raise UsageError(f"{found}: {_conversion(name, unit, words, params[key], tick)}")


def _unit_words(key: str, name: str) -> set[str]:
    """Return the words in *key* after a parameter's name, without the unit in that name."""
    stem = name.removesuffix("_ticks").removesuffix("_s")
    return set(key.removeprefix(f"{stem}_").lower().split("_")) if key.startswith(f"{stem}_") else set()


def _conversion(name: str, unit: Unit, words: set[str], value: object, tick: str) -> str:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if words & SHARES:
        return f"1 % of the price is price/(100 × {tick}) ticks, 1 bp a hundredth of that"
    if words & PRICES and unit.power:
        text = f"{'multiply by' if unit.power > 0 else 'divide by'} the tick size {tick}"
        return text if number is None else f"{text}, so {name} is {number * float(tick) ** unit.power:.12g}"
    if words & TIMES:
        return "give time in seconds"
    if words & (QUANTITIES | PRICES):
        return "give inventory in clips, multiples of the quoted quantity (QUOTE_QTY)"
    return f"give it as {name}"
