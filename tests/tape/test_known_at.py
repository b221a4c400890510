"""A day as it was known at an instant: rows received later change nothing before it."""

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from day_stories import START, at, diff, snapshot, tape_events, trade, write_day
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mm import load_day
from mm.errors import BrokenFile, NeverSynced
from strategies import START_US, Story, stories

LATER_GAP = ("gap", at(8), "gap", 1, {"from_id": 14, "to_id": 15, "from_us": at(6), "to_us": at(8), "cause": "test"})


def book_and_trades(*more):
    """Return a day with a message per second, and trades 1 to 3."""
    diffs = [diff(n, 8 + n, 8 + n, [(98, n)]) for n in range(3, 7)]
    rows = sorted([*diffs, trade(3, 1), trade(4, 2), trade(5, 3), *more], key=lambda step: step[1])
    return [START, snapshot(2, 10), *rows, snapshot(10, 20, "resync"), diff(11, 21, 21)]


REVEALED_LATER = {
    "depth ids": book_and_trades(diff(8, 17, 17)),
    "depth ids, at that instant": book_and_trades(diff(7, 17, 17)),
    "a gap of the ledger": book_and_trades(LATER_GAP, diff(9, 17, 17)),
    "trade ids": book_and_trades(diff(7, 15, 15), trade(8, 6)),
    "a trade out of order": book_and_trades(trade(6, 5), diff(7, 15, 15), trade(8, 4)),
    "a fetched trade": book_and_trades(trade(6, 5), diff(7, 15, 15), trade(8, 4, source="rest")),
}


@pytest.mark.parametrize("name", REVEALED_LATER)
def test_ids_missing_after_an_instant_take_nothing_away_before_it(tmp_path, name):
    """Without the rows from 7 s on, the part before 7 s is the same; the tape of the whole day differs."""
    steps = REVEALED_LATER[name]
    whole = load_day(write_day(tmp_path / "whole", steps))
    earlier = [step for step in steps if step[1] < at(7)]
    without = load_day(write_day(tmp_path / "without", [*earlier, diff(7, 15, 15), diff(10, 16, 16)]))
    assert tape_events(whole.known_at(at(7))) == tape_events(without.between(START_US, at(7)))
    assert tape_events(whole.between(START_US, at(7))) != tape_events(whole.known_at(at(7)))
    assert whole.known_at(at(7)).end_us == at(7)
    assert whole.known_at(whole.end_us) is whole


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data(), stories(size=14))
def test_later_rows_never_change_what_was_known(data, story):
    """Whatever is deleted, added or shuffled at and after an instant, the day before it is the same, bit for bit."""
    stamps = [step[1] for run in story.runs for step in run]
    assume(stamps == sorted(stamps) and stamps[-1] > stamps[0])
    us = data.draw(st.sampled_from(sorted(set(stamps)))) + data.draw(st.sampled_from((0, 1)))
    earlier = [[step for step in run if step[1] < us] for run in story.runs]
    later = [step for run in story.runs for step in run if step[1] >= us and step[2] != "run_start"]
    kept = data.draw(st.permutations(later)).copy()[: data.draw(st.integers(0, len(later)))]
    instants = sorted(step[1] for step in kept)
    moved = [_at(step, instant) for step, instant in zip(kept, instants, strict=True)]
    end_us = max(stamps[-1], us) + 1_000_000
    last = [("event", end_us, "run_stop", 1, {"reason": "test"})]
    number = count()
    changed = Story([run for run in earlier if run] or [[START]])
    changed.runs[-1] += [*moved, *last]
    with TemporaryDirectory() as root:
        found = []
        for each in (story, changed):
            try:
                tape = load_day(each.write(Path(root, str(next(number))), seal=False))
                assume(tape.start_us < us < tape.end_us)  # a day begins and ends with an event
                tape = tape.known_at(us)
                found.append((tape_events(tape), tape.start_us))
            except (NeverSynced, BrokenFile):  # a day without a book, or without any depth message
                return
        assert found[0] == found[1]


def _at(step, us):
    method, _, *rest = step
    if method == "trade":
        _, trade_id, _, *terms, source = rest
        if source == "ws":  # a trade from REST happened any time before it was fetched
            rest = [us // 1000, trade_id, us // 1000, *terms, source]
    return (method, us, *rest)
