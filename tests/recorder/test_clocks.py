"""A real recorder under steps of its wall clock, and across both clock changes of the year (rows 18, 19)."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from recorder_process import exchange_box, running_recorder

from day_files import defects_of
from day_oracle import hold
from mm.clock import now_us
from set_clock import WallClock
from support import in_time

WINDOW = {"WINDOW_START": "08:00", "WINDOW_END": "22:00", "WINDOW_TZ": "Europe/Berlin"}


def off_at(instant):
    """Return the offset in µs of a clock that shows *instant* now."""
    return round(instant.timestamp() * 1e6) - now_us()


def steps(recorder):
    return recorder.day.events.read_text().count("clock_step")


@pytest.mark.slow
def test_row_18_clock_steps_cost_no_rows_and_are_reported(tmp_path):
    """Timers are monotonic, so there is no stall and no gap; the ledger contains the steps."""

    async def run():
        clock = WallClock(tmp_path)
        async with exchange_box() as box, running_recorder(box, tmp_path, entry=clock.entry("record")) as recorder:
            await recorder.until(lambda: recorder.bytes_of("frames") > 20_000)
            for count, off_us in enumerate((2_000_000, 0, -1_300_000), 1):
                clock.set(off_us)
                await recorder.until(lambda: steps(recorder) >= count)  # noqa: B023 - awaited at once
                size = recorder.bytes_of("frames")
                await recorder.until(lambda: recorder.bytes_of("frames") > size + 20_000)  # noqa: B023
            code, took_s, output = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), output
            day = hold(recorder.day.path, box.truth)
            steps_s = [round(details["by_us"] / 1e6, 1) for details in day.logged("clock_step")]
            assert [round(sum(steps_s[: n + 1]), 1) for n in range(3)] == pytest.approx([2.0, 0.0, -1.3], abs=0.15)
            assert (day.logged("stall"), day.logged("gap"), day.logged("trade_gap")) == ([], [], [])
            assert not defects_of(recorder.day)

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize(("night", "opens_utc"), [((2026, 3, 29), 6), ((2026, 10, 25), 7)])
def test_row_19_window_is_on_time_after_a_clock_change(tmp_path, night, opens_utc):
    """08:00 in Berlin is 06:00 UTC in summer and 07:00 UTC in winter; the window has 14 hours on both days."""
    opens = datetime(*night, opens_utc, tzinfo=UTC)
    closes = opens.replace(hour=opens_utc + 14)

    async def run():
        clock = WallClock(tmp_path)
        clock.set(off_at(datetime(*night, tzinfo=UTC).replace(hour=0, minute=59, second=58)))
        async with (
            exchange_box() as box,
            running_recorder(box, tmp_path, entry=clock.entry("record"), **WINDOW) as recorder,
        ):
            first = (await asyncio.wait_for(recorder.process.stderr.readline(), 30)).decode()
            assert f"opens={opens:%Y-%m-%dT%H:%M:%S}" in first
            assert f"closes={closes:%Y-%m-%dT%H:%M:%S}" in first
            clock.set(off_at(opens.replace(hour=opens_utc - 1, minute=59, second=59)))
            await recorder.until(lambda: recorder.bytes_of("frames") > 20_000)
            assert recorder.day.path.name == opens.strftime("%Y%m%d")
            clock.set(off_at(closes.replace(hour=closes.hour - 1, minute=59, second=59)))
            code, output = await recorder.ended()
            assert code == 0, output
            day = hold(recorder.day.path, box.truth)
            begun, over = (
                next(row for row in day.events if row["type"] == kind) for kind in ("window_start", "window_end")
            )
            assert 0 <= int(begun["recv_time_us"]) - opens.timestamp() * 1e6 < 5e6
            assert 0 <= int(over["recv_time_us"]) - closes.timestamp() * 1e6 < 5e6
            assert day.logged("run_stop") == [{"reason": "window_end"}]
            assert json.loads((recorder.day.path / f"manifest_SIMUSDT_{opens:%Y%m%d}.json").read_bytes())["sealed"]

    asyncio.run(run())
