"""The engine: one day played with Avellaneda-Stoikov quotes, in process and from the shell to the written files.

``python -m mm.bench.engine DAY_FOLDER CACHE [QUOTE_QTY]`` is what a turn runs: it opens the cached tape and plays
it, three times, and prints one JSON object with ``load_s`` and ``run_s``.
"""

import json
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mm.bench.turns import PYTHON, Measured, Ran, Row, run
from mm.bench.yardstick import Bench
from mm.config import Account, Execution, Models
from mm.knobs import knobs, shown

PEER = "hftbacktest"
REPEATS = 3
# What hftbacktest's script does by default, in ticks of 0.01: gamma 0.1, k 1.5, sigma 0.001 of the quote asset
# quote 65 ticks from the mid; the sigma is too small for the inventory to matter. Nothing is refused for a balance.
QUOTES: dict[str, Any] = {"gamma": 0.001, "k": 0.015, "sigma": 0.1, "horizon_s": 1}
EXECUTION = Execution(order_latency_ms=50.0, cancel_latency_ms=50.0, requote_interval_ms=250.0)
ACCOUNT = Account(initial_cash="100000", initial_inventory="1")


def measure(bench: Bench) -> Measured:
    """Measure the day against the peer, or alone."""
    whole = _whole_command(bench)
    _remove(run(whole))  # makes the tape and the bytecode
    inside = [*PYTHON, "mm.bench.engine", str(bench.folder.path), str(bench.out / "tapes"), bench.quote_qty or ""]
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
    def told(name: str, key: str, peer_key: str, aim: str = "") -> Row:
        theirs = [peer.said["runs"][0][peer_key] for peer in peers]
        return Row(name, "s", [ran.said[key] for ran in insides], PEER, theirs, aim)

    def spent(name: str, what: str, unit: str, aim: str = "") -> Row:
        own, theirs = ([getattr(ran, what) for ran in side] for side in (wholes, peers))
        return Row(name, unit, own, PEER, theirs, aim)

    return [
        told("play the day", "run_s", "run_s", "8, better 20"),
        told("play the day, user time", "run_user_s", "run_user_s"),
        told("open the day, to play it", "load_s", "load_s"),
        spent("shell to written files", "wall_s", "s", "8, better 12"),
        spent("shell to written files, user time", "user_s", "s"),
        spent("peak memory", "peak_mb", "MB", "under 1,000 MB"),
    ]


def _whole_command(bench: Bench) -> list[str]:
    day = bench.folder
    where = ["--data-root", str(day.root), "--out-root", str(bench.out)]
    flags = ["--symbol", day.symbol, "--day", day.day, *where, "--json"]
    return [*PYTHON, "mm", "backtest", *flags, *_flags(EXECUTION), *_flags(ACCOUNT), *_flags(_models(bench.quote_qty))]


def _models(quote_qty: str | None) -> Models:
    return Models(quote_qty=quote_qty, quote_params_json=json.dumps(QUOTES), fill_model="trade_cross")


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


def main(folder: str, cache: str, quote_qty: str = "") -> None:
    """Open and play the day, and print the medians of the seconds it took."""
    runs = [_played(Path(folder), Path(cache), quote_qty or None) for _ in range(REPEATS)]
    seconds = {key: statistics.median(one[key] for one in runs) for key in ("load_s", "run_s", "run_user_s")}
    print(json.dumps({**runs[-1], **seconds}))


def _played(folder: Path, cache: Path, quote_qty: str | None) -> dict[str, Any]:
    """Open and play the day once; what it takes to let go of tape and journal is nobody's time."""
    from mm import assemble
    from mm.backtest.io import load_day
    from mm.backtest.models import avellaneda_stoikov, trade_cross
    from mm.backtest.replay import backtest

    began = time.perf_counter()
    tape = load_day(folder, cache=cache)
    rules = assemble.rules(tape, EXECUTION, ACCOUNT, _models(quote_qty))
    opened, opened_user = time.perf_counter(), _user_s()
    journal = backtest(tape, avellaneda_stoikov(**QUOTES), trade_cross(), rules).journal
    return {
        "load_s": opened - began,
        "run_s": time.perf_counter() - opened,
        "run_user_s": _user_s() - opened_user,
        "events": journal.counters["events"],
        "rows": journal.counters["rows"],
        "orders": int(journal.orders[:, 1].max(initial=0)),
        "fills": len(journal.fills),
    }


def _user_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


if __name__ == "__main__":
    main(*sys.argv[1:])
