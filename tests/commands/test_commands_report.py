"""``mm report``: the page of a run of every kind, drawn again; the runs are small, and made once."""

import html
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from click.testing import CliRunner

from legible import illegible
from mm.__main__ import main as program
from mm.code_identity import hash_file
from mm.runs.manifest import MANIFEST, read_manifest, write_manifest
from pages import read

DAY = ["--symbol", "SIMUSDT", "--day", "20260105"]
WINDOWS = ["--wf-train-window-min", "3", "--wf-step-min", "3"]
FAR = ["--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 900}']
RUNS = {
    "played": ["backtest", *DAY, "--sensitivity", "0"],
    "asked": ["backtest", *DAY, "--sensitivity", "1"],
    "unfilled": ["backtest", *DAY, *FAR, "--sensitivity", "0"],
    "measured": ["calibrate", *DAY],
    "planned": ["schedule", *DAY, *WINDOWS],
    "walked": ["walkforward", *DAY, *WINDOWS, "--honesty", "0"],
    "unusable": ["walkforward", *DAY, *WINDOWS, "--min-exposure-s", "1e6"],
    "swept": ["sweep", *DAY, "--grid", "SEED=1,2", "--jobs", "1"],
}


def mm(desk: Path, *words: str, **variables: str):
    """Call the program in this process; its files are in *desk*."""
    roots = {"DATA_ROOT": str(desk / "data"), "OUT_ROOT": str(desk / "out"), "LOG_LEVEL": "ERROR", **variables}
    return CliRunner().invoke(program, list(words), prog_name="mm", env=roots)


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with a quarter of an hour of market, and a run of each kind."""
    folder = tmp_path_factory.mktemp("desk")
    made = mm(folder, "sim", "day", *DAY, "--hours", "0.25", "--seed", "7")
    assert made.exit_code == 0, made.output
    for name, words in RUNS.items():
        made = mm(folder, *words, "--run-id", name)
        assert made.exit_code == (4 if name == "unusable" else 0), made.output
    return folder


def folder_of(desk: Path, name: str) -> Path:
    folders = [path.parent for path in desk.rglob(MANIFEST)]
    return next(folder for folder in folders if read_manifest(folder)["run_id"] == name)


@pytest.fixture
def own(desk, tmp_path) -> Path:
    """A copy that may be broken."""
    shutil.copytree(desk, tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.parametrize("name", ["asked", "measured", "planned", "walked", "unusable", "swept"])
def test_the_page_comes_out_again_to_the_byte(desk, tmp_path, name):
    """What a run wrote and what is drawn from its folder and its day is one page."""
    original = (folder_of(desk, name) / "report.html").read_text(encoding="utf-8")
    drawn = mm(desk, "report", name, "--out", str(tmp_path / "page.html"), SENSITIVITY="0" if name == "walked" else "1")
    assert drawn.exit_code == 0, drawn.output
    if name in ("asked", "walked"):  # their path of the mid is read back from the state rows
        original, again = (
            re.sub(r'href="[^"]+/backtest/', 'href="backtest/', text.partition("Where the PnL came from")[2])
            for text in (original, (tmp_path / "page.html").read_text(encoding="utf-8"))
        )
        assert len(original) > 1_000
        assert [len(line) for line in again.splitlines()] == pytest.approx(
            [len(line) for line in original.splitlines()], rel=0.02
        )
    else:
        assert (tmp_path / "page.html").read_text(encoding="utf-8") == original


def test_a_backtest_is_played_again_for_the_sensitivity_block(desk, tmp_path):
    """The rows are those that SENSITIVITY=1 writes into the summary, and the page shows each."""
    drawn = mm(desk, "report", "played", "--out", str(tmp_path / "page.html"), "--json")
    assert json.loads(drawn.stdout)["notes"] == []
    words = " ".join(read((tmp_path / "page.html").read_text(encoding="utf-8")).words)
    summary = json.loads((folder_of(desk, "asked") / "summary.json").read_text(encoding="utf-8"))
    rows = summary["sensitivity"]["rows"]
    assert [row["role"] for row in rows] == ["optimistic", "base", "pessimistic", "latency", "latency"]
    for row in rows:
        assert f"{row['n_fills']:,}" in words
        assert row["fills"] in words


def test_without_sensitivity_nothing_is_played(desk, tmp_path):
    """The page is there at once, and names the command with the block."""
    assert mm(desk, "report", "played", "--sensitivity", "0", "--out", str(tmp_path / "page.html")).exit_code == 0
    assert "SENSITIVITY=1" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_page_in_the_folder_is_replaced_and_the_manifest_stays_true(own):
    """Its hash is the new page's; the digest, which does not cover pages, is what it was."""
    folder = folder_of(own, "played")
    before = read_manifest(folder)
    drawn = mm(own, "report", "played")
    after = read_manifest(folder)
    assert drawn.stdout.splitlines()[-1] == str(folder / "report.html")
    page = next(one for one in after["outputs"] if one["path"] == "report.html")
    assert page["sha256"] == hash_file(folder / "report.html")
    assert page not in before["outputs"]
    assert {**after, "outputs": None} == {**before, "outputs": None}
    assert mm(own, "report", "played").exit_code == 0
    assert read_manifest(folder) == after  # drawn once more, it is the same page
    assert mm(own, "runs", "diff", "played", "asked").exit_code in (0, 3)
    assert not list(folder.glob("*.partial"))


@pytest.mark.parametrize("name", ["asked", "measured", "planned", "walked", "unusable", "swept"])
def test_every_label_of_a_runs_page_can_be_read(desk, chrome, name):
    """Whatever kind of run, on a wide screen and on a phone."""
    assert illegible(chrome, folder_of(desk, name) / "report.html") == []


@pytest.mark.parametrize("place", ["page.html", "other pages/#1/page.html", "link/page.html"])
def test_a_page_that_lies_elsewhere_leads_to_the_runs_files(desk, tmp_path, place):
    """The page of a walk-forward links the page of its backtest, from wherever it is written to."""
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/away")
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    assert mm(desk, "report", "walked", "--out", str(path), "--sensitivity", "0").exit_code == 0
    (link,) = re.findall(r'href="([^"]+)"', path.read_text(encoding="utf-8"))
    found = urlsplit(urljoin(path.absolute().as_uri(), html.unescape(link)))  # as a browser does
    assert Path(unquote(found.path)) == folder_of(desk, "walked") / "backtest/report.html"
    assert Path(unquote(found.path)).is_file()


@pytest.mark.parametrize("name", ["played", "walked", "measured"])
def test_what_needs_a_day_that_is_gone_is_said(own, name):
    """The rest of the page is drawn from the files of the run."""
    shutil.rmtree(own / "data")
    drawn = mm(own, "report", name)
    assert drawn.exit_code == 0, drawn.output
    assert "is not there" in drawn.stdout
    words = " ".join(read((folder_of(own, name) / "report.html").read_text(encoding="utf-8")).words)
    assert ("How often trades reach" if name == "measured" else "Equity") in words


def test_a_day_that_changed_is_not_played(own):
    """Other data would tell another story beside the run's numbers."""
    trades = next((own / "data").rglob("trades_ws_*"))
    trades.write_bytes(trades.read_bytes()[:-200])
    drawn = mm(own, "report", "played")
    assert drawn.exit_code == 0
    assert "changed since the run" in drawn.stdout


def test_a_run_that_this_version_plays_otherwise_is_not_mixed_up(own):
    """The block would be another strategy's; the note names the version's owner."""
    path = folder_of(own, "played") / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(summary | {"n_fills": summary["n_fills"] + 1}), encoding="utf-8")
    drawn = mm(own, "report", "played")
    assert drawn.exit_code == 0
    assert "this version plays it to" in drawn.stdout


def test_a_run_without_fills_has_a_page(desk, tmp_path):
    """It reports that there are none, instead of drawing them."""
    for sensitivity in "01":
        drawn = mm(desk, "report", "unfilled", "--sensitivity", sensitivity, "--out", str(tmp_path / "page.html"))
        assert drawn.exit_code == 0, drawn.output
        assert "No fills" in (tmp_path / "page.html").read_text(encoding="utf-8")


def broken(own: Path, name: str, file: str, text: str | None) -> str:
    path = folder_of(own, name) / file
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    return str(path.parent if "/" not in file else path.parent.parent)


@pytest.mark.parametrize(
    ("name", "file", "text", "told"),
    [
        ("played", "run_manifest.json", None, "not a run, it has no run_manifest.json"),
        ("played", "summary.json", "{", "cannot be read"),
        ("played", "fills_SIMUSDT.csv", "what,is\n1,2\n", "cannot be read"),
        ("played", "state_SIMUSDT.csv", None, "cannot be read"),
        ("measured", "poisson_fit.json", "[]", "not a JSON object"),
        ("planned", "window_metrics.csv", "a,b\n1,2\n", "no column start_us"),
        ("planned", "poisson_schedule.json", None, "cannot be read"),
        ("walked", "oos_metrics.json", "?", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_ends_with_3_and_one_line(own, name, file, text, told):
    """The line names the file or the folder, and the old page stays."""
    folder = broken(own, name, file, text)
    page = (Path(folder) / "report.html").read_bytes()
    done = mm(own, "report", folder, "--sensitivity", "0")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert (Path(folder) / "report.html").read_bytes() == page


def test_a_run_of_another_kind_and_a_place_that_cannot_be_written(own):
    """Both are reported in one line: 3 for the run, 2 for the knob."""
    folder = folder_of(own, "played")
    assert mm(own, "report", "played", "--sensitivity", "0", "--out", str(own / "no" / "page.html")).exit_code == 2
    manifest = read_manifest(folder)
    write_manifest(folder, manifest | {"kind": "recording"})
    done = mm(own, "report", str(folder))
    assert done.exit_code == 3
    assert "kind 'recording'; mm report draws pages of backtest, calibration" in done.stderr
    assert f"open the page that the run left, {folder / 'report.html'}" in done.stderr


@pytest.mark.parametrize("name", ["planned", "walked"])
def test_the_page_of_segments_opens_in_a_browser(desk, chrome, tmp_path, name):
    """Every chart is drawn, nothing is in the console, and nothing leaves the page."""
    mm(desk, "report", name, "--out", str(tmp_path / "page.html"))
    seen = chrome.opened(tmp_path / "page.html")
    assert (seen.errors, seen.requests) == ([], [])
    assert seen.charts >= (5 if name == "planned" else 8)
