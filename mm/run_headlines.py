"""The few numbers that a run is known by, of each kind, from its manifest's summary."""

from collections.abc import Iterator, Mapping
from typing import Any

_MOST = 4  # numbers of a kind that is not listed here
_TRADED = ("pnl_total", "n_fills", "sharpe", "max_drawdown")
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "backtest": _TRADED,
    "calibration": ("status", "A", "k"),
    "schedule": ("segments", "usable", "time_rescaling_p"),
    "sweep": ("trials", "best.pnl_total", "best.sharpe", "walkforward.pnl"),
    "walkforward": (*_TRADED, "walkforward.segments", "walkforward.usable"),
}


def headlines(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers that stand for a run, by name; None for one that is undefined."""
    found = dict(flat(manifest["summary"]))
    wanted = _OF_KIND.get(manifest["kind"])
    if wanted is None:
        numbers = [name for name, value in found.items() if isinstance(value, int | float)]
        wanted = tuple(numbers[:_MOST])
    own = f"{manifest['kind']}."  # what a kind says under its own name needs no telling
    return {name.removeprefix(own): found[name] for name in wanted if name in found}


def flat(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the single values of a JSON value, each with its place in it (``sides.bid.A``, ``segments[3].k``)."""
    if isinstance(content, dict) and content:
        for name, value in content.items():
            yield from flat(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(content, list) and content:
        for place, value in enumerate(content):
            yield from flat(value, f"{prefix}[{place}]")
    elif prefix or not isinstance(content, dict | list):
        yield prefix, content


def shown(value: Any) -> str:
    """Return a number with six digits at most, and anything else as JSON would say it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "null" if value is None else str(value)
