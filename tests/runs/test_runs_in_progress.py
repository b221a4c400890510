import errno
import json
import subprocess
from pathlib import Path

import pytest

import mm
from begun_runs import begun, knob_of, plan_of
from journals import run_terms, seeded
from mm import Result
from mm.errors import FitError, Incomplete, MissingDay, UsageError
from mm.runs.in_progress import Run
from mm.runs.manifest import read_manifest


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def open_run(*, as_json=False, **output):
    knobs = {"seed": knob_of(3), "run_id": knob_of("x", matters=False)}
    return begun(plan_of(output=output, knobs=knobs), as_json=as_json, level="INFO")


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


def test_commit_of_a_run_is_head_of_the_checkout_of_mm():
    top = Path(mm.__file__).parent.parent
    if not (top / ".git").exists():
        pytest.skip("mm is not imported from a checkout")
    with open_run(run_id="r") as run:
        leave_files(run)
    head = subprocess.run(["git", "-C", top, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    assert manifest(run)["commit"] in (head.strip(), head.strip() + "+dirty")


def test_run_is_one_folder_with_its_manifest():
    """All files are listed, with rows and hashes, and nothing partial is left."""
    with open_run(run_id="r") as run:
        assert run.path("x").parent == Path("out/backtest/BTCUSDT/20251216_r.partial").resolve()
        leave_files(run)
        run.input("BTCUSDT/20251216/t.csv", 10, "aa")
        run.summary = {"pnl_total": 1.5}
    content = manifest(run)
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "fills_BTCUSDT.csv",
        "run_manifest.json",
        "summary.json",
    ]
    assert [(f["path"], f["rows"]) for f in content["outputs"]] == [("fills_BTCUSDT.csv", 2), ("summary.json", None)]
    assert content["inputs"] == [{"path": "BTCUSDT/20251216/t.csv", "bytes": 10, "sha256": "aa"}]
    assert content["knobs"]["seed"] == {"value": 3, "source": "flag"}
    expected = {"kind": "backtest", "symbol": "BTCUSDT", "day": "20251216", "run_id": "r", "status": "ok"}
    assert content | expected == content
    assert list(content) == [
        *("schema_version", "kind", "symbol", "day", "run_id", "status", "started_at", "finished_at", "version"),
        *("commit", "knobs", "inputs", "outputs", "digest", "timings", "summary"),
    ]
    assert list(run.folder.parent.iterdir()) == [run.folder]


def test_equal_work_has_equal_digests_under_two_names():
    """Neither the name nor the time is in the digest, nor is a page that contains them."""
    digests = set()
    for name in ("a", "b"):
        with open_run(run_id=name) as run:
            leave_files(run)
            run.output("report.html", digest=False).write_text(name)
        digests.add(manifest(run)["digest"])
    assert len(digests) == 1


def test_failed_run_leaves_only_its_log():
    """No folder could be mistaken for a result, and the log has the reason."""
    error = MissingDay("no such day")
    end_with(error)
    log = Path("out/logs/backtest/BTCUSDT/20251216/r/run.log")
    assert not list(Path("out/backtest").rglob("*_r*"))
    started, failed = map(json.loads, log.read_text().splitlines())
    assert (started["event"], failed["event"], failed["exit_code"]) == ("run_started", "run_failed", 3)
    assert error.__notes__ == [f"the traceback is in {log}"]


def test_interrupted_run_leaves_no_folder():
    """Ctrl-C is handled like an error."""
    end_with(KeyboardInterrupt())
    assert not list(Path("out/backtest").rglob("*_r*"))


def test_unusable_fit_is_written_with_status_unusable():
    """Its numbers help to find the cause."""
    assert manifest(end_with(FitError("too few fills")))["status"] == "unusable"


def test_fit_error_before_the_main_output_leaves_no_folder():
    """A backtest with an unusable fit has no output."""
    with pytest.raises(FitError), open_run(run_id="r") as run:
        raise FitError("the fit of FILL_PARAMS_FILE is not usable")
    assert not run.folder.exists()


def test_unwritable_manifest_removes_the_run():
    """A folder without a manifest is never left."""
    with pytest.raises(ValueError, match="JSON compliant"), open_run(run_id="r") as run:
        run.summary = {"sharpe": float("nan")}
    assert not list(Path("out/backtest").rglob("*_r*"))


def test_timings_are_summed_by_name():
    """Several windows give one number; other values are stored beside it."""
    with open_run(run_id="r") as run:
        for _ in range(2):
            with run.timing("load"):
                pass
        run.timings["tape_cache"] = "hit"
    timings = manifest(run)["timings"]
    assert {"import_s", "load_s", "tape_cache", "total_s", "peak_rss_mb"} == set(timings)
    assert timings["total_s"] >= timings["load_s"] >= 0


def test_input_file_is_named_relative_to_the_data():
    """The folders can be moved together."""
    Path("fit.json").write_text("{}")
    with open_run(run_id="r") as run:
        run.input_file(Path("fit.json"))
    assert [(f["path"], f["bytes"]) for f in manifest(run)["inputs"]] == [("../fit.json", 2)]


def test_row_count_of_an_output_may_be_given():
    """The writer of a large file has counted the rows already."""
    with open_run(run_id="r") as run:
        run.output("runs/ladder/state.csv", rows=9).write_text("x\n")
    assert manifest(run)["outputs"][0]["rows"] == 9


def test_main_output_is_printed_at_the_end(capsys):
    """Its path as text; with JSON its content."""
    with open_run(run_id="r") as run:
        leave_files(run)
    assert capsys.readouterr().out == "out/backtest/BTCUSDT/20251216_r/summary.json\n"
    with begun(plan_of(output={"run_id": "s"})) as run:
        leave_files(run)
        run.print("not for scripts")
    assert json.loads(capsys.readouterr().out) == {
        "pnl_total": 1.5,
        "path": str(Path("out/backtest/BTCUSDT/20251216_s/summary.json").resolve()),
    }


@pytest.mark.parametrize("name", ["", "backtest"])
def test_write_result_writes_summary_page_and_digest(name):
    """The page shows the command and the knobs, so it is not part of the digest."""
    digests, result = set(), Result(seeded(30).journal(), run_terms())
    for run_id in ("r", "s"):
        with open_run(run_id=run_id) as run:
            run.write_result(result, name)
        content = manifest(run)
        digests.add(content["digest"])
        assert (content["summary"], run.artefact) == (result.summary, str(Path(name) / "summary.json"))
        assert {Path(file["path"]).parent for file in content["outputs"]} == {Path(name)}
        assert "write_s" in content["timings"]
    assert len(digests) == 1
    assert "<b>3</b>" in (run.folder / name / "report.html").read_text()


def test_full_disk_error_keeps_the_first_error(monkeypatch):
    """The message has both, and the exit code is that of the first error."""

    def raise_no_space(folder, manifest):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mm.runs.in_progress.write_manifest", raise_no_space)
    message = "it was killed; nor can the run folder be written"
    with pytest.raises(Incomplete, match=message) as caught, open_run(run_id="r") as run:
        _write_and_raise(run, Incomplete("it was killed", 5))
    assert caught.value.exit_code == 5
    assert not run.partial.exists()


def test_unwritable_log_leaves_no_folder():
    """The claimed folder is removed."""
    Path("file").touch()
    with pytest.raises(UsageError, match=r"set log_root"), open_run(run_id="r", log_root=Path("file")):
        pass
    assert not list(Path("out/backtest").rglob("*_r*"))


def test_out_dir_may_be_an_empty_folder():
    """It was created for the run."""
    Path("mine").mkdir()
    with begun(plan_of(out_dir=Path("mine")), as_json=False, level="INFO") as run:
        leave_files(run)
    assert (run.folder, manifest(run)["status"]) == (Path("mine"), "ok")
