"""The ledger of trials: whole lines from many writers, and what is said of those that are not."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.summary_text import tried
from mm.trials.ledger import Ledger, Trial, TrialLine, split_by_day
from mm.trials.on_record import Recording, independent_trials

SPANS = ((1_767_600_000_000_000, 30),)
DAY = "20260105"


def trial(number: int, *, assumption: str = "queue", market: str = "m", spans=SPANS, day: str = DAY) -> Trial:
    """A design with its own draw of PnL."""
    line = TrialLine(
        at_us=number,
        design=f"design {number}",
        assumption=assumption,
        market=market,
        quotes="glft",
        fills="queue_prob_power",
        days=(day,),
        made_by="sweep",
        spans=spans,
        begin=0,
    )
    pnl = np.random.default_rng(number).normal(size=line.count)
    return Trial("BTCUSDT", day, line, pnl)


def recorded(root, *trials: Trial):
    """What is on record after a run of these trials."""
    run = Recording(root, "sweep")
    run.add(trials)
    return run.on_record()


def test_a_trial_is_read_as_it_was_written(tmp_path):
    """Numbers, spans and names survive the file."""
    one = trial(1)
    assert Ledger(tmp_path).add(one) is None
    read = Ledger(tmp_path).read("BTCUSDT", DAY)
    assert [line.design for line in read.trials] == ["design 1"]
    assert read.trials[0].spans == SPANS
    np.testing.assert_allclose(read.pnl(read.trials[0]), one.pnl, rtol=1e-6)


def test_the_same_design_on_the_same_day_is_no_new_trial(tmp_path):
    """Playing it again changes neither the number nor what the ledger holds."""
    first, again = recorded(tmp_path, trial(1)), recorded(tmp_path, trial(1))
    assert (first.this_is_new, again.this_is_new) == (True, False)
    assert (first.on_these_days, again.on_these_days, again.known) == (1, 1, 1)


def test_a_design_under_another_fill_model_is_one_design(tmp_path):
    """The choice is between designs; each assumption is on record."""
    recorded(tmp_path, trial(1))
    other = trial(1, assumption="cross")
    again = recorded(tmp_path, replace(other, pnl=2 * other.pnl))
    assert (again.on_these_days, again.known, again.this_is_new) == (1, 2, False)


def test_what_earns_the_same_in_every_minute_is_one_design(tmp_path):
    """Another knob that changed no order is no other trial; two that earned nothing may be two."""
    recorded(tmp_path, trial(1))
    same = recorded(tmp_path, replace(trial(2), pnl=trial(1).pnl))
    assert (same.on_these_days, same.known, same.this_is_new) == (1, 1, False)
    for number in (3, 4):
        none = recorded(tmp_path, replace(trial(number), pnl=np.zeros(30)))
    assert none.on_these_days == 3


def test_a_ledger_younger_than_finished_runs_is_told(tmp_path):
    """Who removes trials/ is reminded of it; who forgets trials, too."""
    manifest = tmp_path / f"backtest/BTCUSDT/{DAY}_20260105T080000Z/run_manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    seen = recorded(tmp_path, trial(1))
    assert (seen.off_record, seen.forgotten) == (1, 0)
    Ledger(tmp_path).forget("BTCUSDT", DAY, "wrong fees")
    assert "forgotten" in tried({**recorded(tmp_path, trial(1)).to_json()}, None)
    os.utime(manifest, (4e9, 4e9))
    assert recorded(tmp_path, trial(1)).off_record == 0


def test_families_that_share_no_day_do_not_count(tmp_path):
    """Fifty trials of another day leave a run alone."""
    recorded(tmp_path, *(trial(number) for number in range(50)))
    other = recorded(tmp_path, trial(0, day="20260106"))
    assert (other.on_these_days, other.independent, other.known) == (1, 1.0, 51)


def test_independent_trials_are_counted_as_in_one_sweep(tmp_path):
    """Whoever played them, and in whatever order, the columns are the same."""
    trials = [trial(number) for number in range(40)]
    for one in trials[1:]:
        recorded(tmp_path, one)
    seen = recorded(tmp_path, trials[0])
    together = np.stack([one.pnl for one in trials], axis=1)
    assert seen.on_these_days == 40
    assert seen.independent == pytest.approx(independent_trials(together), rel=1e-5)
    np.testing.assert_allclose(np.sort(seen.pnl, axis=1), np.sort(together, axis=1), rtol=1e-6, atol=1e-7)


@given(st.integers(2, 6), st.integers(3, 40), st.integers(0, 2**32 - 1))
def test_independent_trials_are_those_of_the_mean_correlation(columns, rows, seed):
    """ρ + (1 − ρ)·trials, with ρ from numpy's table of correlations."""
    draw = np.random.default_rng(seed)
    pnl = draw.normal(size=(rows, columns)) + draw.normal(size=(rows, 1)) + 5
    table = np.corrcoef(pnl.T)
    rho = max((table.sum() - columns) / (columns * (columns - 1)), 0.0)
    assert independent_trials(pnl) == pytest.approx(rho + (1 - rho) * columns, rel=1e-9)


def test_a_trial_of_other_minutes_counts_where_both_have_one(tmp_path):
    """A walk-forward begins later than the backtest of the same day."""
    later = trial(1, spans=((SPANS[0][0] + 600_000_000, 20),))
    recorded(tmp_path, later)
    seen = recorded(tmp_path, trial(2))
    column = seen.pnl[:, seen.designs.index("design 1")]
    assert np.isnan(column[:10]).all()
    np.testing.assert_allclose(column[10:], later.pnl, rtol=1e-6)


def test_a_torn_last_line_is_named_and_closed_off(tmp_path):
    """The rest counts, and the next writer does not write behind it."""
    recorded(tmp_path, trial(1), trial(2))
    path = tmp_path / "trials" / "BTCUSDT" / f"{DAY}.ndjson"
    path.write_bytes(path.read_bytes()[:-20])
    seen = recorded(tmp_path, trial(3))
    assert seen.on_these_days == 2
    assert any("torn" in problem and str(path) in problem for problem in seen.problems)
    assert [line.design for line in Ledger(tmp_path).read("BTCUSDT", DAY).trials] == ["design 1", "design 3"]


def test_lines_of_another_version_are_named_and_do_not_count(tmp_path):
    """A newer program may have written them."""
    recorded(tmp_path, trial(1))
    path = tmp_path / "trials" / "BTCUSDT" / f"{DAY}.ndjson"
    path.write_text(path.read_text().replace('"v":1', '"v":2'))
    seen = recorded(tmp_path, trial(2))
    assert (seen.on_these_days, seen.known) == (1, 1)
    assert any("version 2" in problem for problem in seen.problems)


def test_lost_numbers_leave_the_trial(tmp_path):
    """It counts as an independent one."""
    recorded(tmp_path, trial(1))
    (tmp_path / "trials" / "BTCUSDT" / f"{DAY}.pnl").write_bytes(b"abc")
    seen = recorded(tmp_path, trial(2))
    assert seen.on_these_days == 2
    assert np.isnan(seen.pnl[:, seen.designs.index("design 1")]).all()


def test_trials_of_other_files_are_named_and_do_not_count(tmp_path):
    """The same name below another DATA_ROOT may be another market."""
    recorded(tmp_path, trial(1, market="of another root"))
    seen = recorded(tmp_path, trial(2))
    assert seen.on_these_days == 1
    assert any("other files" in problem for problem in seen.problems)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to a folder without the permission")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """The run goes on, and knows of no trial."""
    (tmp_path / "trials").mkdir(mode=0o500)
    seen = recorded(tmp_path, trial(1))
    assert (seen.known, seen.on_these_days) == (0, 1)
    assert any("not on record" in problem for problem in seen.problems)


def test_a_day_that_can_neither_be_read_nor_written_leaves_a_run_without_known_trials(tmp_path):
    """Those of other days tell nothing of it."""
    recorded(tmp_path, trial(1, day="20260106"))
    (tmp_path / f"trials/BTCUSDT/{DAY}.ndjson").mkdir()
    seen = recorded(tmp_path, trial(1))
    assert (seen.known, seen.on_these_days) == (0, 1)
    assert len(seen.problems) == 2


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    """As on a disk that cannot be written, for any user."""
    (tmp_path / "trials").write_text("")
    seen = recorded(tmp_path, trial(1))
    assert (seen.known, seen.on_these_days) == (0, 1)
    assert any("not on record" in problem for problem in seen.problems)


def test_forgotten_trials_do_not_count_and_the_reason_stays(tmp_path):
    """A trial after the forgetting counts again."""
    recorded(tmp_path, trial(1), trial(2))
    assert Ledger(tmp_path).forget("BTCUSDT", DAY, "the recorder's clock was wrong") == 2
    assert recorded(tmp_path, trial(3)).known == 1
    (told,) = Ledger(tmp_path).read("BTCUSDT", DAY).forgettings
    assert (told.trials, told.why) == (2, "the recorder's clock was wrong")


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_ledger_of_trials import trial
from mm.trials.ledger import Ledger
first = int(sys.argv[2])
for number in range(first, first + 10_000):
    assert Ledger(Path(sys.argv[1])).add(trial(number)) is None
    print(number, flush=True)
"""


def test_writers_at_once_lose_no_line_when_they_are_killed(tmp_path):
    """Every trial that a writer said it had written is there, with its numbers, whatever the others did."""
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    here = os.path.dirname(__file__)
    writers = [subprocess.Popen([*words, str(first), here], stdout=subprocess.PIPE) for first in (0, 20_000)]
    said = [[writer.stdout.readline() for _ in range(50)] for writer in writers]
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        said.append(writer.stdout.read().splitlines())
        writer.wait()
        writer.stdout.close()
    numbers = {int(line) for lines in said for line in lines if line.strip()}
    read = Ledger(tmp_path).read("BTCUSDT", DAY)
    by_design = {line.design: line for line in read.trials}
    for number in numbers:
        np.testing.assert_allclose(read.pnl(by_design[f"design {number}"]), trial(number).pnl, rtol=1e-6)
    assert len(numbers) >= 100


def test_a_series_is_split_at_the_first_instant_of_each_day():
    """A span belongs to the day in which it begins."""
    begin = SPANS[0][0]
    spans = ((begin, 2), (begin + 86_400_000_000, 3))
    parts = split_by_day(spans, np.arange(5.0), {"a": begin, "b": begin + 80_000_000_000})
    assert {day: (own, pnl.tolist()) for day, (own, pnl) in parts.items()} == {
        "a": ((spans[0],), [0.0, 1.0]),
        "b": ((spans[1],), [2.0, 3.0, 4.0]),
    }
