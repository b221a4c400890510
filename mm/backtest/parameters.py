"""Parameters of models: the base of their declarations, units, and shared types.

A declaration (`mm/backtest/declarations.py`) is a class's attribute ``declared``, or decorates the building function.
QUOTE_PARAMS_JSON, FILL_PARAMS_JSON, type stubs, docs/lookup/configuration.md and a summary's parameters follow from it.

Prices are ticks, time seconds, inventory clips. A key with another unit (``gamma_usd``, ``k_per_price``, ``sigma_pct``,
``horizon_ms``) is refused with the conversion.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import asdict

from mm.backtest.rules import SigmaMethod
from mm.base.knobs import REQUIRED, Knob, Unit
from mm.base.settings import about, settings
from mm.errors import Sentence, UsageError

AUTO = "auto"
TOUCH = "touch"
LONGEST_S = 1_000_000  # upper bound of the windows of a volatility
LARGEST_TICKS = 1e9  # upper bound of distances; beyond it prices lose whole ticks
Made = TypeVar("Made", bound=Callable[..., Any])

NUMBER, PER_S, SECONDS, CLIPS = Unit("–", 0), Unit("1/s", 0), Unit("s", 0), Unit("clips", 0)
TICKS, TICKS_PER_CLIP, TICKS_PER_S = Unit("ticks", -1), Unit("ticks/clip", -1), Unit("ticks/s", -1)
PER_TICK, PER_TICK_CLIP = Unit("1/tick", 1), Unit("1/(tick·clip)", 1)
TICKS_PER_ROOT_S, TICKS_PER_CLIP_S = Unit("ticks/√s", -1), Unit("ticks/(clip·s)", -1)


class Parameters(Struct, kw_only=True):
    """Base of declarations: a field is one argument of a model."""

    name: ClassVar[str]
    bias: ClassVar[str | None] = None
    volatility: ClassVar[type[Struct] | None] = None

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def of_user(cls) -> tuple[Knob, ...]:
        every = (*settings(cls), *(settings(cls.volatility) if cls.volatility else ()))
        return tuple(key for key in every if not key.by_run)

    @classmethod
    def settle(cls, given: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
        """Return each parameter's value: given, or its default.

        Args:
            name: Of the model in messages; None is the declared name.

        Raises:
            TypeError: If a parameter is unknown, or a required one is missing.
            UsageError: If a value is invalid.
        """
        owner = name or cls.name
        try:
            values = asdict(cls(**given))
        except TypeError as error:
            raise TypeError(f"{owner}: {error}") from None
        return values | {
            setting.name: setting.check(owner, given[setting.name])
            for setting in settings(cls)
            if setting.name in given
        }


def declares(parameters: type[Parameters]) -> Callable[[Made], Made]:
    def declare(function: Made) -> Made:
        keyword, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
        function.declared = parameters  # type: ignore[attr-defined]
        function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    setting.name,
                    keyword,
                    default=empty if setting.default is REQUIRED else setting.default,
                    annotation=setting.reader.metavar,
                )
                for setting in settings(parameters)
            ]
        )
        return function

    return declare


def declaration_of(build: object) -> type[Parameters] | None:
    """None for a user's class, even if its base has one."""
    declaration = vars(build).get("declared") if hasattr(build, "__dict__") else None
    return declaration if isinstance(declaration, type) and issubclass(declaration, Parameters) else None


def name_of(kind: type) -> str:
    declaration = getattr(kind, "declared", None)
    return declaration.name if isinstance(declaration, type) and issubclass(declaration, Parameters) else kind.__name__


class Volatility(Struct):
    """The volatility of a run."""

    sigma_method: Annotated[SigmaMethod, about("Estimator of the volatility: {words}.")] = "rolling"
    sigma_window_s: Annotated[
        int, Meta(ge=1, le=LONGEST_S), about("Window of that estimate (`rolling`, `two_scale`).", SECONDS)
    ] = 300
    sigma_half_life_s: Annotated[
        float, Meta(gt=0, le=LONGEST_S), about("Half-life of the weights (`ewma`).", SECONDS)
    ] = 60.0


class EwmaSigma(Volatility):
    """Exponential weights, unless another estimator is given."""

    sigma_method: Annotated[SigmaMethod, about("Estimator of the volatility: {words}.")] = "ewma"


VOLATILITY = settings(Volatility)


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
    """Raise UsageError, if possible with the converted value, for a *known* parameter in another unit."""
    # Longest name first: sigma_window_min is sigma_window_s in minutes, not a variant of sigma.
    names = sorted(known, key=len, reverse=True)
    for key, name in ((key, name) for key in params if key not in known for name in names):
        unit, words = known[name], _unit_words(key, name)
        if unit is not None and words & (PRICES | SHARES | TIMES | QUANTITIES | OURS):
            raise UsageError(
                "{quote_params_json}: {}: {} is {!r}; use {}, in {}: {}",
                model,
                key,
                params[key],
                name,
                unit.text,
                _conversion(name, unit, words, params[key], tick),
            )


def _unit_words(key: str, name: str) -> set[str]:
    stem = name.removesuffix("_ticks").removesuffix("_s")
    return set(key.removeprefix(f"{stem}_").lower().split("_")) if key.startswith(f"{stem}_") else set()


def _conversion(name: str, unit: Unit, words: set[str], value: object, tick: str) -> "Sentence | str":
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if words & SHARES:
        return f"1 % of the price is price/(100 × {tick}) ticks, 1 bp a hundredth of that"
    if words & PRICES and unit.power:
        text = f"{'multiply by' if unit.power > 0 else 'divide by'} the tick size {tick}"
        return text if number is None else f"{text}, so {name} is {number * float(tick) ** unit.power:.12g}"
    if words & TIMES:
        return "give time in seconds"
    if words & (QUANTITIES | PRICES):
        return Sentence("give inventory in clips, multiples of the quoted quantity, {quote_qty}")
    return f"give it as {name}"
