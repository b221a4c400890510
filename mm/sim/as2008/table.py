"""The rows as text: a line for each number, and how far from the exact value it is."""

from collections.abc import Iterator, Sequence

from mm.sim.as2008.published import PATHS
from mm.sim.as2008.rows import NUMBERS, Row

_HEAD = ("gamma", "strategy", "", "published", "z", "exact", "simulated", "±", "z")
_LINE = "{:>6}  {:<16} {:<12} {:>9} {:>5} {:>10} {:>10} {:>8} {:>5}"


def text(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table for people, a line at a time."""
    yield _LINE.format(*_HEAD)
    for row in rows:
        content = row.to_json()
        printed, exact, drawn = content["published"], content["exact"], content["simulated"]
        start = f"{row.gamma:g}", row.strategy
        for name in NUMBERS:
            told = (f"{printed[name]:g}", _signed(printed["z"][name])) if printed else ("–", "–")
            simulated = f"{drawn[name]:.4f}", f"{drawn[f'se_{name}']:.4f}", _signed(drawn["z"][name])
            yield _LINE.format(*start, name.replace("_", " "), *told, _fixed(exact[name]), *simulated)
            start = "", ""
        yield _LINE.format(*start, "certainty", "–", "–", _fixed(exact["certainty_equivalent"]), "–", "–", "–")
    yield (
        f"z: standard errors from the exact value; published are {PATHS:,} paths, simulated "
        f"{rows[0].simulated.n_paths:,}"
    )


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 4) + 0.0:.4f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 1) + 0.0:+.1f}"
