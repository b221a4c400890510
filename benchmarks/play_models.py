"""Each fill model, latency and view of the market, played repeatedly in one process, compared with hftbacktest.

Each turn runs ``python -m benchmarks.play_models DAY_FOLDER CACHE QUOTE_QTY K``: it recreates the
index of levels, plays the day in each variant, and prints one JSON object.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.engine import ACCOUNT, EXECUTION, both_counts, deep, median, models, play_row, quotes_of, seconds
from benchmarks.grid_models import Grid
from benchmarks.grids import ORDERS_QTY
from benchmarks.turns import PYTHON, Aim, Bench, Measured, ProcessResult, Row, run
from benchmarks.yardstick import by_order

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.backtest.latency import Latencies
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

REPEATS = 5
PEER_ORDERS = ("--queue", "l3", "--touch", "--qty", ORDERS_QTY, "--tick-size", "0.01", "--lot-size", "0.001")
PEER_PRICES = ("--lowest", "90", "--highest", "110")
CURVES = (93, 456)  # points of a measured curve
RATES = 1_000  # measured latencies to draw from


@dataclass(frozen=True, slots=True)
class Play:
    """One variant of playing the day.

    Attributes:
        fills: The fill model, by name.
        least: Aim of the ratio.
        touch: Whether the best prices are quoted, instead of a distance from the mid.
        deep: Whether the quote model reads levels of the whole book at each requote.
        recorded: Whether we receive the market with its recorded latency; in hftbacktest this is always so.
        by_rate: Whether latencies depend on the rate of the market's messages; in hftbacktest they are constant.
        queue: The peer's queue model; our models of best prices alone have none, and are compared with the default.
    """

    fills: str
    least: float
    touch: bool = False
    deep: bool = False
    recorded: bool = False
    by_rate: bool = False
    queue: str = "power"

    @property
    def name(self) -> str:
        """Name of the row."""
        parts = {"at the touch": self.touch, "whole book": self.deep}
        parts |= {"recorded feed": self.recorded, "latency by rate": self.by_rate}
        return ", ".join([self.fills, *(name for name, on in parts.items() if on)])

    @property
    def peer(self) -> tuple[str, ...]:
        """The equivalent flags of the peer's script."""
        return ("--queue", self.queue, *(["--touch"] if self.touch else []))


QUEUES = {"queue_prob_power": "power", "queue_risk_averse": "risk", "queue_prob_log": "log"}
PLAYS = (
    Play("trade_cross", 100),
    *(Play(name, 60, queue=queue) for name, queue in QUEUES.items()),
    Play("trade_cross", 40, touch=True),
    *(Play(name, 30, touch=True, queue=queue) for name, queue in QUEUES.items()),
    Play("trade_cross", 15, deep=True),
    Play("trade_cross", 44, recorded=True),
    Play("queue_prob_power", 42, recorded=True),
    Play("trade_cross", 50, by_rate=True),
)


def main(folder: str, cache: str, quote_qty: str, k: str) -> None:
    """Play the day in each variant, and print the seconds."""
    from mm.play.engine_rules import rules_of
    from mm.tape.load import load_day

    load_day(Path(folder), cache=Path(cache))
    output: dict[str, Any] = {"made": _creation_time(Path(folder), Path(cache)), "plays": {}}
    tape = load_day(Path(folder), cache=Path(cache)).kept_mapped()
    rules = rules_of(tape, EXECUTION, ACCOUNT, models(quote_qty or None))
    for variant in PLAYS:
        play = play_of(variant, tape, rules, float(k))
        journal = play()
        taken = median([seconds(play) for _ in range(REPEATS)])
        output["plays"][variant.name] = {
            **taken,
            "orders": int(journal.orders.order_id.max(initial=0)),
            "fills": len(journal.fills),
        }
    output["curves"] = _on_curves(tape, rules)
    print(json.dumps(output | {"every_order": _by_every_order(Path(cache))}))


def _on_curves(tape: "Tape", rules: "Rules") -> dict[str, Any]:
    """Return the times of ``glft`` and of quotes from curves, by their number of points."""
    from mm.backtest.models import glft, optimal_curve, trade_cross
    from mm.backtest.replay import backtest

    def curve(points: int) -> list[list[float]]:
        return [[float(i), 0.6 * math.exp(-0.2 * i) + 0.05 * math.exp(-0.02 * i)] for i in range(points)]

    quotes: dict[str, Callable[[], object]] = {"glft": lambda: glft(k=0.2, A=0.6, q_max=30)}
    quotes |= {str(points): partial(optimal_curve, curve=curve(points), q_max=30) for points in CURVES}
    found = {}
    for name, made in quotes.items():
        play = partial(_played, backtest, tape, made, trade_cross, rules)
        play()
        found[name] = median([seconds(play) for _ in range(REPEATS)])
    return found


def _played(
    backtest: Any, tape: "Tape", quotes: Callable[[], object], fills: Callable[[], object], rules: "Rules"
) -> None:
    backtest(tape, quotes(), fills(), rules)


def _by_every_order(cache: Path) -> dict[str, Any]:
    """Return the time to quote the best prices of a simulated day by every order and by default, and to index it."""
    from mm.play.engine_rules import rules_of
    from mm.tape.load import load_day

    folder, _ = by_order(cache.parent)
    for path in cache.glob("order_log_*.npy"):
        path.unlink()
    tape = load_day(folder, cache=cache).kept_mapped()
    found: dict[str, Any] = {"index": seconds(lambda: tape.orders)}
    rules = rules_of(tape, EXECUTION, ACCOUNT, models(ORDERS_QTY))
    orders = Play("queue_orders", 30, touch=True)
    plays = {play.fills: play_of(play, tape, rules, 1.0) for play in (orders, Play("queue_prob_power", 30, touch=True))}
    plays["quotes in Python"] = play_of(orders, tape, rules, 1.0, lambda: Grid(levels=1, delta_ticks=0.0, step_ticks=1))
    for name, play in plays.items():
        play()
        found[name] = median([seconds(play) for _ in range(REPEATS)])
    return found


def play_of(
    variant: Play, tape: "Tape", rules: "Rules", k: float, quoted: Callable[[], object] | None = None
) -> "Callable[[], Journal]":
    """Return the play of *variant*, with new models at each call; *quoted* returns another quote model."""
    from mm.backtest import models as known
    from mm.backtest.replay import backtest

    own = _rules(rules, variant)

    def play() -> "Journal":
        quotes: Any = known.grid(levels=1, delta_ticks=0.0, step_ticks=1) if variant.touch else quotes_of(k)
        quotes = quoted() if quoted else quotes
        return backtest(tape, deep(quotes) if variant.deep else quotes, getattr(known, variant.fills)(), own).journal

    return play


def _creation_time(folder: Path, cache: Path) -> dict[str, Any]:
    """Return the time to create the index of levels, and its bytes; removes a cached one first."""
    from mm.tape.load import load_day

    for path in cache.glob("*.levels.npy"):
        path.unlink()
    tape = load_day(folder, cache=cache)
    taken = seconds(lambda: tape.levels)
    return {**taken, "bytes": sum(path.stat().st_size for path in cache.glob("*.levels.npy"))}


def _rules(rules: "Rules", play: Play) -> "Rules":
    return replace(rules, recorded_feed=play.recorded, latencies=_latencies() if play.by_rate else None)


def _latencies() -> "Latencies":
    """Return latencies that rise with the rate of messages: 30 to 70 ms, plus a random part."""
    from mm.backtest.latency import Latencies

    rate = np.linspace(0.0, 60.0, RATES)
    order_ms = (30.0 + rate * 40.0 / 60.0) * np.random.default_rng(0).lognormal(0.0, 0.2, RATES)
    return Latencies.of(order_ms, None, rate)


def measure(bench: Bench) -> Measured:
    """Measure every play, compared with the peer's if there is one."""
    # A separate cache, because it is recreated.
    cache = bench.out / f"models_{bench.folder.symbol}_{bench.folder.day}"
    in_process_command = [
        *PYTHON,
        "benchmarks.play_models",
        str(bench.folder.path),
        str(cache),
        bench.quote_qty or "",
        str(bench.k),
    ]
    same: dict[tuple[str, ...], list[ProcessResult]] = {play.peer: [] for play in PLAYS}
    in_process, by_orders = [], list[ProcessResult]()
    run(in_process_command)  # parses the day
    for _ in range(bench.turns):
        for flags, peers in same.items():
            if bench.peer_plays:
                peers.append(run([*bench.peer_plays, "--repeat", "2", *flags]))
        if bench.peer_plays:
            command = [*bench.peer_plays[:2], str(by_order(bench.out)[1]), "--repeat", "2", *PEER_ORDERS, *PEER_PRICES]
            by_orders.append(run(command))
        in_process.append(run(in_process_command))
    rows = [
        play_row(
            play.name, [result.output["plays"][play.name] for result in in_process], same[play.peer], Aim(play.least)
        )
        for play in PLAYS
    ]
    taken = [result.output["made"] for result in in_process]
    name = "make the index of levels, and keep it"
    why = "once a day, and no peer makes one"
    rows.append(Row(name, "s", [times["s"] for times in taken], aim=why, user=[times["user_s"] for times in taken]))
    orders = [result.output["every_order"] for result in in_process]
    name = "queue_orders, at the touch, a simulated day, single orders"
    rows.append(play_row(name, [taken["queue_orders"] for taken in orders], by_orders, Aim(30)))
    name = "queue_orders, the same, quotes in Python"
    rows.append(play_row(name, [taken["quotes in Python"] for taken in orders], by_orders, Aim(10)))
    rows.append(
        Row(
            "queue_orders, at the touch, a simulated day",
            "s",
            [taken["queue_orders"]["s"] for taken in orders],
            "queue_prob_power",
            [taken["queue_prob_power"]["s"] for taken in orders],
            Aim(0.5),
            [taken["queue_orders"]["user_s"] for taken in orders],
            [taken["queue_prob_power"]["user_s"] for taken in orders],
        )
    )
    of_curves = [result.output["curves"] for result in in_process]
    for points in map(str, CURVES):
        own, other = ([taken[name] for taken in of_curves] for name in (points, "glft"))
        times = [[taken[key] for taken in side] for key in ("s", "user_s") for side in (own, other)]
        rows.append(Row(f"a curve of {points} points", "s", times[0], "glft", times[1], Aim(0.5), times[2], times[3]))
    rows.append(Row("make its index of orders, and keep it", "s", [taken["index"]["s"] for taken in orders], aim=why))
    last = in_process[-1].output
    facts: dict[str, Any] = {}
    for play in PLAYS:
        counts = {"orders": "sent", "fills": "fills"}
        counts_by_key = {
            key: both_counts(last["plays"][play.name][key], same[play.peer], theirs) for key, theirs in counts.items()
        }
        facts[play.name] = {
            f"{key}, {side}": count for key, both_sides in counts_by_key.items() for side, count in both_sides.items()
        }
    facts["bytes"] = {"index": last["made"]["bytes"]}
    return Measured(rows, facts, [] if bench.peer_plays else [bench.no_peer])


if __name__ == "__main__":
    main(*sys.argv[1:])
