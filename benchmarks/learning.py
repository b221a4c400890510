"""``python -m benchmarks.learning CAPTURES``: the value of signals, predictors and agents on recorded markets.

CAPTURES is the folder of recorded captures (``../shared/data``). The recorded time of each market is cut in half.
Everything is fitted, chosen or trained on the first half; every printed number is of the second (`benchmarks.learned`).
docs/reliability.md has the summary.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.learned import HORIZONS_S, Market, answer_of

PROCESSES = 2
SHOWN = 5  # signals shown per market and horizon
CHANCE = 40  # one in this many 95 % intervals is above a true 0
MARKETS = (
    Market("NEXOUSDT 2024", "binance-spot-nexousdt-20240723-24/*.gz", "NEXOUSDT", "0.001", "0.01", "4"),
    Market("BTCUSD 2015", "bitstamp-btcusd-20150501-l3/*.bz2", "BTCUSD", "0.01", "0.00000001", "0.02", "bitstamp"),
    Market("BTCUSDT 2024", "binance-spot-btcusdt-20240808-09/*.gz", "BTCUSDT", "0.01", "0.00001", "0.0001"),
    Market("BTCUSDT 2021", "binance-spot-multi-20210404/*.gz", "BTCUSDT", "0.01", "0.000001", "0.0002"),
    Market("ETHUSDT 2021", "binance-spot-multi-20210404/*.gz", "ETHUSDT", "0.01", "0.00001", "0.005"),
    Market("DOTUSDT 2021", "binance-spot-multi-20210404/*.gz", "DOTUSDT", "0.0001", "0.001", "0.25"),
)
"""Captures of spot markets whose messages begin with a complete book, and have trades."""


def main(arguments: Sequence[str]) -> None:
    """Print the result."""
    if not arguments or not Path(arguments[0]).is_dir():
        sys.exit("python -m benchmarks.learning CAPTURES: CAPTURES is the folder of captures (../shared/data)")
    # For the processes below, so that sums have a fixed order.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool,
    ):
        found = list(pool.map(partial(answer_of, Path(arguments[0]), Path(folder)), MARKETS))
    print("\n".join(table_lines(found)))


def table_lines(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the result: each question with its verdict and table."""
    yield from ("", "| market | first half | second half | tick, bp of the price |", "|---|---|---|---|")
    for market in found:
        known, unseen = (f"{hours:.2f} h" for hours in market["hours"])
        yield f"| {market['name']} | {known} | {unseen} | {market['tick_bp']:.3g} |"
    for lines in (_signals(found), _predictors(found), _paid(found), _agents(found)):
        yield ""
        yield from lines
    yield ""


def _signals(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the number of predictive signals on each market, and the strongest with their intervals."""
    known = [row for market in found for row in market["signals"] if row["ci95"]]
    good = [row for row in known if row["predicts"]]
    yield "**Which signals predict the next move of the mid?**"
    yield f"{len(good)} of {len(known)} pairs of a signal and a market's horizon predict; {_chance(known)}."
    yield "Predicting is a rank correlation that has the sign of the first half, with a 95 % interval without 0."
    yield from ("", f"| market | horizon | signals | predict | the strongest {SHOWN} (95 %) |", "|---|---|---|---|---|")
    for market in found:
        for horizon_s in HORIZONS_S:
            rows = [row for row in market["signals"] if row["horizon_s"] == horizon_s and row["ci95"]]
            best = sorted((row for row in rows if row["predicts"]), key=lambda row: -abs(row["rho"]))
            cells = [f"`{row['signal']}` {_number(row['rho'], 3)} {_ends(row['ci95'], 3)}" for row in best[:SHOWN]]
            cells_text = f"{len(best)} | {', '.join(cells) or '–'}" if rows else "– | too short for an interval"
            yield f"| {market['name']} | {horizon_s:g} s | {len(rows)} | {cells_text} |"


def _predictors(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield whether each predictor beats its best baseline on the second half, and the profit of trading it."""
    rows = [(one["name"], row) for one in found for row in one["predictors"]]
    fitted = [row for _, row in rows if "difference" in row]
    yield "**Do predictors beat their baselines on what they have not seen?**"
    yield f"{sum(row['usable'] for row in fitted)} of {len(fitted)} do; {_chance(fitted)}."
    yield "The model is the one that did best in the walk-forward of the first half, whose score stands beside it."
    yield from ("", "| market | target | model | first half | second half, better than | by (95 %) | verdict |")
    yield "|---|---|---|---|---|---|---|"
    for name, row in rows:
        if "difference" not in row:
            yield f"| {name} | {row['target']} | – | – | – | – | {row['reason']} |"
            continue
        cells = [name, row["target"], row["model"], f"{_number(row['walked'], 4)} {_ends(row['walked_ci95'], 4)}"]
        cells += [row["best_baseline"], f"{_number(row['difference'], 4)} {_ends(row['difference_ci95'], 4)}"]
        yield f"| {' | '.join(cells)} | {'better' if row['usable'] else 'not better'} |"
    traded = [(name, row) for name, row in rows if row.get("trading") and row["trading"]["trades"]]
    if traded:
        yield from ("", "Taking what `return` predicts beyond half a spread, and holding it for the horizon:")
        yield from (
            "",
            "| market | trades | ticks each, less half a spread (95 %) | fee of both ways at 0.1 %, ticks |",
        )
        yield "|---|---|---|---|"
    for name, row in traded:
        each = row["trading"]
        ticks = f"{_number(each['ticks_per_trade'], 2)} {_ends(each['ticks_per_trade_ci95'], 2)}"
        yield f"| {name} | {each['trades']:,} | {ticks} | {row['fee_ticks']:,.1f} |"


def _paid(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the profit of quotes with predictors and of the same quotes without."""
    rows = [(one["name"], row) for one in found for row in one["backtests"]]
    yield "**Does a predictor pay, after fees and latency?**"
    compared = [row for _, row in rows if row["with"]]
    yield from _verdicts(compared, "backtests with a predictor", "the quotes without it")
    yield "Earned are basis points of a clip an hour, at 50 ms of latency in a queue, less the first inventory's gain."
    yield from ("", "| market | maker fee | quotes | with | fills | earned (95 %) | more than without (95 %) |")
    yield "|---|---|---|---|---|---|---|"
    for name, row in rows:
        cells = [name, row["fee"], f"`{row['quotes']}`", row["with"] or "–", f"{row['fills']:,}", _earned(row)]
        yield f"| {' | '.join([*cells, _more(row)])} |"


def _agents(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the profit of agents and of Avellaneda-Stoikov."""
    rows = [(one["name"], row) for one in found for row in one["agents"]]
    agents = [row for _, row in rows if row["policy"].startswith("rl")]
    yield "**Does the agent beat Avellaneda-Stoikov?**"
    if not agents:
        yield "No agent was trained: stable-baselines3 is not installed, or every market is too short."
        return
    what = f"agents of {agents[0]['timesteps']:,} decisions"
    yield from _verdicts(agents, what, "Avellaneda-Stoikov with A and k of the first half")
    yield from (
        "",
        "| market | maker fee | policy | fills | mean inventory, clips | earned (95 %) | more than A–S (95 %) |",
    )
    yield "|---|---|---|---|---|---|---|"
    for name, row in rows:
        cells = [name, row["fee"], row["policy"], f"{row['fills']:,}", f"{row['held']:.2f}", _earned(row), _more(row)]
        yield f"| {' | '.join(cells)} |"


def _verdicts(rows: Sequence[dict[str, Any]], what: str, reference: str) -> Iterator[str]:
    """Yield for each fee whether *what* pays: how many earn more than *reference*, and how many of these earn at all.

    Yes means a number that independent rows would reach by chance with a probability below 5 %.
    """
    from scipy.stats import binom

    for fee in sorted({row["fee"] for row in rows}, key=float, reverse=True):
        own = [row for row in rows if row["fee"] == fee]
        more = [row for row in own if _above(row["more_ci95"])]
        earning = sum(_above(row["earned_ci95"]) for row in more)
        word = "Yes" if binom.sf(earning - 1, len(own), 1 / CHANCE) < 0.05 else "No"
        yield (
            f"At a maker fee of {100 * float(fee):g} %: **{word}**. Of {len(own)} {what}, {len(more)} earned more than "
            f"{reference}, and {earning} of these earned anything at all; {_chance(own)}."
        )


def _chance(rows: Sequence[object]) -> str:
    return f"{len(rows) / CHANCE:.1f} would by chance"


def _above(ends: Sequence[float] | None) -> bool:
    return ends is not None and ends[0] > 0.0


def _earned(row: dict[str, Any]) -> str:
    return f"{_number(row['earned'], 2)} {_ends(row['earned_ci95'], 2)}"


def _more(row: dict[str, Any]) -> str:
    return "–" if row["more"] is None else f"{_number(row['more'], 2)} {_ends(row['more_ci95'], 2)}"


def _number(value: float, digits: int) -> str:
    return f"{value:+,.{digits}f}".replace("-", "−")


def _ends(ends: Sequence[float] | None, digits: int) -> str:
    return "(–)" if ends is None else f"({_number(ends[0], digits)}, {_number(ends[1], digits)})"


if __name__ == "__main__":
    main(sys.argv[1:])
