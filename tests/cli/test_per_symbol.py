"""Several symbols in one command: a process for each."""

import json

import pytest
from click.testing import CliRunner

from mm.__main__ import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two symbols with a simulated day each."""
    root = tmp_path_factory.mktemp("many")
    for symbol, seed in (("AAAUSDT", "1"), ("BBBUSDT", "2")):
        day = ["--symbol", symbol, "--day", "20260105", "--data-root", str(root / "data")]
        assert call("sim", "day", *day, "--hours", "0.05", "--seed", seed).exit_code == 0
    return root


def call(*words):
    return CliRunner().invoke(main, words)


def backtest(folder, symbols, *more):
    where = ["--data-root", str(folder / "data"), "--out-root", str(folder / "out")]
    return call("backtest", "--symbol", symbols, "--day", "20260105", *where, *more)


@pytest.mark.slow
def test_each_symbol_has_its_own_run(folder):
    """The two folders equal those of two commands: the digests are equal."""
    both = backtest(folder, "aaausdt,bbbusdt", "--json", "--run-id", "both", "--seed", "3")
    assert both.exit_code == 0, both.output
    answers = json.loads(both.stdout)["symbols"]
    assert list(answers) == ["AAAUSDT", "BBBUSDT"]
    for symbol, answer in answers.items():
        alone = json.loads(backtest(folder, symbol, "--json", "--run-id", "alone", "--seed", "3").stdout)
        varying = {"path": "", "trials": {}, "sensitivity": {}}  # of what was tried before
        assert {**answer, **varying} == {**alone, **varying}
        place = folder / "out" / "backtest" / symbol
        runs = [place / f"20260105_{name}" / "run_manifest.json" for name in ("both", "alone")]
        first, second = (json.loads(path.read_text(encoding="utf-8")) for path in runs)
        assert first["digest"] == second["digest"]
        assert first["symbol"] == symbol


@pytest.mark.slow
def test_output_lines_begin_with_their_symbol(folder):
    """Otherwise two tables on a terminal would be confusing."""
    lines = backtest(folder, "BBBUSDT,AAAUSDT").stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"AAAUSDT", "BBBUSDT"}
    assert lines[0].startswith("BBBUSDT  ")


@pytest.mark.slow
def test_failed_symbol_does_not_stop_the_others(folder):
    """The command exits with its code, and the line names the failed and the finished symbols."""
    answer = backtest(folder, "AAAUSDT,CCCUSDT", "--run-id", "half")
    assert answer.exit_code == 3
    assert "CCCUSDT  error: no day folder" in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("error: CCCUSDT (exit 3) failed; AAAUSDT succeeded")
    assert (folder / "out" / "backtest" / "AAAUSDT" / "20260105_half" / "run_manifest.json").is_file()


@pytest.mark.parametrize(
    ("symbols", "message"),
    [("AAAUSDT,aaausdt", "a list of different symbols"), ("AAAUSDT,", "a symbol such as BTCUSDT")],
)
def test_invalid_list_of_symbols_is_rejected(folder, symbols, message):
    """Before anything runs."""
    answer = backtest(folder, symbols)
    assert answer.exit_code == 2
    assert message in answer.stderr


@pytest.mark.slow
def test_symbols_share_a_named_output_folder(folder, tmp_path):
    """The names of the tables include the symbol, so that all of them fit in one folder."""
    shared = tmp_path / "one"
    both = backtest(folder, "AAAUSDT,BBBUSDT", "--out-dir", str(shared), "--json")
    assert both.exit_code == 0, both.output
    for symbol in ("AAAUSDT", "BBBUSDT"):
        assert all((shared / f"{table}_{symbol}.csv").is_file() for table in ("orders", "fills", "state"))
    paths = {symbol: answer["path"] for symbol, answer in json.loads(both.stdout)["symbols"].items()}
    assert paths["AAAUSDT"] == str(shared / "summary.json")
    assert paths["BBBUSDT"] == str(shared / "BBBUSDT_20260105" / "summary.json")
