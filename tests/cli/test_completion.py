"""Shell completion of commands, flags, models, symbols, days, fits and runs."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from support import ROOT


@pytest.fixture
def project(monkeypatch, tmp_path):
    for day in ("data/BTCUSDT/20251216", "data/BTCUSDT/20251217", "data/ETHUSDT/20260101", "data/damaged/x"):
        (tmp_path / day).mkdir(parents=True)
    for run in (
        "backtest/BTCUSDT/20251216_base",
        "calibration/marks/BTCUSDT/20251216-20251217_cal",
        "backtest/X/1_a.partial",
    ):
        (tmp_path / "out" / run).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completions(*words: str, incomplete: str = "") -> list[str]:
    """Return the completions that bash gets after ``mm words``."""
    env = {
        "_MM_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["mm", *words, incomplete]),
        "COMP_CWORD": str(len(words) + 1),
    }
    result = CliRunner().invoke(main, [], env=env, prog_name="mm")
    return [line.partition(",")[2] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "back", ["backtest"]),
        (["runs"], "di", ["diff"]),
        (["backtest"], "--order-l", ["--order-latency-ms", "--order-limit-10s", "--order-limit-day"]),
        (["backtest", "--symbol"], "", ["BTCUSDT", "ETHUSDT"]),
        (["backtest", "--symbol", "btcusdt", "--day"], "", ["20251216", "20251217"]),
        (["backtest", "--day"], "2026", ["20260101"]),
        (["backtest", "--quote-model"], "gl", ["glft", "glft_grid"]),
        (["backtest", "--fill-model"], "queue_prob_p", ["queue_prob_power"]),
        (["backtest", "--feed-latency"], "", ["auto", "recorded", "none"]),
        (["backtest", "--fit"], "", ["last", "cal"]),
        (["runs", "show"], "", ["base", "cal"]),
        (["runs", "diff", "base"], "c", ["cal"]),
        (["backtest", "--latency-file"], "x", ["x"]),
        (["no_such_command"], "", []),
    ],
)
@pytest.mark.usefixtures("project")
def test_shell_completes_existing_names(words, incomplete, expected):
    """Names come from folders and registries, and the settings of the folder count."""
    assert completions(*words, incomplete=incomplete) == expected


def test_completion_uses_the_data_root_of_the_settings_file(project):
    """A project may keep its days elsewhere; a broken file is ignored without a message."""
    (project / "elsewhere" / "XRPUSDT" / "20250101").mkdir(parents=True)
    (project / "mm.toml").write_text('data_root = "elsewhere"')
    assert completions("backtest", "--symbol") == ["XRPUSDT"]
    (project / "mm.toml").write_text("data_root = ")
    assert completions("backtest", "--symbol") == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell):
    """It calls the program back with click's variable."""
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"_MM_COMPLETE={shell}_complete" in result.stdout


def test_bash_completes_with_the_script(project, tmp_path):
    """The script, sourced by a real bash, completes like the Tab key."""
    script = CliRunner().invoke(main, ["completion", "bash"]).stdout
    (tmp_path / "mm").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from mm.__main__ import main; main(prog_name=\'mm\')" "$@"\n'
    )
    (tmp_path / "mm").chmod(0o755)
    (tmp_path / "mm.bash").write_text(script)
    code = (
        'source ./mm.bash; COMP_WORDS=(mm backtest --day ""); COMP_CWORD=3; _mm_completion mm; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", code],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.split() == ["20251216", "20251217", "20260101"], done.stderr
