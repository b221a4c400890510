"""The engine: one day played with Avellaneda-Stoikov quotes, in process and from the shell to the written files.

``python -m benchmarks.engine DAY_FOLDER CACHE [QUOTE_QTY]`` opens the kept tape and prints one JSON object: seconds by
the clock and of user time of each play, medians where one is played more than once.
"""

import json
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.turns import PYTHON, Bench, Measured, Ran, Row, run
from mm.backtest.rules import Account, Execution
from mm.cli.config import Models
from mm.cli.knobs import knobs, shown

if TYPE_CHECKING:
    from mm.backtest.fills.base import OrderView, TradeView
    from mm.backtest.journal import Journal, Table
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

# What hftbacktest's script does by default, in ticks of 0.01: gamma 0.1, k 1.5, sigma 0.001 of the quote asset
# quote 65 ticks from the mid; the sigma is too small for the inventory to matter. Nothing is refused for a balance.
QUOTES: dict[str, Any] = {"gamma": 0.001, "k": 0.015, "sigma": 0.1, "horizon_s": 1}
EXECUTION = Execution(
    order_latency_ms=50.0, cancel_latency_ms=50.0, requote_interval_ms=250.0, order_limit_10s=0, order_limit_day=0
)
ACCOUNT = Account(initial_cash="100000", initial_inventory="1")
REPEATS = 3
SWEEP = 20  # runs on one opened tape
PARTS = (1, 2, 4, 8)  # of as many hours as the yardstick day has
OF_PARTS = 14
FED = 100_000  # events that are fed one at a time
PIECES = 200  # events that are attached one at a time
PEER = "hftbacktest"
SHARE = "its share"
ATTACHED = "attached"


def models(quote_qty: str | None) -> Models:
    """Return the models, quoting *quote_qty* of the base asset; None is the least that the day's grid allows."""
    formula = "avellaneda_stoikov_bare"
    return Models(
        quote_model=formula, quote_qty=quote_qty, quote_params_json=json.dumps(QUOTES), fill_model="trade_cross"
    )


class OnTrade:
    """A fill model in plain Python: the rule of ``trade_cross``."""

    def on_trade(self, order: "OrderView", trade: "TradeView") -> int:
        """Return how many lots of *order* a print fills."""
        if trade.side != order.side and order.side * (order.ticks - trade.ticks) >= 0:
            return min(order.lots, trade.lots)
        return 0


def main(folder: str, cache: str, quote_qty: str = "") -> None:
    """Play the day in each way, and print the seconds it took."""
    from mm.backtest.io import load_day
    from mm.backtest.models import queue_prob_power, trade_cross
    from mm.commands import assemble

    opening = partial(load_day, Path(folder), cache=Path(cache))
    tape = opening()
    tape.best  # noqa: B018 - from now on it is kept
    rules = assemble.rules(tape, EXECUTION, ACCOUNT, models(quote_qty or None))
    loads = [_seconds(opening) for _ in range(REPEATS)]
    day = [_seconds(partial(_played, opening(), trade_cross(), rules)) for _ in range(REPEATS)]
    counters, orders, fills = _told(_played(tape, trade_cross(), rules))
    again = [_seconds(partial(_played, tape, trade_cross(), rules)) for _ in range(SWEEP)]
    read = [_seconds(lambda: _told(_played(tape, trade_cross(), rules))) for _ in range(SWEEP)]
    whole = [_seconds(partial(_played, replace(tape), trade_cross(), rules)) for _ in range(REPEATS)]
    queue = [_seconds(partial(_played, tape, queue_prob_power(), rules)) for _ in range(REPEATS)]
    python = [_seconds(partial(_played, tape, OnTrade(), rules)) for _ in range(REPEATS)]
    plays = {"day": day, "again": again, "read": read, "whole": whole, "queue": queue, "python": python, "load": loads}
    said = {
        "plays": {name: _median(taken) for name, taken in plays.items()},
        "feed": _fed(tape, rules),
        "parts": [_part(tape, parts, rules) for parts in (*PARTS, OF_PARTS)],
        "events": counters["events"],
        "rows": counters["rows"],
        "orders": int(orders[:, 1].max(initial=0)),
        "fills": len(fills),
    }
    print(json.dumps(said))


def _part(tape: "Tape", parts: int, rules: "Rules") -> dict[str, float]:
    """Return the user seconds that the beginning of a tape takes: its best prices, and its whole book."""
    from mm.backtest.models import trade_cross

    length_us = tape.end_us + 1 - tape.start_us
    part = tape.between(tape.start_us, tape.start_us + length_us * parts // OF_PARTS)
    best, whole = (
        _median([_seconds(partial(_played, one, trade_cross(), rules)) for _ in range(REPEATS)])["user_s"]
        for one in (part, replace(part))
    )
    return {"hours": length_us * parts / OF_PARTS / 3.6e9, "events": len(part), "best": best, "whole": whole}


def _fed(tape: "Tape", rules: "Rules") -> dict[str, float]:
    """Return the µs that an event takes where it is fed, and where it is attached as a tape of its own; medians."""
    from mm.backtest.live_feed import feed_events
    from mm.backtest.models import avellaneda_stoikov_bare, trade_cross
    from mm.backtest.paper_exchange import PaperExchange

    begun, pieces = (PaperExchange(avellaneda_stoikov_bare(**QUOTES), trade_cross(), rules) for _ in range(2))
    fed = []
    for event in feed_events(tape.cut(0, min(FED, len(tape)), tape.start_us, tape.end_us)):
        began = time.perf_counter()
        begun.feed((event,))
        fed.append(time.perf_counter() - began)
    attached = []
    for place in range(min(PIECES, len(tape))):
        us = int(tape.event_us[place])
        piece = tape.cut(place, place + 1, us, us)
        began = time.perf_counter()
        pieces.attach(piece)
        pieces.advance(us)
        attached.append(time.perf_counter() - began)
    return {"fed": 1e6 * statistics.median(fed), "attached": 1e6 * statistics.median(attached)}


def _played(tape: "Tape", fills: object, rules: "Rules") -> "Journal":
    from mm.backtest.models import avellaneda_stoikov_bare
    from mm.backtest.replay import backtest

    return backtest(tape, avellaneda_stoikov_bare(**QUOTES), fills, rules).journal


def _told(journal: "Journal") -> tuple[dict[str, Any], "Table", "Table"]:
    """Return what is read of a journal: the table of orders is written out when it is first asked for."""
    return journal.counters, journal.orders, journal.fills


def _seconds(do: Callable[[], object]) -> dict[str, float]:
    """Return what it takes to *do* something; to let go of what came of it is nobody's time."""
    began, began_user = time.perf_counter(), _user_s()
    done = do()
    taken = {"s": time.perf_counter() - began, "user_s": _user_s() - began_user}
    del done
    return taken


def _median(taken: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in taken) for key in taken[0]}


def _user_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def measure(bench: Bench) -> Measured:
    """Measure the day against the peer, or alone."""
    whole = _whole_command(bench)
    _remove(run(whole))  # makes the tape, its best prices and the bytecode
    inside = [*PYTHON, "benchmarks.engine", str(bench.folder.path), str(bench.out / "tapes"), bench.quote_qty or ""]
    peers, wholes, insides = [], [], []
    timings: list[Mapping[str, float]] = []
    for _ in range(bench.turns):
        if bench.peer:
            peers.append(run(bench.peer))
        wholes.append(run(whole))
        insides.append(run(inside))
        timings.append(_remove(wholes[-1]))
    facts = {
        "messages": insides[-1].said["events"],
        "rows": insides[-1].said["rows"],
        "orders": _beside(insides, peers, "orders", "sent"),
        "fills": _beside(insides, peers, "fills", "fills"),
        "of the whole process": _shares(wholes, timings),
    }
    return Measured(_rows(insides, wholes, peers), facts, [] if peers else [bench.no_peer])


def _rows(insides: Sequence[Ran], wholes: Sequence[Ran], peers: Sequence[Ran]) -> list[Row]:
    def peer(key: str) -> list[float]:
        return [ran.said["runs"][0][key] for ran in peers]

    def play(name: str, which: str, aim: str = "", key: str = "user_s") -> Row:
        own = [ran.said["plays"][which][key] for ran in insides]
        return Row(name, "s", own, PEER, peer("run_user_s" if key == "user_s" else "run_s"), aim)

    def spent(name: str, what: str, unit: str, aim: str = "") -> Row:
        own, theirs = ([getattr(ran, what) for ran in side] for side in (wholes, peers))
        return Row(name, unit, own, PEER, theirs, aim)

    attached = [ran.said["feed"]["attached"] for ran in insides]
    return [
        play("play the day", "day", "12, better 30", "s"),
        play("play the day, user time", "day"),
        play("play it again, user time", "again", "100, better 200"),
        play("the same, and read its orders", "read"),
        play("play its whole book, user time", "whole"),
        play("queue_prob_power, user time", "queue", "8"),
        play("fill model in Python, user time", "python", "3"),
        Row("open the day, to play it", "s", [ran.said["plays"]["load"]["s"] for ran in insides], PEER, peer("load_s")),
        spent("shell to written files", "wall_s", "s", "10"),
        spent("shell to written files, user time", "user_s", "s"),
        spent("peak memory", "peak_mb", "MB", "under 500 MB"),
        Row("an event fed", "µs", [ran.said["feed"]["fed"] for ran in insides], ATTACHED, attached, "10"),
        *_parts(insides),
    ]


def _parts(insides: Sequence[Ran]) -> list[Row]:
    """Return what parts of the day take, beside their share of what the day takes: 1 is linear in events."""
    rows = []
    for which, told in (("best", "best prices"), ("whole", "whole book")):
        for place in range(len(insides[0].said["parts"]) - 1):
            parts = [ran.said["parts"][place] for ran in insides]
            days = [ran.said["parts"][-1] for ran in insides]
            shares = [day[which] * part["events"] / day["events"] for part, day in zip(parts, days, strict=True)]
            name = f"{told}, {parts[0]['hours']:.3g} of {days[0]['hours']:.3g} hours"
            rows.append(Row(name, "s", [part[which] for part in parts], SHARE, shares, "1"))
    return rows


def _whole_command(bench: Bench) -> list[str]:
    day = bench.folder
    where = ["--data-root", str(day.root), "--out-root", str(bench.out)]
    flags = ["--symbol", day.symbol, "--day", day.day, *where, "--json"]
    return [*PYTHON, "mm", "backtest", *flags, *_flags(EXECUTION), *_flags(ACCOUNT), *_flags(models(bench.quote_qty))]


def _flags(group: Execution | Account | Models) -> list[str]:
    """Return the knobs of *group* that are not at their defaults, as flags."""
    given = [(one, getattr(group, one.name)) for one in knobs(type(group))]
    return [word for one, value in given if value != one.default for word in (one.flag, shown(value))]


def _remove(ran: Ran) -> dict[str, float]:
    """Return the timings of a run's manifest, and remove the run."""
    folder = Path(ran.said["path"]).parent
    timings: dict[str, float] = json.loads((folder / "run_manifest.json").read_text(encoding="utf-8"))["timings"]
    shutil.rmtree(folder)
    return timings


def _beside(own: Sequence[Ran], peers: Sequence[Ran], key: str, peer_key: str) -> dict[str, int]:
    found = {"mm": own[-1].said[key]}
    return {**found, PEER: peers[-1].said["runs"][0][peer_key]} if peers else found


def _shares(wholes: Sequence[Ran], timings: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """Return where the wall time of the whole process went, in percent by medians."""
    parts = {"start and first imports": "import_s", "open": "load_s", "play": "play_s", "write": "write_s"}
    shares = {
        name: statistics.median(timing[key] / ran.wall_s for timing, ran in zip(timings, wholes, strict=True))
        for name, key in parts.items()
    }
    shares["other imports, hashes, exit"] = 1 - sum(shares.values())
    return {name: f"{share:.0%}" for name, share in shares.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
