"""The knobs of ``mm sweep``, and how a grid is written."""

from dataclasses import dataclass

from mm.cli.knobs import REQUIRED, SWITCH, Reader, knob, matching, one_of, whole

WRITTEN = "NAME=value,value,…; NAME=value,…"
_OPENING, _CLOSING = "{[(", "}])"


def axes_of(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the axes that a grid's *text* names, each with the texts of its values, in order.

    Axes are parted by ``;`` and values by ``,``. Neither parts anything inside brackets or double quotes, so that a
    JSON object is one value; quotes around a whole value are not part of it, but they are in a JSON object.

    Raises:
        ValueError: With what the text must be.
    """
    axes = []
    for part in _parted(text, ";"):
        name, equals, values = part.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ValueError(f"{WRITTEN} ({part.strip()!r} names no axis and values)")
        texts = tuple(_unquoted(value.strip()) for value in _parted(values, ","))
        if not all(texts):
            raise ValueError(f"{WRITTEN} (axis {name} has {'no' if texts == ('',) else 'an empty'} value)")
        axes.append((name, texts))
    return axes


def _parted(text: str, sign: str) -> list[str]:
    """Return *text* parted at each *sign* that stands in no brackets and no double quotes."""
    parts, depth, quoted, escaped = [""], 0, False, False
    for letter in text:
        if not quoted:
            depth += (letter in _OPENING) - (letter in _CLOSING)
        if letter == '"' and not escaped:
            quoted = not quoted
        escaped = letter == "\\" and not escaped
        if letter == sign and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    if depth or quoted:
        raise ValueError(f"{WRITTEN} ({text!r} has {'a quote' if quoted else 'brackets'} without an end)")
    return parts


def _unquoted(value: str) -> str:
    inside = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if inside else value


def _grid(text: str) -> str:
    parts = [part.strip() for part in _parted(text, ";")]
    whole_text = ";".join(part for part in parts if part)
    axes_of(whole_text)
    return whole_text


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Which backtests a sweep plays, where, and what it makes of them."""

    grid: str = knob(
        REQUIRED,
        Reader("NAME=V,V,…", _grid),
        "An axis: a knob's variable or a model's parameter, and its values; again for more axes, or parted by ;.",
        joined=";",
    )
    grid_unfit: str = knob(
        "refuse",
        one_of("refuse", "leave_out"),
        "Where a model of the grid has no such parameter: refuse the grid, or leave the axis out of its points.",
    )
    rank_by: str = knob(
        "sharpe",
        one_of("sharpe", "sharpe_autocorr", "sortino", "calmar", "pnl_total", "psr", "deflated_sharpe", "max_drawdown"),
        "What orders the table.",
    )
    sweep_walkforward: bool = knob(
        False, SWITCH, "1 plays each point on a schedule of rolling fits, too; the schedule is fitted once."
    )
    jobs: int | None = knob(
        None,
        whole(1, 1024),
        "Processes side by side; without it one for each core, and 1 plays in this process.",
        matters=False,
    )
    cluster: str | None = knob(
        None,
        matching(r"(tcp|tls|ws|wss)://[^/\s]+:\d+", "the address of a Dask scheduler, such as tcp://host:8786", "URL"),
        "Play on the workers of this Dask scheduler, which must see the same DATA_ROOT and OUT_ROOT.",
        matters=False,
    )
    reuse_points: bool = knob(True, SWITCH, "0 plays also what an earlier sweep has played and kept.", matters=False)
    keep_runs: str = knob(
        "none",
        one_of("none", "best", "all"),
        "Points that are played again as backtests with a run folder of their own.",
        matters=False,
    )
