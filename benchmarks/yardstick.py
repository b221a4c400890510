"""The yardstick: a day of a busy simulated market, and the same day in the format of hftbacktest.

``python -m benchmarks.yardstick OUT --hours 14`` writes both to OUT, with the same bytes on every machine; ``mm bench``
creates them if they are missing. Limit orders, market orders and cancellations arrive at independent rates, at
distances of up to 5,000 ticks from the other side's best price; a matching engine turns them into a book and trades.
Every 100 ms some 30 levels change, of 1,000 per side; there are 20 trades per second, in clusters, as a market order
fills several orders; the spread is one tick for four fifths of the time, and the mid moves 35 ticks per minute.
"""

import argparse
import math
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.turns import FAR_K, GAMMA, NEAR_K, PYTHON, run
from mm.dayfolder.layout import DayFolder
from mm.errors import DataError
from mm.instrument import E8
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import ZeroIntelligence
from mm.sim.flow.session import Session
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.tape.tape import Tape

MARKET = ZeroIntelligence(
    start_price="60000",
    qty_step="0.00001",
    limit_per_s=80.0,
    limit_exponent=0.75,
    limit_reach_ticks=5000,
    market_per_s=0.65,
    market_qty="0.7",
)
SYMBOL, DAY, SEED = "SIMUSDT", "20260106", 0
GENERATOR, OTHER_PEER, EVENTS = "gen_day.py", "bench_hftbacktest.py", "events.npy"
PEER_SCRIPT = Path(__file__).with_name("peer_engine.py")


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The measured day, and the peer's copy of it.

    Attributes:
        scripts: Folder of another generator and another script of the peer; None for our own.
        hours: Length of the day.
        out: Parent folder of the day.
    """

    scripts: Path | None
    hours: float
    out: Path

    @property
    def root(self) -> Path:
        """Folder of the day and of the peer's copy."""
        return self.out / f"{'market' if self.scripts is None else 'yardstick'}_{self.hours:g}h"

    @property
    def k(self) -> float:
        """Parameter of the quotes, 1/tick, by the volatility of the market: prints must reach the quotes."""
        return NEAR_K if self.scripts is None else FAR_K

    def day(self, console: Console) -> DayFolder:
        """Return the day; if it is missing, create it atomically.

        Raises:
            DataError: If the generator is missing, or writes no day.
        """
        data = self.root / "data"
        if not data.exists():
            need = "half a minute, 1.3 GB of disk" if self.scripts is None else "minutes, 3 GB of memory"
            console.print(
                f"making the yardstick day of {self.hours:g} hours, once, in {self.root} ({need} for 14 hours)"
            )
            self._make([], "data")
        found = sorted(data.glob("*/*/"))
        if len(found) != 1:
            raise DataError(f"{data}: {len(found)} days where one was made; remove {self.root} and run again")
        return DayFolder.at(found[0])

    def events(self, console: Console) -> Path:
        """Return the file of the day in the format of hftbacktest; create it if it is missing."""
        path = self.root / EVENTS
        if not path.exists():
            console.print(f"making hftbacktest's copy of it, once, in {self.root} (1 GB for 14 hours)")
            self._make(["--no-day", "--events-npz"], EVENTS)
        return path

    def peer(self, console: Console, python: Path) -> tuple[str, ...]:
        """Return the command that loads and plays the day with hftbacktest."""
        if self.scripts is None:
            return self.plays(console, python)
        return (str(python), str(self._script(OTHER_PEER)), str(self.events(console)))

    def plays(self, console: Console, python: Path) -> tuple[str, ...]:
        """Return the command of our own script, which plays each queue model, also with quotes at the best prices."""
        events = self.events(console)
        lowest, highest = price_range(self.day(console), self.out / "tapes")
        flags = {"--lowest": lowest, "--highest": highest, "--half-ticks": half_ticks(self.k)}
        return (
            str(python),
            str(PEER_SCRIPT),
            str(events),
            *(word for pair in flags.items() for word in map(str, pair)),
        )

    def _make(self, flags: list[str], name: str) -> None:
        """Create *name* in a temporary folder, and move it to its place once it is complete."""
        staging = self.root.with_name(f"{self.root.name}.partial")
        shutil.rmtree(staging, ignore_errors=True)
        if self.scripts is not None:
            script = self._script(GENERATOR)
            run(
                [PYTHON[0], str(script), "--out", str(staging), "--hours", f"{self.hours:g}", *flags],
                capture_stdout=False,
            )
        elif name == EVENTS:
            export(DayFolder.at(next((self.root / "data").glob("*/*/"))), staging / name, self.out / "tapes")
        else:
            make_day(DayFolder(staging / name, SYMBOL, DAY), MARKET, Session(SYMBOL, DAY, self.hours, SEED))
        if not (staging / name).exists():
            raise DataError(f"{self.scripts}: {GENERATOR} left no {name} in {staging}; see its --help")
        self.root.mkdir(parents=True, exist_ok=True)
        (staging / name).rename(self.root / name)
        shutil.rmtree(staging)

    def _script(self, name: str) -> Path:
        path = (self.scripts or Path()) / name
        if not path.is_file():
            raise DataError(
                f"{path}: there is no such script; give --yardstick (YARDSTICK) a folder of {GENERATOR} and "
                f"{OTHER_PEER}, leave it out for our own yardstick, or give --day-folder (BENCH_DAY) a recorded day"
            )
        return path


def by_order(out: Path) -> tuple[DayFolder, Path]:
    """Return a simulated hour of single orders, and hftbacktest's copy of it; create them if they are missing."""
    from mm.formats.order_export import export_orders

    folder, events = DayFolder(out / "by_order", "ORDERSUSDT", "20260105"), out / "by_order" / EVENTS
    if not folder.path.is_dir():
        words = ["--symbol", folder.symbol, "--day", folder.day, "--hours", "1", "--scenario", "zero_intelligence"]
        run([*PYTHON, "mm", "sim", "day", *words, "--data-root", str(folder.root)], capture_stdout=False)
    if not events.is_file():
        (packed,) = export_orders(folder, "hftbacktest_l3", events.with_suffix(".npz")).files
        np.save(events, np.load(packed)["data"])
        packed.unlink()
    return folder, events


def export(day: DayFolder, target: Path, cache: Path) -> None:
    """Write *day* to *target* as events of hftbacktest, uncompressed."""
    from mm.tape.load import load_day

    write_events(load_day(day.path, cache=cache), target)


def write_events(tape: "Tape", target: Path) -> None:
    """Write *tape* to *target* as events of hftbacktest, uncompressed."""
    from mm.formats.hftbacktest_export import export_hftbacktest

    packed = target.with_suffix(".npz")
    export_hftbacktest(tape, packed)
    with zipfile.ZipFile(packed) as archive, archive.open("data.npy") as member, target.open("wb") as file:
        shutil.copyfileobj(member, file, 1 << 20)
    packed.unlink()


def price_range(day: DayFolder, cache: Path) -> tuple[float, float]:
    """Return the lowest and the highest price of a level of *day*, in quote asset."""
    from mm.tape.load import load_day

    tape = load_day(day.path, cache=cache)
    ticks = tape.row_ticks[tape.row_ticks > 0]
    return float(ticks.min()) * tape.instrument.tick_e8 / E8, float(ticks.max()) * tape.instrument.tick_e8 / E8


def half_ticks(k: float) -> float:
    """Return the distance of the quotes of *k* from the mid, in ticks; the effect of the inventory is negligible."""
    return math.log1p(GAMMA / k) / GAMMA


def main() -> None:
    """Create the day, and its copy for hftbacktest."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.yardstick", description=__doc__)
    parser.add_argument("out", type=Path, help="output folder")
    parser.add_argument("--hours", type=float, default=14.0, help="length of the day (default 14)")
    args = parser.parse_args()
    console = Console(as_json=False, level="ERROR")
    yardstick = Yardstick(None, args.hours, args.out.resolve())
    print(yardstick.day(console).path)
    print(yardstick.events(console))


if __name__ == "__main__":
    main()
