"""mm/market_data/README.md is correct."""

import re

from mm.cli.config import Name, Source, Terminal
from mm.cli.knobs import REQUIRED, knobs, shown
from mm.cli.task_knobs import Recorder
from support import ROOT

README = (ROOT / "mm" / "market_data" / "README.md").read_text(encoding="utf-8")


def test_readme_lists_every_recorder_knob_with_its_default():
    """The readme lists no other knobs."""
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S+) \|", README, re.MULTILINE))
    all_knobs = [knob for group in (Source, Recorder, Name, Terminal) for knob in knobs(group)]
    expected = {
        knob.variable: "required" if knob.default is REQUIRED else f"`{shown(knob.default)}`" for knob in all_knobs
    }
    assert documented == {name: "–" if default == "``" else default for name, default in expected.items()}


def test_modules_in_the_readme_exist():
    """Each module is in market_data or dayfolder."""
    modules = set(re.findall(r"`(\w+\.py)`", README))
    assert len(modules) > 10
    packages = [ROOT / "mm" / package for package in ("market_data", "dayfolder")]
    assert [name for name in modules if not any((package / name).exists() for package in packages)] == []


def test_readme_crontab_and_dockerfile_start_the_recorder():
    """All of them run the same module."""
    command = "python -m mm.market_data.recorder"
    assert README.count(command) > 2
    assert command in (ROOT / "crontab").read_text(encoding="utf-8")
    assert "mm.market_data.recorder" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
