"""Runs in MLflow: what is written of them, and that a second export updates it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from begun_runs import begun, knob_of, plan_of
from mm.__main__ import main
from mm.runs import mlflow_export
from support import run_python

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and its libraries deprecate each other's ways


def store() -> str:
    """Return a store in the current folder; its whole path, as MLflow keeps a connection for each address."""
    return f"sqlite:///{Path.cwd()}/mlflow.db"


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def make_run(run_id: str) -> Path:
    knobs = {
        "seed": knob_of(3),
        "quote_params_json": knob_of(None, "default"),
        "day": knob_of("20251216"),
    }
    with begun(plan_of(output={"run_id": run_id}, knobs=knobs)) as run:
        run.path("fills_BTCUSDT.csv").write_text("a\n1\n")
        run.summary = {"pnl_total": 1.5, "days": ["20251216"], "inventory": {"rms": 0.25}, "sharpe": None}
    return run.folder


def exported(*args: str) -> dict:
    found = CliRunner().invoke(main, ["runs", "export", "--mlflow", store(), "--json", *args])
    assert found.exit_code == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])["mlflow"]


def in_store(experiment: str = "mm"):
    client = pytest.importorskip("mlflow").MlflowClient(tracking_uri=store())
    return client, client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_missing_package_is_named_in_one_line(tmp_path):
    """With the extra that has it."""
    make_run("one")
    (tmp_path / "mlflow.py").write_text("raise ModuleNotFoundError('No module named mlflow', name='mlflow')\n")
    found = run_python("-m", "mm", "runs", "export", "--mlflow", "sqlite:///mlflow.db", cwd=tmp_path)
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert "[mlflow]" in line


@pytest.mark.slow
def test_run_is_written_with_its_knobs_numbers_tags_and_files(tmp_path):
    """What is undefined is left out: MLflow has no null."""
    pytest.importorskip("mlflow")
    make_run("one")
    CliRunner().invoke(main, ["runs", "tag", "one", "--add", "candidate", "--note", "first try"])
    assert (exported()["new"], exported()["updated"]) == (1, 1)
    client, (run,) = in_store()
    assert run.info.run_name == "one"
    assert run.data.params == {"seed": "3", "day": "20251216"}
    assert {name: run.data.metrics[name] for name in ("pnl_total", "inventory.rms")} == {
        "pnl_total": 1.5,
        "inventory.rms": 0.25,
    }
    assert "sharpe" not in run.data.metrics
    assert run.data.tags["mm.tag.candidate"] == "true"
    assert run.data.tags["mlflow.note.content"] == "first try"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"fills_BTCUSDT.csv", "run_manifest.json"}


@pytest.mark.slow
def test_second_export_updates_and_adds_nothing(tmp_path):
    """Tags change after a run; each metric keeps its single value; another experiment has its own runs."""
    pytest.importorskip("mlflow")
    make_run("one"), make_run("two")
    CliRunner().invoke(main, ["runs", "tag", "one", "--add", "old"])
    assert exported()["new"] == 2
    CliRunner().invoke(main, ["runs", "tag", "one", "--add", "new", "--remove", "old"])
    assert exported() | {"uri": ""} == {"uri": "", "new": 0, "updated": 2, "left_out": []}
    client, runs = in_store()
    assert sorted(run.info.run_name for run in runs) == ["one", "two"]
    one = next(run for run in runs if run.info.run_name == "one")
    assert [name for name in one.data.tags if name.startswith("mm.tag.")] == ["mm.tag.new"]
    assert len(client.get_metric_history(one.info.run_id, "pnl_total")) == 1
    assert exported("--experiment", "other")["new"] == 2


@pytest.mark.slow
def test_store_that_cannot_be_used_is_one_line():
    """A folder that is a file, and an address where nothing listens."""
    pytest.importorskip("mlflow")
    make_run("one")
    for uri in ("sqlite:////proc/none/mlflow.db", "http://127.0.0.1:9"):
        found = CliRunner().invoke(main, ["runs", "export", "--mlflow", uri])
        assert found.exit_code == 2
        assert uri in found.stderr.splitlines()[-1]


@pytest.mark.slow
def test_large_file_is_left_out(monkeypatch, tmp_path):
    """It stays in the run's folder, and its name is told."""
    pytest.importorskip("mlflow")
    folder = make_run("one")
    monkeypatch.setattr(mlflow_export, "MOST_BYTES", 2)
    assert str(folder / "fills_BTCUSDT.csv") in exported()["left_out"]
