"""``mm bench`` ends with 1 and names the rows that miss their aim; a ratio without its reference is not judged."""

import json

import pytest
from click.testing import CliRunner

from benchmarks import matching
from benchmarks.turns import Aim, Measured, Row, at_least, at_most
from mm.__main__ import main

PEER = "hftbacktest"
FAST = Row("a fast row", "s", [0.1, 0.2, 0.3], PEER, [4.0, 4.0, 4.0], Aim(20))
SLOW = Row("a slow row", "s", [0.1, 0.21, 0.3], PEER, [4.0, 4.0, 4.0], Aim(20))
ALONE = Row("no peer here", "s", [9.0], aim=Aim(20))


@pytest.mark.parametrize(
    ("row", "missed"),
    [
        (FAST, False),
        (SLOW, True),
        (ALONE, False),
        (Row("memory", "MB", [500.0], aim=at_most(500)), False),
        (Row("memory", "MB", [501.0, 400.0, 502.0], aim=at_most(500)), True),
        (Row("messages", "/s", [4_999.0], aim=at_least(5_000)), True),
        (Row("messages", "/s", [5_000.0], aim=at_least(5_000)), False),
        (Row("a part", "s", [1e9], aim="a part of another row"), False),
    ],
)
def test_row_misses_its_aim_by_its_medians(row, missed):
    """The bound itself is allowed."""
    assert bool(row.miss) == missed == row.to_json()["missed"]
    assert (row.watched == "") == isinstance(row.aim, str)


@pytest.mark.parametrize("rows", [[FAST, ALONE], [FAST, SLOW, Row("memory", "MB", [900.0], aim=at_most(500))]])
def test_bench_ends_with_1_and_names_each_missed_row(rows, monkeypatch, tmp_path):
    """The run is kept and printed all the same."""
    monkeypatch.setattr(matching, "measure", lambda _turns: Measured(rows))
    done = CliRunner().invoke(main, ["bench", "matching", "--json", "--out-root", str(tmp_path)])
    missed = [row.name for row in rows if row.miss]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == (1 if missed else 0), done.output
    assert [text.partition(" is ")[0] for text in answer["missed"]] == [f"matching: {name}" for name in missed]
    assert all(name in done.stderr for name in missed)
    assert len(list((tmp_path / "bench").glob("*.json"))) == 1
