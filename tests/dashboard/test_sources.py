"""Days and runs that the dashboard finds in its folders."""

import shutil

from mm.dashboard.sources import Folders, market_of_run, traded_run


def test_folders_list_days_and_runs(made):
    """The newest first; an invalid symbol has no days."""
    folders = Folders(made / "data", made / "out")
    assert folders.symbols() == ["SIMUSDT"]
    assert folders.days("SIMUSDT") == ["20260105"]
    assert folders.days("a b/") == folders.days("") == folders.days("OTHER") == []
    assert [run.manifest["run_id"] for run in folders.runs("backtest")] == ["wide", "base"]
    assert len(folders.runs()) == 5
    assert folders.invalid_runs() == []


def test_changed_run_is_read_again(made, tmp_path):
    """By the modification time of its manifest."""
    shutil.copytree(made / "out/backtest", tmp_path / "out/backtest")
    folders = Folders(tmp_path / "data", tmp_path / "out")
    run = folders.run("base")
    first = traded_run(run)
    (run.folder / "run_manifest.json").touch()
    assert traded_run(run) is not first


def test_missing_folders_are_empty(tmp_path):
    folders = Folders(tmp_path / "data", tmp_path / "out")
    assert (folders.symbols(), folders.runs(), folders.invalid_runs()) == ([], [], [])


def test_run_is_read_with_its_market(made):
    """The best prices are around the mid of the run."""
    folders = Folders(made / "data", made / "out")
    run = traded_run(folders.run("base"))
    market = market_of_run(run, folders)
    assert run.run_id == "base"
    assert (market.bid < market.ask).all()
    assert len(run.columns.fills["recv_us"]) == run.summary["n_fills"]
    assert traded_run(folders.run("base")) is run
