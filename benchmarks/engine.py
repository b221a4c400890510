"""The engine: one day played with Avellaneda-Stoikov quotes, in process and from the shell to the written files.

``python -m benchmarks.engine DAY_FOLDER CACHE [QUOTE_QTY [K]]`` opens the kept tape and prints one JSON object: wall
and user seconds of each play, medians of repeated plays.
"""

import json
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.turns import FAR_K, GAMMA, PYTHON, Aim, Bench, Measured, ProcessResult, Row, at_most, run
from mm.backtest.rules import Account, Execution
from mm.base.knobs import knobs, shown
from mm.play.knobs import Models

if TYPE_CHECKING:
    from mm.backtest.fills.base import OrderView, TradeView
    from mm.backtest.journal import Fills, Journal, Orders
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

# The settings of hftbacktest's script, in ticks of 0.01: its distance from the mid follows from k (`FAR_K`, `NEAR_K`),
# and the sigma is too small for the inventory to matter. No order is rejected for lack of balance.
QUOTES: dict[str, Any] = {"gamma": GAMMA, "k": FAR_K, "sigma": 0.1, "horizon_s": 1}
EXECUTION = Execution(
    order_latency_ms=50.0,
    cancel_latency_ms=50.0,
    requote_interval_ms=250.0,
    requote_on_fill=False,  # the peer requotes only on the grid
    feed_latency="none",  # rows of a recorded feed stand apart (play_models)
    order_limit_10s=0,
    order_limit_day=0,
)
ACCOUNT = Account(initial_cash="100000", initial_inventory="1")
REPEATS = 3
SWEEP = 20  # number of runs on one opened tape
PARTS = (1, 2, 4, 8)  # divisors of the yardstick day's hours
OF_PARTS = 14
DEPTH = 10  # prices per side that a model of the whole book reads at each requote
FED = 100_000  # number of events that are fed one at a time
PIECES = 200  # number of events that are attached one at a time
PEER = "hftbacktest"
SHARE = "its share"
LINEAR = 0.4  # least share of a linear time: an hour's part takes milliseconds, of which a start is some
ATTACHED = "attached"


def models(quote_qty: str | None, k: float = FAR_K) -> Models:
    """Return the models, quoting *quote_qty* of the base asset; None for the minimum of the day's grid."""
    params, formula = json.dumps({**QUOTES, "k": k}), "avellaneda_stoikov_bare"
    return Models(quote_model=formula, quote_qty=quote_qty, quote_params_json=params, fill_model="trade_cross")


def quotes_of(k: float) -> object:
    """Return the quote model of `models` in process."""
    from mm.backtest.models import avellaneda_stoikov_bare

    return avellaneda_stoikov_bare(**{**QUOTES, "k": k})


class OnTrade:
    """A fill model in plain Python: the rule of ``trade_cross``."""

    def on_trade(self, order: "OrderView", trade: "TradeView") -> float:
        """Return the lots of *order* that a print fills."""
        if trade.side != order.side and order.side * (order.ticks - trade.ticks) >= 0:
            return min(order.lots, trade.lots)
        return 0


def main(folder: str, cache: str, quote_qty: str = "", k: str = str(FAR_K)) -> None:
    """Play the day in each variant, and print the seconds."""
    from mm.backtest.models import queue_prob_power, trade_cross
    from mm.play.engine_rules import rules_of
    from mm.tape.load import load_day

    open_tape = partial(load_day, Path(folder), cache=Path(cache))
    tape = open_tape()
    rules = rules_of(tape, EXECUTION, ACCOUNT, models(quote_qty or None))

    def play(market: "Tape", fills: object) -> "Callable[[], Journal]":
        return partial(played, market, fills, rules, float(k))

    assert tape.levels  # cached from now on
    loads = [seconds(open_tape) for _ in range(REPEATS)]
    first = [seconds(play(open_tape(), trade_cross())) for _ in range(REPEATS)]
    counters, orders, fills = _tables(play(tape, trade_cross())())
    again = [seconds(play(tape, trade_cross())) for _ in range(SWEEP)]
    read = [seconds(lambda: _tables(play(tape, trade_cross())())) for _ in range(SWEEP)]
    whole = [seconds(partial(played, tape, trade_cross(), rules, float(k), DEPTH)) for _ in range(REPEATS)]
    queue = [seconds(play(tape, queue_prob_power())) for _ in range(REPEATS)]
    python = [seconds(play(tape, OnTrade())) for _ in range(REPEATS)]
    plays = {"day": first, "again": again, "read": read, "whole": whole, "queue": queue}
    plays |= {"python": python, "load": loads}
    output = {
        "plays": {name: median(taken) for name, taken in plays.items()},
        "feed": _fed(tape, rules),
        "parts": [_part(tape, parts, rules, float(k)) for parts in (*PARTS, OF_PARTS)],
        "events": counters["events"],
        "rows": counters["rows"],
        "orders": int(orders.order_id.max(initial=0)),
        "fills": len(fills),
    }
    print(json.dumps(output))


def _part(tape: "Tape", parts: int, rules: "Rules", k: float) -> dict[str, float]:
    """Return the user seconds for the start of a tape: with its best prices, and with its whole book."""
    from mm.backtest.models import trade_cross

    length_us = tape.end_us + 1 - tape.start_us
    part = tape.between(tape.start_us, tape.start_us + length_us * parts // OF_PARTS)
    best, whole = (
        median([seconds(partial(played, part, trade_cross(), rules, k, depth)) for _ in range(REPEATS)])["user_s"]
        for depth in (0, DEPTH)
    )
    return {"hours": length_us * parts / OF_PARTS / 3.6e9, "events": len(part), "best": best, "whole": whole}


def _fed(tape: "Tape", rules: "Rules") -> dict[str, float]:
    """Return the median time of an event that is fed, and of one attached as a separate tape, in µs."""
    from mm.backtest.engine.live_feed import feed_events
    from mm.backtest.models import avellaneda_stoikov_bare, trade_cross
    from mm.backtest.paper_exchange import PaperExchange

    feeding, attaching = (PaperExchange(avellaneda_stoikov_bare(**QUOTES), trade_cross(), rules) for _ in range(2))
    fed = []
    for event in feed_events(tape.cut(0, min(FED, len(tape)), tape.start_us, tape.end_us)):
        began = time.perf_counter()
        feeding.feed((event,))
        fed.append(time.perf_counter() - began)
    attached = []
    for place in range(min(PIECES, len(tape))):
        us = int(tape.event_us[place])
        piece = tape.cut(place, place + 1, us, us)
        began = time.perf_counter()
        attaching.attach(piece)
        attaching.advance(us)
        attached.append(time.perf_counter() - began)
    return {"fed": 1e6 * statistics.median(fed), "attached": 1e6 * statistics.median(attached)}


def played(tape: "Tape", fills: object, rules: "Rules", k: float, depth: int = 0) -> "Journal":
    """Return the journal of a play with the quotes of *k*, for which *depth* prices per side are read."""
    from mm.backtest.replay import backtest

    return backtest(tape, deep(quotes_of(k), depth) if depth else quotes_of(k), fills, rules).journal


def deep(quotes: Any, prices: int = DEPTH) -> object:
    """Return a quote model that reads prices of the book at each requote, and then quotes as *quotes*."""
    from benchmarks._deep_quotes import DeepQuotes

    return DeepQuotes(quotes, prices)


def _tables(journal: "Journal") -> tuple[dict[str, Any], "Orders", "Fills"]:
    """Return the tables of a journal; the table of orders is built on first access."""
    return journal.counters, journal.orders, journal.fills


def seconds(work: Callable[[], object]) -> dict[str, float]:
    """Return the time of a call of *work*, without the release of its result."""
    began, began_user = time.perf_counter(), _user_s()
    result = work()
    taken = {"s": time.perf_counter() - began, "user_s": _user_s() - began_user}
    del result
    return taken


def median(taken: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the medians of several times, wall and user."""
    return {key: statistics.median(one[key] for one in taken) for key in taken[0]}


def _user_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def measure(bench: Bench) -> Measured:
    """Measure the day, compared with the peer if there is one."""
    command = _whole_command(bench)
    _remove(run(command))  # creates the tape, its best prices and the bytecode
    in_process_command = [*PYTHON, "benchmarks.engine", str(bench.folder.path), str(bench.out / "tapes")]
    in_process_command += [bench.quote_qty or "", str(bench.k)]
    peers, warm, commands, in_process = [], [], [], []
    timings: list[Mapping[str, float]] = []
    for _ in range(bench.turns):
        if bench.peer:
            peers.append(run([*bench.peer, "--repeat", "1"]))
            warm.append(run([*bench.peer, "--repeat", "2"]))
        commands.append(run(command))
        in_process.append(run(in_process_command))
        timings.append(_remove(commands[-1]))
    facts = {
        "messages": in_process[-1].output["events"],
        "rows": in_process[-1].output["rows"],
        "orders": both_counts(in_process[-1].output["orders"], peers, "sent"),
        "fills": both_counts(in_process[-1].output["fills"], peers, "fills"),
        "of the whole process": _shares(commands, timings),
    }
    return Measured(_rows(in_process, commands, peers, warm), facts, [] if peers else [bench.no_peer])


def _rows(
    in_process: Sequence[ProcessResult],
    commands: Sequence[ProcessResult],
    peers: Sequence[ProcessResult],
    warm: Sequence[ProcessResult],
) -> list[Row]:
    def play(name: str, which: str, least: float) -> Row:
        """Compare our plays in one process with the peer's second play in one process: both are warm."""
        own = [result.output["plays"][which] for result in in_process]
        return play_row(name, own, warm, Aim(least))

    def spent(name: str, what: str, unit: str, aim: Aim) -> Row:
        own, theirs = ([getattr(result, what) for result in side] for side in (commands, peers))
        users = ([result.user_s for result in side] if unit == "s" else [] for side in (commands, peers))
        return Row(name, unit, own, PEER, theirs, aim, *users)

    def opened(name: str, which: Sequence[ProcessResult], aim: Aim | str) -> Row:
        own = [result.output["plays"]["load"] for result in in_process]
        theirs = [result.output["runs"][-1]["load_s"] for result in which]
        return Row(name, "s", [one["s"] for one in own], PEER, theirs, aim, [one["user_s"] for one in own])

    attached = [result.output["feed"]["attached"] for result in in_process]
    return [
        play("play the day", "day", 15),
        play("play it again", "again", 100),
        play("the same, with its orders read", "read", 45),
        play("play its whole book", "whole", 15),
        play("queue_prob_power", "queue", 30),
        play("fill model in Python", "python", 3.5),
        opened("open the day, warm", warm, Aim(15)),
        opened("open the day, peer's first time", peers, "ours is the row above"),
        spent("shell to written files", "wall_s", "s", Aim(10)),
        spent("peak memory", "peak_mb", "MB", at_most(500)),
        Row(
            "an event fed",
            "µs",
            [result.output["feed"]["fed"] for result in in_process],
            ATTACHED,
            attached,
            Aim(1_000),
        ),
        *_parts(in_process),
    ]


def play_row(name: str, own: Sequence[Mapping[str, float]], peers: Sequence[ProcessResult], aim: Aim) -> Row:
    """Return the row of a play: the seconds of *own*, and the last run in each of the *peers*' processes."""
    runs = [result.output["runs"][-1] for result in peers]
    walls, users = ([one[key] for one in runs] for key in ("run_s", "run_user_s"))
    return Row(name, "s", [one["s"] for one in own], PEER, walls, aim, [one["user_s"] for one in own], users)


def _parts(in_process: Sequence[ProcessResult]) -> list[Row]:
    """Return the times of parts of the day, with their share of the day's time: 1 is linear in events."""
    rows = []
    for which, label in (("best", "best prices"), ("whole", "whole book")):
        for place in range(len(in_process[0].output["parts"]) - 1):
            parts = [result.output["parts"][place] for result in in_process]
            days = [result.output["parts"][-1] for result in in_process]
            shares = [day[which] * part["events"] / day["events"] for part, day in zip(parts, days, strict=True)]
            name = f"{label}, {parts[0]['hours']:.3g} of {days[0]['hours']:.3g} hours"
            rows.append(Row(name, "s", [part[which] for part in parts], SHARE, shares, Aim(LINEAR)))
    return rows


def _whole_command(bench: Bench) -> list[str]:
    day = bench.folder
    where = ["--data-root", str(day.root), "--out-root", str(bench.out)]
    flags = ["--symbol", day.symbol, "--day", day.day, *where, "--json"]
    return [
        *PYTHON,
        "mm",
        "backtest",
        *flags,
        *flags_of(EXECUTION),
        *flags_of(ACCOUNT),
        *flags_of(models(bench.quote_qty, bench.k)),
    ]


def flags_of(group: Execution | Account | Models) -> list[str]:
    """Return the knobs of *group* that differ from their defaults, as flags."""
    knob_values = [(knob, getattr(group, knob.name)) for knob in knobs(type(group))]
    return [word for knob, value in knob_values if value != knob.default for word in (knob.flag, shown(value))]


def _remove(result: ProcessResult) -> dict[str, float]:
    """Return the timings of a run's manifest, and remove the run."""
    folder = Path(result.output["path"]).parent
    timings: dict[str, float] = json.loads((folder / "run_manifest.json").read_text(encoding="utf-8"))["timings"]
    shutil.rmtree(folder)
    return timings


def both_counts(own: int, peers: Sequence[ProcessResult], key: str) -> dict[str, int]:
    """Return our count, and the peer's count if there is one."""
    return {"mm": own, **({PEER: peers[-1].output["runs"][-1][key]} if peers else {})}


def _shares(commands: Sequence[ProcessResult], timings: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """Return the shares of the wall time of the whole process, in percent, by medians."""
    parts = {"start and first imports": "import_s", "open": "load_s", "play": "play_s", "write": "write_s"}
    shares = {
        name: statistics.median(timing[key] / result.wall_s for timing, result in zip(timings, commands, strict=True))
        for name, key in parts.items()
    }
    shares["other imports, hashes, exit"] = 1 - sum(shares.values())
    return {name: f"{share:.0%}" for name, share in shares.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
