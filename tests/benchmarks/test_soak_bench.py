"""A soak of some seconds: the market is a true one, its time is the recorder's, and what goes wrong is named."""

import asyncio
import dataclasses
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from benchmarks.market_clock import MarketClock
from benchmarks.soak import BYTES_A_MESSAGE, DAY, DEPTHS_A_S, RATE, SYMBOL, Soaked, WanderingFeed, soak
from mm.clock import midnight_us
from mm.dayfolder.check import check_day
from mm.dayfolder.coverage import cover
from mm.dayfolder.layout import DayFolder

SECONDS = 12


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """What it has shown, its rows, and its folder."""
    folder, rows = tmp_path_factory.mktemp("soak"), []
    found = asyncio.run(soak(SECONDS / 3600, folder, 3.0, rows.append))
    return found, rows, folder


def test_the_day_is_sound_and_holds_every_message(soaked):
    """Twelve seconds of the market's time, whatever the wall's."""
    found, _, folder = soaked
    assert found.recorded == found.sent + 1 == SECONDS * RATE + 1
    day = DayFolder(folder / "data", SYMBOL, DAY)
    assert not check_day(day).defects
    covered = cover(day)
    assert (covered.depth.rows, covered.depth.gaps) == (SECONDS * DEPTHS_A_S + 1, 0)
    assert SECONDS - 1 < covered.covered_s < SECONDS + 60
    assert covered.from_us >= midnight_us(DAY) + 1_800_000_000
    written = sum(path.stat().st_size for path in day.path.rglob("*"))
    assert written < BYTES_A_MESSAGE * found.sent * 1.5


def test_samples_follow_the_time_of_the_market(soaked):
    """A row for each but the first, under a head."""
    found, rows, _ = soaked
    assert len(rows) == len(found.samples) >= 5
    assert SECONDS - 2 < found.samples[-1].market_s < SECONDS + 60  # the time before the first message included
    for before, now in zip(found.samples, found.samples[1:], strict=False):
        assert now.messages > before.messages
        assert now.cpu_s >= before.cpu_s
    assert found.samples[-1].memory_mb > 10


def test_what_is_lost_or_grows_is_named(soaked):
    """One message less, a gap, and memory that was not held."""
    sound = Soaked(soaked[0].samples, soaked[0].sent, soaked[0].said)
    assert sound.violations() == []
    day = sound.said["days"][0]
    for other, word in (({"trades": day["trades"] - 1}, "recorded"), ({"trade_gaps": 1}, "trade_gaps")):
        worse = dataclasses.replace(sound, said={"days": [day | other]})
        (violation,) = worse.violations()
        assert word in violation
    last = sound.samples[-1]
    grown = [*sound.samples, last._replace(market_s=last.market_s + 1, memory_mb=last.memory_mb + 21)]
    assert "grown" in dataclasses.replace(sound, samples=grown).violations()[0]


def test_the_feed_never_crosses_and_moves():
    """Its price is nowhere near where it began, and levels that it passed are gone."""
    numbers = count()
    feed = WanderingFeed(lambda: next(numbers))
    for _ in range(2_000):
        feed.depth()
    assert feed._away != 0
    assert all(away > 0 for sides in feed._shapes for side in sides for away, _ in side)


def test_two_processes_share_the_clock(tmp_path):
    """What one sets the other reads."""
    one, other = MarketClock(tmp_path / "clock"), MarketClock(tmp_path / "clock")
    one.us, other.taken = 1_767_600_000_000_000, 12
    assert (other.us, one.taken) == (1_767_600_000_000_000, 12)


def test_the_clock_is_never_read_half_written(tmp_path):
    """Another process sets it some 200,000 times; each reading is one that was set."""
    begins_us, sets = 1_767_569_425_875_000, 200_000
    clock = MarketClock(tmp_path / "clock")
    clock.us = begins_us
    writes = (
        "import sys; from pathlib import Path; from benchmarks.market_clock import MarketClock\n"
        f"clock = MarketClock(Path(sys.argv[1]))\nfor at in range({sets}): clock.us = {begins_us} + at"
    )
    root = str(Path(__file__).resolve().parents[2])
    writer = subprocess.Popen([sys.executable, "-c", writes, str(tmp_path / "clock")], cwd=root)
    least_us = most_us = begins_us
    while writer.poll() is None:
        for _ in range(1_000):
            now_us = clock.us
            least_us, most_us = min(least_us, now_us), max(most_us, now_us)
    assert (writer.returncode, clock.us) == (0, begins_us + sets - 1)
    assert begins_us == least_us <= most_us <= begins_us + sets - 1
