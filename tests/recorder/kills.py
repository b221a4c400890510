"""Kill a recorder with SIGKILL at random instants, start it again on the same day, and check the files.

``PYTHONPATH=.:tests python tests/recorder/kills.py --kills 1000 --first 0`` plays a market for each seed, and kills its
recorder up to ten times: during the start, when a file has grown to a random byte, and while it seals after a SIGTERM.
Rows that were whole on the disk must be unchanged after the next start, and at its end the day must be sound
(``mm data check``) and true (an independent reader compares it with the exchange's own truth). It prints a line per
market, and exits with 1 at the first violation; ``--kills 10 --first SEED`` plays that market again.
"""

import argparse
import asyncio
import hashlib
import random
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from recorder_process import SYMBOL, Recorder, exchange_box, running_recorder

from day_files import defects_of
from day_oracle import hold
from mm import DayFolder

KILLS_A_MARKET = 10
PATIENCE_S = 120.0
KINDS = ("starting", "opening", "writing", "writing", "writing", "ending")
_STREAMS = ("events", "gaps", "diffs", "frames", "trades", "quarantine")
_TORN = ("frames", "trades", "diffs")
_GZIP = 31


@dataclass
class Killed:
    """Results of the kills in a market.

    Attributes:
        kinds: Kills by phase; ``too late`` if the process had already ended.
        rows: Whole rows on the disk after the kills, each counted once.
        torn: Files whose torn end was cut by the next start.
        lost_s: The longest time between the last row on the disk and a kill while rows were being written.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    torn: int = 0
    lost_s: float = 0.0

    def add(self, other: "Killed") -> None:
        """Add the results of another market."""
        self.kinds += other.kinds
        self.rows += other.rows
        self.torn += other.torn
        self.lost_s = max(self.lost_s, other.lost_s)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return f"{kinds}; {self.rows} rows kept, {self.torn} torn ends cut, at most {self.lost_s:.2f} s lost"


def whole_part(path: Path) -> bytes:
    """Return the whole lines or gzip members of a growing file; nothing if it does not exist."""
    data = path.read_bytes() if path.exists() else b""
    if path.suffix != ".gz":
        return data[: data.rfind(b"\n") + 1]
    good = 0
    while good < len(data):
        member = zlib.decompressobj(_GZIP)
        with suppress(zlib.error):
            member.decompress(data[good:])
        if not member.eof:
            break
        good = len(data) - len(member.unused_data)
    return data[:good]


class Kept:
    """The whole parts of the files of a day after each kill, which must not change."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[int, str]] = {}
        self.rows = 0

    def remember(self, day: DayFolder) -> None:
        """Remember the current whole parts."""
        self.rows = 0
        for name in _STREAMS:
            part = whole_part(getattr(day, name))
            self._parts[name] = len(part), hashlib.sha256(part).hexdigest()
            lines = zlib_lines(part) if getattr(day, name).suffix == ".gz" else part
            self.rows += lines.count(b"\n")

    def verify(self, day: DayFolder) -> None:
        """Raise AssertionError if a remembered part is missing or has changed."""
        for name, (size, digest) in self._parts.items():
            path = getattr(day, name)
            data = path.read_bytes()[:size] if path.exists() else b""
            assert len(data) == size, f"{path.name} has {len(data)} bytes, {size} were whole after a kill"
            assert hashlib.sha256(data).hexdigest() == digest, f"{path.name}: the {size} bytes of before are others now"


def zlib_lines(data: bytes) -> bytes:
    """Return the text of whole gzip members."""
    texts = []
    while data:
        member = zlib.decompressobj(_GZIP)
        texts.append(member.decompress(data))
        data = member.unused_data
    return b"".join(texts)


async def kill_again_and_again(root: Path, seed: int, kills: int = KILLS_A_MARKET) -> Killed:
    """Record one market into *root* with *kills* kills; raise AssertionError if a row is lost or the day is not true.

    Each kill is followed by another start; the last run ends in order.
    """
    luck, found, kept = random.Random(seed), Killed(), Kept()
    async with exchange_box(seed=luck.randrange(1000)) as box:
        for _ in range(kills):
            async with running_recorder(box, root) as recorder:
                kind, writing, frames = luck.choice(KINDS), False, recorder.bytes_of("frames")
                if kind == "starting":
                    await asyncio.sleep(luck.uniform(0, 1.2))
                elif kind == "opening":
                    await _grown(recorder, "events", 1)
                    await asyncio.sleep(luck.uniform(0, 0.2))
                else:
                    name, more = luck.choice((*_TORN, "events")), luck.randrange(1, 60_000)
                    await _grown(recorder, name, more // 100 if name == "events" else more)
                    writing = kind == "writing" and recorder.bytes_of("frames") > frames
                if kind == "ending":
                    recorder.process.send_signal(signal.SIGTERM)
                    await asyncio.sleep(luck.uniform(0, 0.4))
                if kind != "ending":
                    assert recorder.process.returncode is None, await recorder.output()
                killed_s = time.time()
                await recorder.kill()
                found.kinds[kind if recorder.process.returncode == -signal.SIGKILL else "too late"] += 1
                if not (root / "data" / SYMBOL).exists():  # killed before the folder was made
                    continue
                kept.verify(recorder.day)
                kept.remember(recorder.day)
                if writing:
                    found.lost_s = max(found.lost_s, killed_s - _newest_s(recorder.day))
                _tear(recorder.day, luck)
        async with running_recorder(box, root) as recorder:
            await _grown(recorder, "frames", 20_000)
            code, took_s, output = await recorder.stop()
        assert (code, took_s < PATIENCE_S) == (0, True), output
    kept.verify(recorder.day)
    day = hold(recorder.day.path, box.truth)
    defects = defects_of(recorder.day)
    assert not defects, str(defects[:3])
    assert {gap["cause"] for gap in day.logged("gap")} <= {"restart", "disconnected"}
    assert all(tail["bytes"] > 0 for tail in day.logged("tail_recovered"))
    found.rows, found.torn = kept.rows, len(day.logged("tail_recovered"))
    return found


async def _grown(recorder: Recorder, name: str, more: int) -> None:
    """Wait until a file has grown by *more* bytes."""
    goal = recorder.bytes_of(name) + more
    await recorder.until(lambda: recorder.bytes_of(name) >= goal, PATIENCE_S)


def _newest_s(day: DayFolder) -> float:
    """Return the arrival of the last whole frame, in s, or the current time if there is none."""
    last = whole_part(day.frames).rsplit(b"\n", 2)[-2].split(b",")
    return int(last[-2]) / 1e6 if last[-2].isdigit() else time.time()


def _tear(day: DayFolder, luck: random.Random) -> None:
    """Append a torn write to a file: a part of its last bytes, repeated."""
    path = getattr(day, luck.choice(_TORN))
    end = path.read_bytes()[-luck.randrange(20, 2000) :] if path.exists() else b""
    torn = end[: luck.randrange(len(end))] if end else b""
    whole = torn.rfind(b"\n") + 1 if path.suffix == ".csv" else 0
    if path.suffix == ".gz" and end:
        member = path.read_bytes().rfind(b"\x1f\x8b\x08\0\0\0\0\0")
        torn = path.read_bytes()[member:][: luck.randrange(1, max(2, path.stat().st_size - member - 1))]
    if torn[whole:]:
        with path.open("ab") as stream:
            stream.write(torn[whole:])


def main() -> int:
    """Play the markets; return 1 at the first violation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1_000, help="how often in all")
    parser.add_argument("--first", type=int, default=0, help="seed of the first market")
    args = parser.parse_args()
    begun_s, totals, seed, done = time.monotonic(), Killed(), args.first, 0
    while done < args.kills:
        kills = min(KILLS_A_MARKET, args.kills - done)
        root = Path(tempfile.mkdtemp(prefix=f"kills_{seed}_"))
        try:
            totals.add(asyncio.run(kill_again_and_again(root, seed, kills)))
        except Exception as error:  # the series ends at any error, and the files are kept for inspection
            print(f"seed {seed}: {type(error).__name__}: {str(error)[-2000:]}", flush=True)
            print(f"VIOLATION after {done} kills; repeat it with --kills {kills} --first {seed}; left in {root}")
            return 1
        rmtree(root)
        done, seed = done + kills, seed + 1
        print(f"{done} kills in {seed - args.first} markets, {time.monotonic() - begun_s:.0f} s: {totals}", flush=True)
    print(f"{done} kills, 0 violations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
