"""Single orders at the command line: exported, imported and checked, and what a day without them says."""

import json

import pytest
from click.testing import CliRunner

from mm.commands.data import data_check, data_export, data_import
from mm.dayfolder.layout import DayFolder
from simulation import simulate_day


def call(command, *words):
    return CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    return simulate_day(tmp_path_factory.mktemp("orders"), hours=0.01, seed=2)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("databento", ("--contract-size", "0.001", "--qty-step", "0.001")),
        ("lobster", ("--qty-step", "1")),
        ("hftbacktest_l3", ("--qty-step", "0.001")),
    ],
)
def test_exported_orders_are_imported_and_checked(day, tmp_path, form, options):
    """The check says that the log is the day's book, and how many executions were first in their queue."""
    done = call(data_export, day.path, "--format", form, "--out", tmp_path / "x", "--json")
    assert done.exit_code == 0, done.output
    files = json.loads(done.stdout)["files"]
    name = form.removesuffix("_l3")
    words = ("--format", name, "--symbol", "SIMUSDT", "--data-root", tmp_path, "--tick-size", "0.01", *options)
    done = call(data_import, *files, *words)
    assert done.exit_code == 0, done.output
    assert "100.00 % of the executed lots" in done.stdout
    done = call(data_check, tmp_path / "SIMUSDT" / "20260105", "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["defects"], report["fifo_consistency"]) == (0, [], 1.0)
    assert report["order_log"]


def test_day_without_an_order_log_says_what_has_one(day, tmp_path):
    other = DayFolder(tmp_path, "SIMUSDT", "20260105")
    other.path.mkdir(parents=True)
    done = call(data_export, other.path, "--format", "lobster", "--out", tmp_path / "x")
    assert done.exit_code == 3
    assert "no order log" in done.stderr


@pytest.mark.parametrize("form", ["parquet", "hftbacktest", "databento", "dbn", "lobster", "hftbacktest_l3"])
def test_folder_that_does_not_exist_is_no_day(tmp_path, form):
    done = call(data_export, tmp_path / "SIMUSDT" / "20260105", "--format", form, "--out", tmp_path / "x")
    assert done.exit_code == 3
    assert "no day folder" in done.stderr
