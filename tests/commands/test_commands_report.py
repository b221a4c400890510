"""``mm report``: redrawing the page of a run of each kind; the runs are small and made once."""

import html
import json
import re
import shutil
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from click.testing import CliRunner

from legible import illegible
from mm.__main__ import main as program
from mm.base.numbers import signed
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
    """Run the program in this process with its files in *desk*."""
    roots = {"DATA_ROOT": str(desk / "data"), "OUT_ROOT": str(desk / "out"), "LOG_LEVEL": "ERROR", **variables}
    return CliRunner().invoke(program, list(words), prog_name="mm", env=roots)


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with a quarter of an hour of market data and a run of each kind."""
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
    """A copy of the desk that a test may damage."""
    shutil.copytree(desk, tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["asked", "measured", "planned", "walked", "unusable", "swept"])
def test_redrawn_page_equals_the_original_page(desk, tmp_path, name):
    """The page that a run wrote and the page drawn from its folder and its day are the same."""
    original = (folder_of(desk, name) / "report.html").read_text(encoding="utf-8")
    drawn = mm(desk, "report", name, "--out", str(tmp_path / "page.html"), SENSITIVITY="0" if name == "walked" else "1")
    assert drawn.exit_code == 0, drawn.output
    if name in ("asked", "walked"):  # the mid path is read back from the state rows
        original, redrawn = (
            re.sub(r'href="[^"]+/backtest/', 'href="backtest/', text.partition("from zero to the PnL")[2])
            for text in (original, (tmp_path / "page.html").read_text(encoding="utf-8"))
        )
        assert len(original) > 1_000
        assert [len(line) for line in redrawn.splitlines()] == pytest.approx(
            [len(line) for line in original.splitlines()], rel=0.02
        )
    else:
        assert (tmp_path / "page.html").read_text(encoding="utf-8") == original


@pytest.mark.slow
def test_report_replays_a_backtest_for_the_sensitivity_block(desk, tmp_path):
    """The rows are those that SENSITIVITY=1 writes into the summary, and the page shows each of them."""
    drawn = mm(desk, "report", "played", "--out", str(tmp_path / "page.html"), "--json")
    assert json.loads(drawn.stdout)["notes"] == []
    words = " ".join(read((tmp_path / "page.html").read_text(encoding="utf-8")).words)
    summary = json.loads((folder_of(desk, "asked") / "summary.json").read_text(encoding="utf-8"))
    rows = summary["sensitivity"]["rows"]
    assert [(row["role"], row["fills"], row["latency"], row["feed"]) for row in rows] == [
        ("headline", "queue_prob_power", 1, "recorded"),
        ("pessimistic", "trade_cross", 1, "recorded"),  # more fills lose more here, as each pays the fee
        ("other", "queue_back", 1, "recorded"),
        ("other", "queue_prob_power", 0.5, "recorded"),
        ("other", "queue_prob_power", 2, "recorded"),
        ("other", "queue_prob_power", 1, "none"),
        ("other", "queue_orders", 1, "recorded"),
        ("stressed", "queue_prob_power", 1, "recorded"),
    ]
    assumed = rows[:-1]
    assert rows[1]["pnl_quoting"] == min(row["pnl_quoting"] for row in assumed)
    assert f"{signed(rows[1]['pnl_quoting'])} under the worst of 7 assumptions (trade_cross)" in words
    for row in assumed:
        assert f"{row['n_fills']:,}" in words
        assert row["fills"] in words
    assert f"{signed(rows[-1]['pnl_quoting'])} with the symbol's worst minute on record" in words


def test_report_without_sensitivity_replays_nothing(desk, tmp_path):
    """The page is written at once and names the command that adds the block."""
    assert mm(desk, "report", "played", "--sensitivity", "0", "--out", str(tmp_path / "page.html")).exit_code == 0
    assert "SENSITIVITY=1" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_redrawn_page_updates_its_hash_in_the_manifest(own):
    """The digest, which does not cover pages, stays the same."""
    folder = folder_of(own, "played")
    before = read_manifest(folder)
    drawn = mm(own, "report", "played")
    after = read_manifest(folder)
    assert drawn.stdout.splitlines()[-1] == str(folder / "report.html")
    page = next(entry for entry in after["outputs"] if entry["path"] == "report.html")
    assert page["sha256"] == sha256((folder / "report.html").read_bytes()).hexdigest()
    assert page not in before["outputs"]
    assert {**after, "outputs": None} == {**before, "outputs": None}
    assert mm(own, "report", "played").exit_code == 0
    assert read_manifest(folder) == after  # drawn once more, the page is the same
    assert mm(own, "runs", "diff", "played", "asked").exit_code in (0, 3)
    assert not list(folder.glob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["asked", "measured", "planned", "walked", "unusable", "swept"])
def test_every_label_of_a_page_is_legible(desk, chrome, name):
    """On a wide screen and on a phone."""
    assert illegible(chrome, folder_of(desk, name) / "report.html") == []


@pytest.mark.parametrize("place", ["page.html", "other pages/#1/page.html", "link/page.html"])
def test_page_written_elsewhere_links_the_files_of_the_run(desk, tmp_path, place):
    """The page of a walk-forward links the page of its backtest from any folder."""
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/away")
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    assert mm(desk, "report", "walked", "--out", str(path), "--sensitivity", "0").exit_code == 0
    (link,) = re.findall(r'href="([^"]+)"', path.read_text(encoding="utf-8"))
    target = urlsplit(urljoin(path.absolute().as_uri(), html.unescape(link)))  # as a browser does
    assert Path(unquote(target.path)) == folder_of(desk, "walked") / "backtest/report.html"
    assert Path(unquote(target.path)).is_file()


@pytest.mark.parametrize("name", ["played", "walked", "measured"])
def test_report_notes_that_the_day_is_missing(own, name):
    """The rest of the page is drawn from the files of the run."""
    shutil.rmtree(own / "data")
    drawn = mm(own, "report", name)
    assert drawn.exit_code == 0, drawn.output
    assert "is missing" in drawn.stdout
    words = " ".join(read((folder_of(own, name) / "report.html").read_text(encoding="utf-8")).words)
    charts = {"played": "PnL of the quoting", "walked": "PnL of the quoting", "measured": "How often trades reach"}
    assert charts[name] in words


def test_report_does_not_replay_a_changed_day(own):
    """Other data would not match the numbers of the run."""
    trades = next((own / "data").rglob("trades_ws_*"))
    trades.write_bytes(trades.read_bytes()[:-200])
    drawn = mm(own, "report", "played")
    assert drawn.exit_code == 0
    assert "changed since the run" in drawn.stdout


def test_report_notes_that_this_version_plays_the_run_differently(own):
    """The sensitivity block would belong to another strategy."""
    path = folder_of(own, "played") / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(summary | {"n_fills": summary["n_fills"] + 1}), encoding="utf-8")
    drawn = mm(own, "report", "played")
    assert drawn.exit_code == 0
    assert "this version plays it to" in drawn.stdout


def test_page_of_a_run_without_fills_reports_no_fills(desk, tmp_path):
    """With and without the sensitivity block."""
    for sensitivity in "01":
        drawn = mm(desk, "report", "unfilled", "--sensitivity", sensitivity, "--out", str(tmp_path / "page.html"))
        assert drawn.exit_code == 0, drawn.output
        assert "No fills" in (tmp_path / "page.html").read_text(encoding="utf-8")


def break_file(own: Path, name: str, file: str, text: str | None) -> str:
    path = folder_of(own, name) / file
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    return str(path.parent if "/" not in file else path.parent.parent)


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("played", "run_manifest.json", None, "not a run, it has no run_manifest.json"),
        ("played", "summary.json", "{", "cannot be read"),
        ("played", "fills_SIMUSDT.csv", "what,is\n1,2\n", "cannot be read"),
        ("played", "state_SIMUSDT.csv", None, "cannot be read"),
        ("measured", "poisson_fit.json", "[]", "not a JSON object"),
        ("planned", "window_metrics.csv", "a,b\n1,2\n", "no column start_us"),
        ("planned", "poisson_schedule.json", None, "cannot be read"),
        ("walked", "window_shapes.json", "?", "cannot be read"),
    ],
)
def test_unreadable_file_exits_with_3_and_one_line(own, name, file, text, message):
    """The line names the file or the folder, and the old page stays."""
    folder = break_file(own, name, file, text)
    page = (Path(folder) / "report.html").read_bytes()
    done = mm(own, "report", folder, "--sensitivity", "0")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert (Path(folder) / "report.html").read_bytes() == page


def test_other_run_kind_exits_with_3_and_unwritable_out_with_2(own):
    """Both give one line."""
    folder = folder_of(own, "played")
    assert mm(own, "report", "played", "--sensitivity", "0", "--out", str(own / "no" / "page.html")).exit_code == 2
    manifest = read_manifest(folder)
    write_manifest(folder, manifest | {"kind": "recording"})
    done = mm(own, "report", str(folder))
    assert done.exit_code == 3
    assert "kind 'recording'; mm report draws pages of " in done.stderr
    assert f"open the page in its folder, {folder / 'report.html'}" in done.stderr


@pytest.mark.parametrize("name", ["planned", "walked"])
def test_page_of_segments_opens_in_a_browser_without_errors(desk, chrome, tmp_path, name):
    """Every chart is drawn, the console is empty, and the page makes no request."""
    mm(desk, "report", name, "--out", str(tmp_path / "page.html"))
    opened = chrome.opened(tmp_path / "page.html")
    assert (opened.errors, opened.requests) == ([], [])
    assert opened.charts == (2 if name == "planned" else 3)  # those over time are the panels of one


def test_summary_holds_every_warning_of_its_run(desk):
    """What the log says at warning level stands in the summary once, after its name, and on the page in words."""
    fee = ["--maker-fee-rate", "0.06"]
    done = mm(desk, "backtest", *DAY, *fee, "--sensitivity", "0", "--run-id", "warned", LOG_LEVEL="WARNING")
    logged = re.findall(r"warning +(\w+)", done.stderr)
    folder = folder_of(desk, "warned")
    warnings = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["warnings"]
    assert {"k_assumed", "implausible_fee"} <= set(logged)
    for name in logged:
        assert sum(line.startswith(f"{name}: ") for line in warnings) == 1, (name, warnings)
    (assumed,) = (line for line in warnings if line.startswith("k_assumed"))
    assert "give --fit (FILL_PARAMS_FILE)" in assumed
    words = " ".join(read((folder / "report.html").read_text(encoding="utf-8")).words)
    assert "k of the quotes is not measured" in words
