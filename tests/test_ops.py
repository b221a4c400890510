"""The files that start recorders say what the package has."""

import configparser

import pytest

from mm.cli.config import Name, Recorder, Sources, Terminal
from mm.cli.knobs import knobs
from support import ROOT

UNITS = sorted((ROOT / "mm" / "ops" / "deploy").glob("*.service"))
COMMAND = "python -m mm.market_data.recorder"


def unit(path):
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str
    parser.read(path)
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_the_recorder_and_lets_it_end_in_order(path):
    """The signal goes to the first process alone, which passes it on, and a wrong knob is not tried for ever."""
    service = unit(path)["Service"]
    assert service["ExecStart"].endswith(COMMAND)
    known = {one.variable for group in (Sources, Recorder, Name, Terminal) for one in knobs(group)}
    settings = dict(word.split("=", 1) for word in service["Environment"].split())
    assert settings.keys() <= known
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 20
    assert service["RestartPreventExitStatus"].split() == ["2", "3"]
    assert unit(path)["Install"]["WantedBy"] == "multi-user.target"


def test_cron_and_the_container_start_it_too():
    """The same command everywhere."""
    lines = [line for line in (ROOT / "crontab").read_text().splitlines() if COMMAND in line]
    assert len(lines) == 2
    assert lines[1].endswith("--status > /dev/null")
    assert '"mm.market_data.recorder"' in (ROOT / "Dockerfile").read_text()
    assert len(UNITS) == 2
