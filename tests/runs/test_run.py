import errno
import json
from pathlib import Path

import pytest

from journals import books, seeded
from mm.backtest.result import Result
from mm.cli.config import Day, Output
from mm.cli.console import Console
from mm.errors import FitError, Incomplete, MissingDay, UsageError
from mm.runs.folder import Plan
from mm.runs.manifest import SetKnob, read_manifest
from mm.runs.run import Run, working


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def open_run(*, as_json=False, **output):
    day = Day(symbol="BTCUSDT", day="20251216")
    knobs = {"seed": SetKnob(3, "flag", matters=True), "run_id": SetKnob("x", "flag", matters=False)}
    return working(Plan("backtest", None, day, Output(**output), knobs), Console(as_json=as_json, level="INFO"))


def leave_files(run: Run) -> None:
    run.path("fills_BTCUSDT.csv").write_text("recv_ms,side\n1,BUY\n2,SELL\n")
    run.path("summary.json").write_text('{"pnl_total": 1.5}')
    run.artefact = "summary.json"


def end_with(error: BaseException) -> Run:
    with pytest.raises(type(error)) as caught, open_run(run_id="r") as run:
        _write_and_raise(run, error)
    assert caught.value is error
    return run


def _write_and_raise(run: Run, error: BaseException) -> None:
    leave_files(run)
    raise error


def manifest(run: Run) -> dict:
    return read_manifest(run.folder)


def test_a_run_is_one_folder_with_its_manifest():
    """Everything in it is listed, with rows and hashes, and nothing partial is left."""
    with open_run(run_id="r") as run:
        assert run.path("x").parent == Path("out/backtest/BTCUSDT/20251216_r.partial").resolve()
        leave_files(run)
        run.input("BTCUSDT/20251216/t.csv", 10, "aa")
        run.summary = {"pnl_total": 1.5}
    found = manifest(run)
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "fills_BTCUSDT.csv",
        "run_manifest.json",
        "summary.json",
    ]
    assert [(f["path"], f["rows"]) for f in found["outputs"]] == [("fills_BTCUSDT.csv", 2), ("summary.json", None)]
    assert found["inputs"] == [{"path": "BTCUSDT/20251216/t.csv", "bytes": 10, "sha256": "aa"}]
    assert found["knobs"]["seed"] == {"value": 3, "source": "flag"}
    wanted = {"kind": "backtest", "symbol": "BTCUSDT", "day": "20251216", "run_id": "r", "status": "ok"}
    assert found | wanted == found
    assert list(found) == [
        *("schema_version", "kind", "symbol", "day", "run_id", "status", "started_at", "finished_at", "version"),
        *("commit", "knobs", "inputs", "outputs", "digest", "timings", "summary"),
    ]
    assert list(run.folder.parent.iterdir()) == [run.folder]


def test_equal_work_has_equal_digests_under_two_names():
    """Neither the name nor the clock is in the digest, nor is a page that carries them."""
    digests = set()
    for name in ("a", "b"):
        with open_run(run_id=name) as run:
            leave_files(run)
            run.output("report.html", digest=False).write_text(name)
        digests.add(manifest(run)["digest"])
    assert len(digests) == 1


def test_a_run_that_fails_leaves_its_log_alone():
    """No folder could be mistaken for a result, and the log has the reason."""
    error = MissingDay("no such day")
    end_with(error)
    log = Path("out/logs/backtest/BTCUSDT/20251216/r/run.log")
    assert not list(Path("out/backtest").rglob("*_r*"))
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == ["run_started", "run_failed"]
    assert error.__notes__ == [f"the traceback is in {log}"]


def test_ctrl_c_leaves_no_folder():
    """An interrupted run is no run."""
    end_with(KeyboardInterrupt())
    assert not list(Path("out/backtest").rglob("*_r*"))


def test_an_unusable_fit_is_written_and_says_so():
    """Its numbers are looked at to see what went wrong."""
    assert manifest(end_with(FitError("too few fills")))["status"] == "unusable"


def test_a_fit_error_before_the_main_output_is_a_failure():
    """A backtest that was given an unusable fit has made nothing."""
    with pytest.raises(FitError), open_run(run_id="r") as run:
        raise FitError("the fit of FILL_PARAMS_FILE is not usable")
    assert not run.folder.exists()


def test_a_manifest_that_cannot_be_written_takes_the_run_back():
    """A folder without a manifest is never left."""
    with pytest.raises(ValueError, match="JSON compliant"), open_run(run_id="r") as run:
        run.summary = {"sharpe": float("nan")}
    assert not list(Path("out/backtest").rglob("*_r*"))


def test_timings_add_up_by_name():
    """Several windows are one figure; the kernel's counts are next to it."""
    with open_run(run_id="r") as run:
        for _ in range(2):
            with run.timing("load"):
                pass
        run.timings["tape_cache"] = "hit"
    timings = manifest(run)["timings"]
    assert {"import_s", "load_s", "tape_cache", "total_s", "peak_rss_mb"} == set(timings)
    assert timings["total_s"] >= timings["load_s"] >= 0


def test_a_file_that_was_read_is_named_relative_to_the_data():
    """Folders travel together."""
    Path("fit.json").write_text("{}")
    with open_run(run_id="r") as run:
        run.input_file(Path("fit.json"))
    assert [(f["path"], f["bytes"]) for f in manifest(run)["inputs"]] == [("../fit.json", 2)]


def test_rows_may_be_told_by_the_writer():
    """The writer of a large file has counted them already."""
    with open_run(run_id="r") as run:
        run.output("runs/ladder/state.csv", rows=9).write_text("x\n")
    assert manifest(run)["outputs"][0]["rows"] == 9


def test_the_main_output_is_told_at_the_end(capsys):
    """People get its place, scripts the thing itself."""
    with open_run(run_id="r") as run:
        leave_files(run)
    assert capsys.readouterr().out == "out/backtest/BTCUSDT/20251216_r/summary.json\n"
    console = Console(as_json=True, level="ERROR")
    plan = Plan("backtest", None, Day(symbol="BTCUSDT", day="20251216"), Output(run_id="s"), {})
    with working(plan, console) as run:
        leave_files(run)
        run.say("not for scripts")
    console.close()
    assert json.loads(capsys.readouterr().out) == {
        "pnl_total": 1.5,
        "path": str(Path("out/backtest/BTCUSDT/20251216_s/summary.json").resolve()),
    }


@pytest.mark.parametrize("name", ["", "backtest"])
def test_a_backtest_is_written_as_it_says(name):
    """The page shows the command and the knobs, so it is not what two runs are compared by."""
    digests, result = set(), Result(seeded(30).journal(), books())
    for run_id in ("r", "s"):
        with open_run(run_id=run_id) as run:
            run.write_result(result, name)
        found = manifest(run)
        digests.add(found["digest"])
        assert (found["summary"], run.artefact) == (result.summary, str(Path(name) / "summary.json"))
        assert {Path(file["path"]).parent for file in found["outputs"]} == {Path(name)}
        assert "write_s" in found["timings"]
    assert len(digests) == 1
    assert "<b>3</b>" in (run.folder / name / "report.html").read_text()


def test_a_full_disk_does_not_hide_why_a_run_ended_before_its_time(monkeypatch):
    """The one line has both, and the exit code is that of the end."""

    def full(folder, manifest):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mm.runs.run.write_manifest", full)
    told = "it was killed; nor can the run folder be written"
    with pytest.raises(Incomplete, match=told) as caught, open_run(run_id="r") as run:
        _write_and_raise(run, Incomplete("it was killed", 5))
    assert caught.value.exit_code == 5
    assert not run.partial.exists()


def test_a_log_that_cannot_be_written_leaves_nothing():
    """The claim on the folder is taken back."""
    Path("file").touch()
    with pytest.raises(UsageError, match=r"set --log-root \(LOG_ROOT\)"), open_run(run_id="r", log_root=Path("file")):
        pass
    assert not list(Path("out/backtest").rglob("*_r*"))


def test_out_dir_may_be_an_empty_folder():
    """Whoever made it meant it for the run."""
    Path("mine").mkdir()
    day = Day(symbol="BTCUSDT", day="20251216", out_dir=Path("mine"))
    with working(Plan("backtest", None, day, Output(), {}), Console(as_json=False, level="INFO")) as run:
        leave_files(run)
    assert (run.folder, manifest(run)["status"]) == (Path("mine"), "ok")
