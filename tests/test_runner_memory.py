"""What a run still holds in memory while it writes its files."""

import gc

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.backtest.tape import Tape
from mm.runs import Run

SYMBOL = "LETGOUSDT"
PARAMS = ["--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 2}']


@pytest.mark.parametrize("words", [["backtest"], ["walkforward", "--wf-train-window-min", "10", "--wf-step-min", "5"]])
def test_the_tapes_are_let_go_before_the_files_are_written(tmp_path, monkeypatch, words):
    """A tape is a mapped file: held to the end, it stands in memory beside all that is made of the journal."""
    held = []
    write = Run.write_result

    def counted(run, *result):
        held.append(sum(type(one) is Tape and one.symbol == SYMBOL for one in gc.get_objects()))
        write(run, *result)

    monkeypatch.setattr(Run, "write_result", counted)
    where = ["--symbol", SYMBOL, "--day", "20260105", "--data-root", str(tmp_path / "data")]
    made = CliRunner().invoke(main, ["sim", "day", *where, "--hours", "0.5"])
    assert made.exit_code == 0, made.output
    done = CliRunner().invoke(main, [*words, *where, "--out-root", str(tmp_path / "out"), *PARAMS])
    assert done.exit_code == 0, done.output
    assert held == [0]
