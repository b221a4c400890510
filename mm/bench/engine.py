"""The engine: one day played with Avellaneda-Stoikov quotes, in process and from the shell to the written files."""

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from mm.bench.strategy import ACCOUNT, EXECUTION, models
from mm.bench.turns import PYTHON, Measured, Ran, Row, run
from mm.bench.yardstick import Bench
from mm.config import Account, Execution, Models
from mm.knobs import knobs, shown

PEER = "hftbacktest"
SHARE = "its share"


def measure(bench: Bench) -> Measured:
    """Measure the day against the peer, or alone."""
    whole = _whole_command(bench)
    _remove(run(whole))  # makes the tape, its best prices and the bytecode
    inside = [*PYTHON, "mm.bench.plays", str(bench.folder.path), str(bench.out / "tapes"), bench.quote_qty or ""]
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
