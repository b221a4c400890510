"""Scores as lines for people."""

from collections.abc import Iterator, Mapping

from mm.queues.phantoms import PLACES
from mm.queues.score import Number, Score

_COLUMNS = ("filled", "wrong", "missed", "invented", "later", "off", "ahead", "ahead off")
_UNITS = ("bias, %", "%", "", "", "s", "s", "bias, %", "rms, %")


def lines(scores: Mapping[str, Score], places: Mapping[str, Mapping[str, Score]]) -> Iterator[str]:
    """Yield the table of all models, and that of the bias of the filled share by place.

    Args:
        scores: Of each model.
        places: Of each model, by the name of the place.
    """
    rows: list[tuple[str, ...]] = [("", *_COLUMNS), ("model", *_UNITS)]
    rows += [(name, *_cells(one)) for name, one in scores.items()]
    yield from _aligned(rows)
    yield ""
    yield "bias of the filled share, %, by where the order joined"
    first = next(iter(places.values()))
    heads = [f"{name} ({first[name].orders})" for name in PLACES.values()]
    truth = ("truth: filled", *(shown(first[name].true_filled, 100) for name in PLACES.values()))
    rows = [("model", *heads), truth]
    rows += [
        (name, *(shown(one[place].filled_bias, 100, "+") for place in PLACES.values())) for name, one in places.items()
    ]
    yield from _aligned(rows)


def _cells(one: Score) -> tuple[str, ...]:
    return (
        shown(one.filled_bias, 100, "+"),
        shown(one.wrong, 100),
        str(one.missed),
        str(one.invented),
        shown(one.time_bias_s, 1, "+"),
        shown(one.time_error_s, 1),
        shown(one.ahead_bias, 100, "+"),
        shown(one.ahead_rmse, 100),
    )


def shown(number: Number, times: float, sign: str = "") -> str:
    """Return a number and its standard error to as many places as the error allows, ``–`` where there is none."""
    if number.value is None:
        return "–"
    value = number.value * times
    if number.error is None:
        return f"{value:{sign}.3g} ± ?"
    error = number.error * times
    places = 2 if error < 0.1 else 1
    return f"{value:{sign}.{places}f} ± {error:.{places}f}"


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield "  ".join([name.ljust(widths[0]), *padded]).rstrip()
