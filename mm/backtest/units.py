"""The units of quote models' parameters, and what is said of a parameter in another one.

Prices are in ticks, time in seconds, inventory in clips; a parameter's name does not say so. One that names another
unit (``gamma_usd``, ``k_per_price``, ``sigma_pct``, ``horizon_ms``) is refused with the way to ours.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mm.errors import UsageError


class Unit(NamedTuple):
    """The unit of a parameter: how it reads, and the power of the tick that a price takes to come to it."""

    text: str
    power: int


UNITS = {
    "A": Unit("1/s", 0),
    "adverse_ticks": Unit("ticks", -1),
    "alpha": Unit("ticks/clip", -1),
    "delta": Unit("clips", 0),
    "delta_ticks": Unit("ticks", -1),
    "drift": Unit("ticks/s", -1),
    "fee_ticks": Unit("ticks", -1),
    "gamma": Unit("1/(tick·clip)", 1),
    "horizon_s": Unit("s", 0),
    "impact": Unit("ticks", -1),
    "k": Unit("1/tick", 1),
    "least_ticks": Unit("ticks", -1),
    "phi": Unit("ticks/(clip·s)", -1),
    "q_max": Unit("clips", 0),
    "shift_ticks": Unit("ticks", -1),
    "sigma": Unit("ticks/√s", -1),
    "sigma_half_life_s": Unit("s", 0),
    "sigma_window_s": Unit("s", 0),
    "skew_share": Unit("a share of the half-spread", 0),
    "skew_ticks": Unit("ticks/clip", -1),
    "xi": Unit("1/(tick·clip)", 1),
}
PRICES = frozenset({"price", "prices", "quote", "usd", "usdt", "usdc", "fdusd", "eur", "dollar", "dollars"})
SHARES = frozenset({"bp", "bps", "percent", "pct", "relative"})
TIMES = frozenset(
    {
        "us",
        "ms",
        "min",
        "mins",
        "minute",
        "minutes",
        "m",
        "h",
        "hour",
        "hours",
        "day",
        "days",
        "daily",
        "year",
        "years",
        "annual",
        "annualised",
    }
)
QUANTITIES = frozenset({"lot", "lots", "qty", "quantity", "base", "coin", "coins", "btc", "eth"})
OURS = frozenset({"tick", "ticks", "s", "sec", "secs", "second", "seconds", "clip", "clips"})


def refuse_other_units(model: str, params: Mapping[str, object], known: Iterable[str], tick: str) -> None:
    """Refuse a parameter that is one of the *known* in another unit.

    Args:
        model: The model's name, for the message.
        params: As QUOTE_PARAMS_JSON has them.
        known: The names that the model takes; those that are not in ``UNITS`` are not looked at.
        tick: The tick size, a decimal, by which a price becomes ticks.

    Raises:
        UsageError: With the name to use, its unit, and the value where it can be told.
    """
    taken = set(known)
    for key, value in params.items():
        for name in sorted(UNITS.keys() & taken, key=len, reverse=True) if key not in taken else ():
            words = _unit_words(key, name)
            if words & (PRICES | SHARES | TIMES | QUANTITIES | OURS):
                told = f"QUOTE_PARAMS_JSON: {model}: {key} is {value!r}; it is {name} here, in {UNITS[name].text}"
                raise UsageError(f"{told}: {_way_out(name, words, value, tick)}")


def _unit_words(key: str, name: str) -> set[str]:
    """Return the words that *key* has behind a parameter's name, without the unit in that name."""
    stem = name.removesuffix("_ticks").removesuffix("_s")
    return set(key.removeprefix(f"{stem}_").lower().split("_")) if key.startswith(f"{stem}_") else set()


def _way_out(name: str, words: set[str], value: object, tick: str) -> str:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    power = UNITS[name].power
    if words & SHARES:
        return f"1 % of the price is price/(100 × {tick}) ticks, 1 bp a hundredth of that"
    if words & PRICES and power:
        way = f"{'multiply by' if power > 0 else 'divide by'} the tick size {tick}"
        return way if number is None else f"{way}, so {name} is {number * float(tick) ** power:.12g}"
    if words & TIMES:
        return "count time in seconds"
    if words & (QUANTITIES | PRICES):
        return "count inventory in clips, multiples of the quoted quantity (QUOTE_QTY)"
    return f"give it as {name}"
