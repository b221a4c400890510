"""A soak of some seconds: the market is consistent, the recorder uses its time, and violations are reported."""

import asyncio
import dataclasses
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from benchmarks.market_clock import MarketClock
from benchmarks.soak import BYTES_PER_MESSAGE, DAY, DEPTHS_PER_S, RATE, SYMBOL, Soaked, WanderingFeed, soak
from mm.clock import midnight_us
from mm.dayfolder.check import check_day
from mm.dayfolder.coverage import cover
from mm.dayfolder.layout import DayFolder

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

SECONDS = 12


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """The results, the printed rows, and the folder."""
    folder, rows = tmp_path_factory.mktemp("soak"), []
    result = asyncio.run(soak(SECONDS / 3600, folder, 3.0, rows.append))
    return result, rows, folder


def test_recorded_day_is_sound_and_complete(soaked):
    """Twelve seconds of market time, independent of wall time."""
    result, _, folder = soaked
    assert result.recorded == result.sent + 1 == SECONDS * RATE + 1
    day = DayFolder(folder / "data", SYMBOL, DAY)
    assert not check_day(day).defects
    covered = cover(day)
    assert (covered.depth.rows, covered.depth.gaps) == (SECONDS * DEPTHS_PER_S + 1, 0)
    assert SECONDS - 1 < covered.covered_s < SECONDS + 60
    assert covered.from_us >= midnight_us(DAY) + 1_800_000_000
    written = sum(path.stat().st_size for path in day.path.rglob("*"))
    assert written < BYTES_PER_MESSAGE * result.sent * 1.5


def test_samples_follow_market_time(soaked):
    """One row per sample except the first, and a head."""
    result, rows, _ = soaked
    assert len(rows) == len(result.samples) >= 5
    assert SECONDS - 2 < result.samples[-1].market_s < SECONDS + 60  # including the time before the first message
    for before, now in zip(result.samples, result.samples[1:], strict=False):
        assert now.messages > before.messages
        assert now.cpu_s >= before.cpu_s
    assert result.samples[-1].memory_mb > 10


def test_violations_report_lost_messages_gaps_and_growing_memory(soaked):
    """A missing message, a gap, and growing memory are reported."""
    sound = Soaked(soaked[0].samples, soaked[0].sent, soaked[0].report)
    assert sound.violations() == []
    day = sound.report["days"][0]
    for other, word in (({"trades": day["trades"] - 1}, "recorded"), ({"trade_gaps": 1}, "trade_gaps")):
        faulty = dataclasses.replace(sound, report={"days": [day | other]})
        (violation,) = faulty.violations()
        assert word in violation
    last = sound.samples[-1]
    grown = [*sound.samples, last._replace(market_s=last.market_s + 1, memory_mb=last.memory_mb + 21)]
    assert "grown" in dataclasses.replace(sound, samples=grown).violations()[0]


def test_feed_moves_its_price_and_never_crosses():
    """The price changes, and all levels are at positive distances from the middle."""
    numbers = count()
    feed = WanderingFeed(lambda: next(numbers))
    for _ in range(2_000):
        feed.depth()
    assert feed._away != 0
    assert all(away > 0 for sides in feed._shapes for side in sides for away, _ in side)


def test_market_clocks_of_one_file_share_their_values(tmp_path):
    """Each reads the values that the other sets."""
    one, other = MarketClock(tmp_path / "clock"), MarketClock(tmp_path / "clock")
    one.us, other.taken = 1_767_600_000_000_000, 12
    assert (other.us, one.taken) == (1_767_600_000_000_000, 12)


def test_clock_reads_are_never_partial_writes(tmp_path):
    """Another process sets it 200,000 times; each reading is within the range of the set values."""
    begins_us, sets = 1_767_569_425_875_000, 200_000
    clock = MarketClock(tmp_path / "clock")
    clock.us = begins_us
    writes = (
        "import sys; from pathlib import Path; from benchmarks.market_clock import MarketClock\n"
        f"clock = MarketClock(Path(sys.argv[1]))\nfor at in range({sets}): clock.us = {begins_us} + at"
    )
    root = str(Path(__file__).resolve().parents[2])
    writer = subprocess.Popen([sys.executable, "-c", writes, str(tmp_path / "clock")], cwd=root)
    lowest_us = highest_us = begins_us
    while writer.poll() is None:
        for _ in range(1_000):
            now_us = clock.us
            lowest_us, highest_us = min(lowest_us, now_us), max(highest_us, now_us)
    assert (writer.returncode, clock.us) == (0, begins_us + sets - 1)
    assert begins_us == lowest_us <= highest_us <= begins_us + sets - 1
