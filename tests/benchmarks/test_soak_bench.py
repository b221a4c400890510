"""A soak of some seconds: the market is consistent, the recorder uses its time, and violations are reported."""

import asyncio
import dataclasses

import pytest

from benchmarks.soak import BYTES_PER_MESSAGE, DAY, DEPTHS_PER_S, RATE, SYMBOL, Soaked, soak
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
