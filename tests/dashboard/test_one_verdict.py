"""Every place that shows the verdict on a run says the same: what it was in its own files, what it is now elsewhere."""

import json
from html import unescape
from pathlib import Path

import polars as pl
import pytest
from page_reading import text_of

from mm.backtest.metrics.verdict import words
from support import run_mm

PLACE = ("--symbol", "SIMUSDT", "--day", "20260105")
SPREAD = ("--quote-model", "fixed_spread", "--maker-fee-rate", "0", "--initial-inventory", "5")
GRID = ("--grid", "DELTA_TICKS=1,2,3", "--jobs", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    assert run_mm("sim", "day", *PLACE, "--hours", "0.75", "--seed", "7", cwd=folder).returncode == 0
    return folder


def said(words_: str, text: str) -> str:
    """Return the words if a text has them, else the text."""
    return words_ if words_ in " ".join(unescape(text).split()) else text


def now(home: Path, opened, words_: str) -> dict[str, str]:
    """Return what each place says of the run that has not its own file."""
    shown = run_mm("runs", "show", "first", cwd=home)
    exported = run_mm("runs", "export", "--kind", "backtest", "--out", "runs.parquet", cwd=home)
    assert (shown.returncode, exported.returncode) == (0, 0), exported.stderr
    row = pl.read_parquet(home / "runs.parquet").filter(pl.col("run_id") == "first").to_dicts()[0]
    names = ("text", "lower95", "upper95", "days_to_decide")
    verdict = {name: row.get(f"summary.verdict.{name}") for name in names}
    verdict["days_to_decide"] = verdict["days_to_decide"] and int(verdict["days_to_decide"])
    at = opened("runs_page", home, run="first")
    assert not at.exception
    return {
        "runs show": said(words_, shown.stdout),
        "export": words_.partition(";")[0] if words(verdict, 1).startswith(words_.partition(";")[0]) else str(verdict),
        "dashboard": said(words_, text_of(at)),
    }


@pytest.mark.slow
def test_every_place_says_the_same_verdict(home, opened):
    """Terminal, file, page and dashboard at once; after a sweep of the same days the files keep what they said."""
    played = run_mm("backtest", *PLACE, "--run-id", "first", "--sensitivity=0", *SPREAD,
                    "--quote-params-json", '{"delta_ticks": 2}', cwd=home)  # fmt: skip
    assert played.returncode == 0, played.stderr
    folder = home / "out/backtest/SIMUSDT/20260105_first"
    summary = json.loads((folder / "summary.json").read_text())
    before = words(summary["verdict"], 1)
    assert before.startswith(("above 0 (", "below 0 (", "undecided ("))
    assert said(before, played.stdout) == before
    page, page_words = (folder / "report.html").read_text(), before.partition(" (")
    assert page_words[0] in page
    assert page_words[2].partition(")")[0] in unescape(page)
    places = now(home, opened, before)
    assert set(places.values()) <= {before, before.partition(";")[0]}, places
    framed = opened("report_page", home, run="first")
    assert "on record now" not in text_of(framed)

    swept = run_mm("sweep", *PLACE, "--run-id", "grid", *GRID, *SPREAD, "--fill-model", "queue_prob_power", cwd=home)
    assert swept.returncode == 0, swept.stderr
    shown = run_mm("runs", "show", "first", cwd=home).stdout
    after = next(line for line in shown.splitlines() if line.startswith("verdict")).partition(" ")[2].strip()
    assert after != before
    places = now(home, opened, after)
    assert set(places.values()) <= {after, after.partition(";")[0]}, places
    again = run_mm("backtest", *PLACE, "--run-id", "again", "--sensitivity=0", *SPREAD,
                   "--quote-params-json", '{"delta_ticks": 2}', cwd=home)  # fmt: skip
    assert said(after, again.stdout) == after
    framed = opened("report_page", home, run="first")
    assert said(after, text_of(framed)) == after
