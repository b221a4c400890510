"""A recorder and the exchange in a box in simulated time, and the cost of recurring faults.

``python tests/market_data/simulated.py`` prints the figures of docs/evidence/measured.md. The event loop uses the
clock of the box: a second of waiting is one of exchange time, so ten minutes take seconds, and the delay of a
snapshot depends on the number of turns that the loop takes for it.
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest import mock

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from boxed import SYMBOL, Boxed
from day_files import defects_of
from day_oracle import hold
from mm import DayFolder
from mm.clock import US_PER_S
from mm.dayfolder.coverage import cover
from mm.market_data import live_session
from simulation import lockstep_box
from travelling import Ladder

STEP_S = 0.02
TURNS = 8


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that uses the time of its box, once it is set."""

    box = None

    def time(self):
        return self.box.scheduler.done_us / US_PER_S if self.box else super().time()


async def _pass(box, seconds):
    for _ in range(round(seconds / STEP_S)):
        await box.advance(seconds=STEP_S)
        for _ in range(TURNS):
            await asyncio.sleep(0)


class Figures(NamedTuple):
    """Figures of a recording from its first book on, since a connection takes as long as the machine is busy; s."""

    covered: float
    longest_gap_s: float
    excluded_s: float
    ids_lost: float
    snapshots: int
    connections: int


def figures(path, day):
    """Return the figures of a day."""
    coverage = cover(DayFolder.at(path))
    sizes = [span.to_us - span.from_us for span in coverage.excluded[1:]]  # the first span ends with the first book
    excluded_s = sum(sizes) / US_PER_S
    return Figures(
        covered=coverage.covered_s / (coverage.covered_s + excluded_s),
        longest_gap_s=max(sizes, default=0) / US_PER_S,
        excluded_s=excluded_s,
        ids_lost=len(day.holes("gap")) / (day.diffs[-1]["u"] - day.diffs[0]["U"] + 1),
        snapshots=len(day.logged("snapshot_loaded")),
        connections=len(day.logged("ws_connected")),
    )


def simulate(script, seconds, root, *, scenario="large_tick", seed=7, acts=None, **options):
    """Record *seconds* of a box that plays *script*, with the delays of a real recorder.

    Args:
        acts: Called with the box before the recording begins; returns a function that is called every 0.1 s.

    Returns:
        The day, checked and compared with the truth, and its figures.
    """
    loop = SimulatedLoop()
    options = {"delays": ((0.25, 30.0), (0.5, 30.0)), **options}

    async def run():
        limits = {"attempts": None, "close_s": 0.05, "messages": 1_000}  # they count wall-clock seconds
        async with lockstep_box(scenario, seed=seed, faults=[script], wire=limits).open() as box:
            loop.box = box
            await box.advance(seconds=1)
            act = acts(box) if acts else None
            await box.advance(seconds=0.1)
            boxed = Boxed(box, Path(root), **options)
            boxed.weight._now_s = boxed.attempts._now_s = loop.time
            task = asyncio.create_task(boxed.recording.run())
            for _ in range(10 * seconds):
                await _pass(box, 0.1)
                if act:
                    act()
            boxed.recording.stop("enough")
            while not task.done():
                await _pass(box, STEP_S)
            loop.box = None
            await task
            return box

    with mock.patch.object(live_session, "monotonic", loop.time):
        try:
            box = loop.run_until_complete(run())
        finally:
            loop.box = None
            loop.close()
    (path,) = (Path(root) / SYMBOL).iterdir()
    defects = defects_of(path)
    assert not defects, str(defects[:3])
    day = hold(path, box.truth)
    return day, figures(path, day)


def crash(seconds, share, *, mid=1_000_000, calm_s=5, **market):
    """Return an *acts* function that moves the price down by *share* within *seconds*, after *calm_s*."""

    def begin(box):
        ladder, steps = Ladder(box, mid=mid, **market), 0

        def act():
            nonlocal steps
            steps += 1
            due = round(mid * (1 - share * min(max(steps / 10 - calm_s, 0), seconds) / seconds))
            ladder.move(due - ladder.mid)

        return act

    return begin


def slow(count):
    """Return a script in which every snapshot takes 0.3 s."""
    return "\n".join(f"at request {n} of /api/v3/depth do slow delay_s=0.3" for n in range(1, count + 1))


def every(period_s, seconds, fault):
    """Return a script in which *fault* occurs every *period_s*, and every snapshot takes 0.3 s."""
    faults = [f"at time {at} do {fault}" for at in range(period_s, seconds, period_s)]
    return "\n".join([*faults, slow(len(faults) + 4)])


SCENES = {
    "one lost update every 30 s": (30, "drop n=1"),
    "one lost update every 10 s": (10, "drop n=1"),
    "the connection drops every 20 s": (20, "close code=1006"),
}


def main(seconds):
    """Print the figures of each fault and of a crash."""
    for name, (period_s, fault) in SCENES.items():
        with TemporaryDirectory() as root:
            _, found = simulate(every(period_s, seconds, fault), seconds, root)
        print(
            f"{name}, {seconds} s: covered {100 * found.covered:.2f} %, longest gap {found.longest_gap_s:.2f} s, "
            f"ids lost {100 * found.ids_lost:.2f} %, {found.snapshots} snapshots, {found.connections} connections"
        )
    with TemporaryDirectory() as root:
        fall = crash(60, 0.02, mid=6_000_000, levels=7_000, gap=6, churn=50)
        day, found = simulate(slow(40), 75, root, scenario="empty", acts=fall)
    horizons = day.anomalies().count("horizon")
    print(
        f"2 % down in 60 s, a snapshot of 5,000 levels shows 0.5 %: {found.excluded_s:.2f} s lost in {horizons} spans, "
        f"{found.snapshots} snapshots"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 600)
