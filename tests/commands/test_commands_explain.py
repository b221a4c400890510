"""``mm runs explain`` on a run of a simulated day."""

import json
import shutil

import pytest
from click.testing import CliRunner

from mm.__main__ import main


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with a simulated day and a backtest of it."""
    folder = tmp_path_factory.mktemp("desk")
    day = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(folder / "data")]
    assert call("sim", "day", *day, "--hours", "0.1", "--scenario", "poisson").exit_code == 0
    run = [*day, "--out-root", str(folder / "out"), "--run-id", "one", "--initial-inventory", "100"]
    assert (
        call(
            "backtest",
            *run,
            "--quote-model",
            "fixed_spread",
            "--quote-params-json",
            '{"delta_ticks": 2}',
        ).exit_code
        == 0
    )
    return folder


def call(*words):
    return CliRunner().invoke(main, words)


def explain(desk, *words):
    return call("runs", "explain", *words, "--out-root", str(desk / "out"))


def test_fill_is_explained_by_the_print_that_reached_it(desk):
    """The print is at the time of the fill, on the other side, at its price or beyond."""
    answer = explain(desk, "one", "--fill", "1", "--around", "2")
    assert answer.exit_code == 0, answer.output
    fill = json.loads(explain(desk, "one", "--json").stdout)["fill"]
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("fill 1 of ")
    assert f"order {fill['order_id']}" in lines[0]
    assert "queue:trade: a trade printed at its price" in lines[1]
    other = "SELL" if fill["side"] == "BUY" else "BUY"
    assert any(line.lstrip().startswith("+0.000000 s") and f"print {other}" in line for line in lines)


def test_every_fill_by_a_print_stands_behind_its_print(desk):
    """The run takes the feed as recorded, as a run does by default: the market is shown as it was at the exchange."""
    summary = json.loads((desk / "out" / "backtest" / "SIMUSDT" / "20260105_one" / "summary.json").read_text())
    assert summary["feed"]["kind"] == "recorded"
    by_print = 0
    for number in range(1, min(summary["n_fills"], 12) + 1):
        lines = explain(desk, "one", "--fill", str(number), "--around", "1").stdout.splitlines()
        if not lines[1].startswith("queue:trade"):
            continue
        by_print += 1
        place = next(at for at, line in enumerate(lines) if "<- " in line)
        assert lines[place - 1].split()[:3] == ["+0.000000", "s", "print"], lines
    assert by_print > 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["one", "--fill", "999999"], 2, "--fill (FILL) is 999999, but"),
        (["one", "--fill", "0"], 2, "--fill"),
        (["other"], 3, "is neither a run folder nor a RUN_ID"),
        (["one", "--data-root", "nowhere"], 3, "nowhere"),
    ],
)
def test_explain_of_missing_fill_run_or_day_fails_with_reason(desk, words, code, message):
    """One line, and the documented exit code."""
    answer = explain(desk, *words)
    assert answer.exit_code == code
    assert message in answer.stderr


def test_explain_rejects_a_day_changed_since_the_run(desk, tmp_path):
    """The order's history would differ."""
    shutil.copytree(desk / "data", tmp_path / "data")
    instrument = tmp_path / "data" / "SIMUSDT" / "20260105" / "instrument.json"
    instrument.write_text(instrument.read_text(encoding="utf-8") + " ", encoding="utf-8")
    (instrument.parent / "manifest_SIMUSDT_20260105.json").unlink()
    answer = explain(desk, "one", "--data-root", str(tmp_path / "data"))
    assert answer.exit_code == 3
    assert "changed since the run" in answer.stderr


def test_explain_rejects_a_run_that_is_not_a_backtest(desk):
    """The message names the kind of the run."""
    day = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(desk / "data")]
    call("calibrate", *day, "--out-root", str(desk / "out"), "--run-id", "fit")
    answer = explain(desk, "fit")
    assert answer.exit_code == 3
    assert "a run of the kind calibration" in answer.stderr
