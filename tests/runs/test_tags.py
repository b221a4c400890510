"""Tags, notes and the table of all runs."""

import json

import polars as pl
import pytest

from simulation import simulate_day
from support import run_mm


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with two backtests of a short day."""
    folder = tmp_path_factory.mktemp("desk")
    simulate_day(folder / "data", hours=0.05, seed=0)
    for name, ticks in (("near", 1), ("far", 3)):
        words = (
            "backtest",
            "--symbol",
            "SIMUSDT",
            "--day",
            "20260105",
            "--run-id",
            name,
            "--quote-model",
            "fixed_spread",
        )
        done = run_mm(*words, "--quote-params-json", json.dumps({"delta_ticks": ticks}), cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def mm(desk, *words):
    done = run_mm("runs", *words, cwd=desk)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tags_and_a_note_are_kept_beside_the_runs(desk):
    """They find the run again, and leave its folder and digest as they were."""
    before = sorted(path.name for path in (desk / "out/backtest/SIMUSDT/20260105_near").iterdir())
    assert mm(desk, "tag", "near", "--add", "candidate", "--add", "b", "--note", "für später") == (
        "near  #b #candidate  für später\n"
    )
    mm(desk, "tag", "near", "--remove", "b")
    listed = json.loads(mm(desk, "list", "--tag", "candidate", "--json"))["runs"]
    assert [(run["run_id"], run["tags"], run["note"]) for run in listed] == [("near", ["candidate"], "für später")]
    assert "#candidate" in mm(desk, "list")
    assert "tags     #candidate  für später" in mm(desk, "show", "near")
    assert sorted(path.name for path in (desk / "out/backtest/SIMUSDT/20260105_near").iterdir()) == before
    mm(desk, "tag", "near", "--remove", "candidate", "--note", "")
    assert json.loads((desk / "out/run_tags.json").read_text()) == {}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_all_runs_are_one_table(desk, suffix):
    """Numbers are numbers, and equal those of the summaries; knobs tell the runs apart."""
    mm(desk, "export", "--kind", "backtest", "--out", f"runs.{suffix}")
    table = (pl.read_parquet if suffix == "parquet" else pl.read_csv)(desk / f"runs.{suffix}")
    assert table["run_id"].to_list() == ["near", "far"]
    assert table["knob.quote_params_json"].to_list() == ['{"delta_ticks": 1}', '{"delta_ticks": 3}']
    for row in table.to_dicts():
        summary = json.loads((desk / row["path"] / "summary.json").read_text())
        assert row["summary.pnl_quoting"] == summary["pnl_quoting"]
        assert row["summary.inventory.rms"] == summary["inventory"]["rms"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("tag", "near", "--add", "two words"), "a tag is a word without blanks"),
        (("tag", "other"), "other"),
        (("export", "--out", "runs.xlsx"), "neither .parquet nor .csv"),
    ],
)
def test_wrong_calls_end_with_one_line(desk, words, text):
    done = run_mm("runs", *words, cwd=desk)
    assert done.returncode in (2, 3)
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_damaged_file_of_tags_is_named(desk):
    file = desk / "out/run_tags.json"
    file.write_text("{", encoding="utf-8")
    done = run_mm("runs", "list", cwd=desk)
    file.unlink()
    assert done.returncode == 3
    assert "run_tags.json: not a JSON object" in done.stderr
