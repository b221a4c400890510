"""Runs of ``mm bench`` are stored with their circumstances, and compared with the last run of the same rows."""

import pytest

from benchmarks import kept

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

ROW = {"name": "play", "unit": "s", "ours": 2.0, "user": 1.5}
RUN = {"stamp": "20260105T080000Z", "day": "A/1", "hours": 1.0, "yardstick": None, "measured": {"engine": {"rows": []}}}


def test_keep_never_overwrites_a_run(tmp_path):
    """Two runs of one second are two files."""
    first, second = kept.keep(tmp_path, RUN), kept.keep(tmp_path, {**RUN, "hours": 2.0})
    assert [first.name, second.name] == ["20260105T080000Z.json", "20260105T080000Z_2.json"]
    assert [kept.read_run(path)["hours"] for path in (first, second)] == [1.0, 2.0]


def test_earlier_returns_last_run_of_same_rows_and_day(tmp_path):
    """A run with another day, length or yardstick is no baseline."""
    for stamp, change in (
        ("1", {}),
        ("2", {}),
        ("3", {"hours": 2.0}),
        ("4", {"day": "A/2"}),
        ("5", {"yardstick": "x"}),
    ):
        kept.keep(tmp_path, {**RUN, **change, "stamp": f"20260105T08000{stamp}Z"})
    found = kept.earlier(tmp_path, RUN, "engine")
    assert found is not None
    assert found["stamp"] == "20260105T080002Z"
    assert kept.earlier(tmp_path, RUN, "parse") is None


def test_changes_compare_user_time_if_available():
    """Wall time depends on other processes; a row with another unit or name has no change."""

    def changes_of(**change):
        return kept.changes({"rows": [{**ROW, **change}]}, {"rows": [ROW]})

    assert changes_of(ours=8.0, user=1.8) == {"play": "+20%"}
    assert changes_of(ours=1.0, user=None) == {"play": "-50%"}
    assert changes_of(name="other") == changes_of(unit="MB") == {}
    assert kept.changes({"rows": [ROW]}, {"rows": [{**ROW, "user": None, "ours": 0.0}]}) == {}
