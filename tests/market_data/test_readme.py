"""mm/market_data/README.md is correct."""

import re

from mm.cli.config import Name, Source, Terminal
from mm.cli.knobs import REQUIRED, knobs, shown
from mm.cli.task_knobs import Recorder
from support import ROOT

README = (ROOT / "mm" / "market_data" / "README.md").read_text(encoding="utf-8")


def test_every_knob_of_the_recorder_stands_there_with_its_default():
    """And none that it does not have."""
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S+) \|", README, re.MULTILINE))
    every = [one for group in (Source, Recorder, Name, Terminal) for one in knobs(group)]
    wanted = {one.variable: "required" if one.default is REQUIRED else f"`{shown(one.default)}`" for one in every}
    assert told == {name: "–" if default == "``" else default for name, default in wanted.items()}


def test_every_module_it_names_is_there():
    """A reader looks for them."""
    named = set(re.findall(r"`(\w+\.py)`", README))
    assert len(named) > 10
    rooms = [ROOT / "mm" / room for room in ("market_data", "dayfolder")]
    assert [name for name in named if not any((room / name).exists() for room in rooms)] == []


def test_the_unit_and_the_crontab_start_the_recorder():
    """As the repository's own crontab does."""
    command = "python -m mm.market_data.recorder"
    assert README.count(command) > 2
    assert command in (ROOT / "crontab").read_text(encoding="utf-8")
    assert "mm.market_data.recorder" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
