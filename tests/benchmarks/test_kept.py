"""Runs of ``mm bench`` are kept with what they depend on, and shown beside the last one of the same rows."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from benchmarks import kept
from mm.errors import BrokenFile

ROW = {"name": "play", "unit": "s", "ours": 2.0, "user": 1.5}
RUN = {"stamp": "20260105T080000Z", "day": "A/1", "hours": 1.0, "yardstick": None, "measured": {"engine": {"rows": []}}}


def test_a_run_is_named_by_its_instant_in_utc():
    """Also where the machine's own clock is of another zone."""
    at = datetime(2026, 1, 5, 9, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert kept.stamp(at) == kept.stamp(at.astimezone(UTC)) == "20260105T070007Z"


def test_what_a_time_depends_on_is_there():
    """Code, machine and load; the digest changes with any module or kernel."""
    found = kept.circumstances()
    assert len(found["code"]) == 64
    assert found["processors"] >= 1
    assert found["load"] >= 0
    assert json.dumps(found, allow_nan=False)


def test_the_processor_is_read_from_the_system():
    """Its first core's name."""
    assert (
        kept.processor("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n\nmodel name\t: other\n") == "Fast CPU @ 3 GHz"
    )
    assert kept.processor("")


def test_no_run_replaces_another(tmp_path):
    """Two of one second are two files."""
    first, second = kept.keep(tmp_path, RUN), kept.keep(tmp_path, {**RUN, "hours": 2.0})
    assert [first.name, second.name] == ["20260105T080000Z.json", "20260105T080000Z_2.json"]
    assert [kept.read_run(path)["hours"] for path in (first, second)] == [1.0, 2.0]


def test_a_change_is_against_the_last_run_of_the_same_rows_and_day(tmp_path):
    """Another day, another length or another yardstick is no baseline."""
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


def test_a_change_is_of_user_time_where_both_have_it():
    """The clock's is the other processes' as well; a row of another unit or name has none."""

    def of(**change):
        return kept.changes({"rows": [{**ROW, **change}]}, {"rows": [ROW]})

    assert of(ours=8.0, user=1.8) == {"play": "+20%"}
    assert of(ours=1.0, user=None) == {"play": "-50%"}
    assert of(name="other") == of(unit="MB") == {}
    assert kept.changes({"rows": [ROW]}, {"rows": [{**ROW, "user": None, "ours": 0.0}]}) == {}


@pytest.mark.parametrize("text", ["", "{}", '{"measured": 1}', "["])
def test_another_file_is_no_run(tmp_path, text):
    """One line that describes how runs are named."""
    path = tmp_path / "20260105T080000Z.json"
    path.write_text(text)
    with pytest.raises(BrokenFile, match=r"no run of mm bench .*<stamp>\.json"):
        kept.read_run(path)
