"""A recorder that is killed at any byte and restarted on the same day (row 16 of the fault table).

``python tests/recorder/kills.py`` repeats this with more kills.
"""

import asyncio

import pytest
from kills import Kept, kill_again_and_again, whole_part
from recorder_process import exchange_box, running_recorder

from day_oracle import Day, hold
from mm import DayFolder
from mm.dayfolder.line_files import gzip_member
from mm.sim.wire.faults.script import as_rules

KILLS = 12


@pytest.mark.slow
def test_next_run_continues_after_kills_at_any_time(tmp_path):
    """There is no half row, no repeated number and no wrong book; losses are gaps in the ledger."""
    found = asyncio.run(kill_again_and_again(tmp_path, 0, KILLS))
    assert found.kinds.total() == KILLS
    assert found.rows


def test_kept_detects_missing_and_changed_rows(tmp_path):
    """`Kept` includes whole rows and members, but no torn ends."""
    day = DayFolder(tmp_path, "SIMUSDT", "20260105")
    day.diffs.parent.mkdir(parents=True)
    day.trades.write_bytes(b"head\nfirst\nsec")
    day.diffs.write_bytes(gzip_member(b"{}\n") + gzip_member(b"[]\n")[:-3])
    assert whole_part(day.trades) == b"head\nfirst\n"
    assert whole_part(day.diffs) == gzip_member(b"{}\n")
    kept = Kept()
    kept.remember(day)
    assert kept.rows == 3
    day.trades.write_bytes(b"head\nfirst\nthird\n")
    kept.verify(day)
    for other in (b"head\nfirst", b"head\nfursT\n"):
        day.trades.write_bytes(other)
        with pytest.raises(AssertionError, match="trades"):
            kept.verify(day)


@pytest.mark.slow
@pytest.mark.parametrize("written_s", [0.0, 0.5])
def test_trades_missing_at_a_kill_are_requested_by_the_next_run(tmp_path, written_s):
    """Before the kill, REST was not reachable; the trades after the missing ones are on the disk, or not yet."""

    async def scenario():
        async with exchange_box() as box:
            async with running_recorder(box, tmp_path, REST_URL="http://127.0.0.1:9") as recorder:
                await recorder.until(lambda: recorder.bytes_of("trades") > 2_000)
                box.inject(as_rules(["at time 0 do drop n=5 of=trade"]))
                await recorder.until(lambda: b",trade_gap," in whole_part(recorder.day.events))
                await asyncio.sleep(written_s)
                await recorder.kill()
            missing = Day(recorder.day.path).holes("trade_gap")
            async with running_recorder(box, tmp_path) as recorder:
                await recorder.until(lambda: fetched(recorder) >= missing)
                code, _, output = await recorder.stop()
            assert code == 0, output
            return hold(recorder.day.path, box.truth), missing

    def fetched(recorder):
        rows = whole_part(recorder.day.trades).decode().splitlines()
        return {int(row.split(",")[4]) for row in rows if row.endswith(",rest")}

    day, missing = asyncio.run(scenario())
    assert len(missing) == 5
    assert not day.missing_trades & missing
