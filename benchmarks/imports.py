"""An import of a capture compared with hftbacktest's own converter of such captures, in alternating fresh processes.

The capture is generated here, of USD-M futures, the format of that converter: some twenty levels per message, with
trades and best prices in between. Both read the same compressed file, and both write their result.
"""

import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.turns import NO_PEER, PYTHON, Aim, Measured, ProcessResult, Row, run

SYMBOL = "SIMUSDT"
MESSAGES = 120_000
START_NS = 1_767_610_800_000_000_000
STEP_NS = 30_000_000
MID, WIDTH, LEVELS = 281_500, 400, 20
_PEER = """
import json, sys, time
from hftbacktest.data.utils import binancefutures
took = []
for _ in range(2):
    began = time.perf_counter()
    rows = len(binancefutures.convert(sys.argv[1], sys.argv[2], buffer_size=int(sys.argv[3])))
    took.append(time.perf_counter() - began)
    print(json.dumps({"rows": rows, "first_s": took[0], "again_s": took[-1]}))
    if len(sys.argv) < 5:
        break
"""


def measure(turns: int, peer: Path | None) -> Measured:
    """Measure an import; *peer* is the Python of an environment that has hftbacktest, None leaves it out."""
    with TemporaryDirectory() as place:
        capture, data, out = (Path(place) / name for name in ("capture.gz", "data", "out.npz"))
        counts = write_capture(capture, MESSAGES)
        ours, theirs, again_s = [], [], []
        convert = [str(peer), "-c", _PEER, str(capture), str(out), str(counts["levels"] + 2 * MESSAGES)]
        for _ in range(turns):
            if peer:
                theirs.append(run(convert))
                again_s.append(run([*convert, "again"]).output["again_s"])
            shutil.rmtree(data, ignore_errors=True)
            ours.append(
                run([*PYTHON, "mm", "data", "import", str(capture), "--symbol", SYMBOL, "--data-root", str(data)])
            )
        files = [path for path in data.rglob("*") if path.is_file()]
        facts = {
            **counts,
            "capture, bytes": capture.stat().st_size,
            "files, bytes": sum(path.stat().st_size for path in files),
        }
    return Measured(_rows(ours, theirs, again_s), facts, [] if peer else [NO_PEER])


def _rows(ours: list[ProcessResult], theirs: list[ProcessResult], again_s: list[float]) -> list[Row]:
    against = "hftbacktest"
    wall_s = [result.wall_s for result in ours]
    user_s = [result.user_s for result in ours], [result.user_s for result in theirs]
    return [
        Row("import a capture", "s", wall_s, against, [result.wall_s for result in theirs], Aim(1), *user_s),
        Row("import, against a second conversion", "s", wall_s, against, again_s, Aim(0.5)),
        Row(
            "import, peak memory",
            "MB",
            [result.peak_mb for result in ours],
            against,
            [result.peak_mb for result in theirs],
            Aim(4),
        ),
    ]


def write_capture(path: Path, messages: int) -> dict[str, int]:
    """Write a compressed capture of *messages* depth messages, reproducible, and return its contents as counts."""
    counts = {"depth messages": 0, "levels": 0, "trades": 0, "best prices": 0}
    with gzip.open(path, "wb", 1) as file:
        for at_ns, kind, message in _messages(Random(1), messages):
            body = message
            if kind:
                counts[kind] += 1
                body = {"stream": f"{SYMBOL.lower()}@{_STREAMS[kind]}", "data": message}
            if kind == "depth messages":
                counts["levels"] += len(message["b"]) + len(message["a"])
            file.write(b"%d %s\n" % (at_ns, json.dumps(body, separators=(",", ":")).encode()))
    return counts


_STREAMS = {"depth messages": "depth@0ms", "trades": "trade", "best prices": "bookTicker"}


def _messages(rng: Random, messages: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield receive time, kind and message: a snapshot, then depth messages with trades and best prices in between."""
    mid, update_id, at_ns = MID, 1_000_000, START_NS
    sent = at_ns // 10**6
    sides = [[_level(mid + sign * n, rng.randrange(1, 9_999)) for n in range(1, WIDTH)] for sign in (-1, 1)]
    yield at_ns, "", {"lastUpdateId": update_id, "E": sent, "T": sent, "bids": sides[0], "asks": sides[1]}
    for number in range(messages):
        at_ns += STEP_NS
        sent = at_ns // 10**6 - 5
        step = rng.choice((-1, 0, 0, 1))
        mid += step
        removed = [_level(mid, 0)] if step else []  # the price between bids and asks is empty
        bids, asks = (
            [
                _level(
                    mid + sign * min(WIDTH, int(rng.expovariate(0.03)) + 1),
                    rng.choice((0, 1, 7)) * rng.randrange(1, 999),
                )
                for _ in range(LEVELS // 2)
            ]
            for sign in (-1, 1)
        )
        best = rng.randrange(1, 9_999), rng.randrange(1, 9_999)
        bids, asks = [*removed, *bids, _level(mid - 1, best[0])], [*removed, *asks, _level(mid + 1, best[1])]
        before, update_id = update_id, update_id + rng.randrange(1, 900)
        ids = {"U": before + 1, "u": update_id, "pu": before}
        common = {"E": sent, "T": sent - 3, "s": SYMBOL}
        yield at_ns, "depth messages", {"e": "depthUpdate", **common, **ids, "b": bids, "a": asks}
        price, qty = _level(mid + rng.choice((-1, 1)), rng.randrange(1, 99))
        trade = {"t": number + 1, "p": price, "q": qty, "X": "MARKET", "m": rng.random() < 0.5}
        yield at_ns, "trades", {"e": "trade", **common, **trade}
        (bid, bid_qty), (ask, ask_qty) = _level(mid - 1, best[0]), _level(mid + 1, best[1])
        ticker = {"u": update_id, "s": SYMBOL, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty, "T": sent - 3, "E": sent}
        yield at_ns, "best prices", {"e": "bookTicker", **ticker}


def _level(ticks: int, lots: int) -> list[str]:
    return [f"{ticks // 10}.{ticks % 10}0", f"{lots // 1000}.{lots % 1000:03d}"]


if __name__ == "__main__":
    print(json.dumps(write_capture(Path(sys.argv[1]), int(sys.argv[2]))))
