"""The matching core: commands per second, time of one order, speed relative to the plain twin, and memory.

Each turn runs ``python -m benchmarks.matching COMMANDS [ROUNDS]``: it generates COMMANDS commands, plays them, then
ROUNDS more times in the same book to measure its memory, and prints one JSON object.
"""

import importlib
import json
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import mm
from benchmarks.turns import PYTHON, Aim, Measured, Row, at_most, run

COMMANDS, ROUNDS = 1_000_000, 10
CHUNK = 10_000  # commands between two reads of the log
TWIN, CALLS = 100_000, 200_000  # numbers of commands to measure the twin, and calls from Python
# The market: an order is cancelled after `LIFETIME` commands on average, so some 20,000 orders rest; one limit order in
# six trades, because the mid walks through the resting orders, and aggressive orders are small.
LIMITS, CANCELS, TAKES = 0.45, 0.45, 0.10
LIFETIME = 50_000
WITHIN = "a part of another row"
ACCOUNTS = 50


def measure(turns: int) -> Measured:
    """Measure it in *turns* fresh processes."""
    command = [*PYTHON, "benchmarks.matching", str(COMMANDS), str(ROUNDS)]
    outputs = [run(command).output for _ in range(turns)]

    def row(name: str, key: str, against: str = "", other: str = "", aim: Aim | str = WITHIN) -> Row:
        theirs = [output[other] for output in outputs] if other else []
        return Row(
            name, "MB" if key.endswith("mb") else "ns", [output[key] for output in outputs], against, theirs, aim
        )

    rows = [
        row("run() of a million, per command", "run_ns", "plain twin", "twin_ns", Aim(20)),
        row("the same, log not kept", "silent_run_ns", "plain twin", "silent_twin_ns"),
        row("one order in process, median", "median_ns", aim=at_most(1_000)),
        row("one order in process, p99", "p99_ns", aim=at_most(10_000)),
        row("submit() from Python, median", "call_median_ns"),
        row("submit() from Python, p99", "call_p99_ns"),
        row(f"memory after {ROUNDS * COMMANDS:,} more", "after_mb", "before", "before_mb", Aim(0.95)),
    ]
    last = outputs[-1]
    facts = {key: last[key] for key in ("commands", "resting", "levels", "trades", "log rows")}
    facts["commands per second"] = round(1e9 / statistics.median(output["run_ns"] for output in outputs))
    facts["clock overhead, one order"] = {"in process": last["clock_ns"], "from Python": last["call_clock_ns"]}
    notes = [
        "run() and the twin: processor time, including their logs",
        "rows of one order include the overhead of the clock",
    ]
    return Measured(rows, facts, notes)


def market(count: int, seed: int = 1) -> Any:
    """Return *count* commands for `Matching.run`, whose ids assume a book that begins with order 1.

    Limit orders are at exponential distances from a mid that is a random walk; each is cancelled after an exponential
    time if it is still open; a tenth of all commands are market orders. After the last command no order rests.
    """
    import numpy as np

    from mm.sim.matching.order_log import MARKET, OP_CANCEL, OP_SUBMIT

    random = np.random.default_rng(seed)
    placed = int(count * LIMITS)
    sent = count - placed
    is_market = np.zeros(sent, bool)
    is_market[random.permutation(sent)[placed:]] = True
    at = np.arange(sent) * (count / sent)
    cancelled_at = at[~is_market] + random.exponential(LIFETIME, placed)
    side = random.choice(np.array([-1, 1]), sent)
    mid = 1_000_000 + np.cumsum(random.normal(0, 0.05, sent))
    rows = np.zeros((count, 8), np.int64)
    rows[:sent, 1] = OP_SUBMIT
    rows[:sent, 2] = 1_000 + random.integers(0, ACCOUNTS, sent)
    rows[:sent, 3] = side
    rows[:sent, 4] = np.where(is_market, 0, mid - side * (0.5 + random.exponential(40.0, sent)))
    rows[:sent, 5] = random.integers(1, np.where(is_market, 20, 100))
    rows[:sent, 6] = np.where(is_market, MARKET, 0)
    rows[sent:, 1] = OP_CANCEL
    rows[sent:, 7] = 1 + np.flatnonzero(~is_market)
    rows = rows[np.argsort(np.concatenate((at, cancelled_at)), kind="stable")]
    rows[:, 0] = np.arange(count)
    return rows


def main(commands: str, rounds: str = str(ROUNDS)) -> None:
    """Play the market in each measured variant, and print the results."""
    rows = market(int(commands))
    print(json.dumps({**_memory(rows, int(rounds)), **_pace(rows), **_in_process(rows), **_from_python(rows)}))


def _memory(rows: Any, rounds: int) -> dict[str, Any]:
    """Play the market *rounds* times again in one book, and measure memory after the first and the last time."""
    from mm.sim.matching._core import Matching

    matching = Matching()
    _played(matching, rows)
    before_mb = _resident_mb()
    for turn in range(1, rounds + 1):
        _played(matching, rows, turn)
    return {"before_mb": before_mb, "after_mb": _resident_mb()}


def _pace(rows: Any) -> dict[str, Any]:
    """Play the market through `run`, with and without its log, and its start with the twin."""
    from mm.sim.matching._core import Matching

    found: dict[str, Any] = {"commands": len(rows)}
    for prefix, log in (("", True), ("silent_", False)):
        matching, twin = Matching(log=log), _plain_twin()(log=log)
        began = time.process_time_ns()
        logged = _played(matching, rows)
        found[f"{prefix}run_ns"] = (time.process_time_ns() - began) / len(rows)
        beginning = rows[:TWIN].tolist()
        began = time.process_time_ns()
        for at in range(0, len(beginning), CHUNK):
            twin.run(beginning[at : at + CHUNK])
            twin.take_log()
        found[f"{prefix}twin_ns"] = (time.process_time_ns() - began) / len(beginning)
        if log:
            found |= {"trades": matching.last_trade_id, "log rows": logged}
    half = Matching(log=False)
    half.run(rows[: len(rows) // 2])
    levels = sum(len(half.depth(side, None)) for side in (1, -1))
    return {**found, "resting": half.resting, "levels": levels}


def _plain_twin() -> Any:
    """Return the class of the plain twin, which is part of the tests: the comparison needs the repository."""
    sys.path.append(str(Path(mm.__file__).parents[1] / "tests"))
    return importlib.import_module("plain_matching").PlainMatching


def _in_process(rows: Any) -> dict[str, Any]:
    """Play the market with a clock around every command."""
    import numpy as np

    from benchmarks._clocked import clock_alone, clocked
    from mm.sim.matching._core import Matching

    took_ns = np.empty(len(rows), np.int64)
    clock_alone(took_ns)
    clock_ns = float(np.median(took_ns))
    matching = Matching()
    for at in range(0, len(rows), CHUNK):
        clocked(matching, rows[at : at + CHUNK], took_ns[at : at + CHUNK])
        matching.take_log()
    median_ns, p99_ns = np.quantile(took_ns, (0.5, 0.99)).tolist()
    return {"clock_ns": clock_ns, "median_ns": median_ns, "p99_ns": p99_ns}


def _from_python(rows: Any) -> dict[str, Any]:
    """Play the start of the market call by call, with a clock around each `submit`."""
    from mm.sim.matching._core import Matching
    from mm.sim.matching.order_log import OP_SUBMIT

    matching, clock = Matching(), time.perf_counter_ns
    took_ns, empty_ns = [], []
    for us, op, account, side, ticks, lots, kind, arg in rows[:CALLS].tolist():
        if op == OP_SUBMIT:
            began = clock()
            matching.submit(us, account, side, ticks, lots, kind)
            took_ns.append(clock() - began)
            began = clock()
            empty_ns.append(clock() - began)
        else:
            matching.cancel(us, arg)
        if us % 1_000 == 0:
            matching.take_log()
    cuts = statistics.quantiles(took_ns, n=100)
    return {"call_clock_ns": statistics.median(empty_ns), "call_median_ns": cuts[49], "call_p99_ns": cuts[98]}


def _played(matching: Any, rows: Any, turn: int = 0) -> int:
    """Play the market, taking the log regularly, and return the number of log rows.

    Args:
        matching: The book.
        rows: The market's commands.
        turn: Number of earlier plays in the book; ids and instants continue from there.
    """
    from mm.sim.matching.order_log import OP_CANCEL, OP_SUBMIT

    us, orders = turn * len(rows), turn * int((rows[:, 1] == OP_SUBMIT).sum())
    logged = 0
    for at in range(0, len(rows), CHUNK):
        chunk = rows[at : at + CHUNK]
        if turn:
            chunk = chunk.copy()
            chunk[:, 0] += us
            chunk[chunk[:, 1] == OP_CANCEL, 7] += orders
        matching.run(chunk)
        logged += len(matching.take_log())
    return logged


def _resident_mb() -> float:
    """Return the current memory of this process, 0 if unknown."""
    status = Path("/proc/self/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main(*sys.argv[1:])
