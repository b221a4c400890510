"""Code that a manifest names, however it is written: nothing of it is played before its file is trusted."""

import json
from types import SimpleNamespace

import pytest

from mm.errors import SafetyError
from mm.runs.trusted import InputPlaces, playable

EVIL = "planted:Evil"
ESCAPED = "planted\\u003aEvil"
MIXED = '{"models": [["%s", {}, 1.0]]}'
KNOBS = {
    "plain": ("quote_model", EVIL),
    "in JSON": ("quote_params_json", MIXED % EVIL),
    "escaped in JSON": ("quote_params_json", MIXED % ESCAPED),
    "in a grid": ("grid", f"QUOTE_MODEL=glft,{EVIL}"),
    "in JSON in a grid": ("grid", f"QUOTE_PARAMS_JSON={MIXED % EVIL}"),
    "escaped in a grid": ("grid", f"QUOTE_PARAMS_JSON={MIXED % ESCAPED}"),
    "escaped in a later value": ("grid", f"GAMMA=0.1,1;QUOTE_PARAMS_JSON={{}},{MIXED % ESCAPED}"),
    "JSON in JSON": ("others", json.dumps({"lead": {"orders": {"quote_params_json": MIXED % ESCAPED}}})),
}


def run_of(folder, **knobs):
    """Return a run with these knobs, and nothing else."""
    manifest = {"knobs": {name: {"value": value} for name, value in knobs.items()}, "inputs": [], "symbol": "SIMUSDT"}
    return SimpleNamespace(folder=folder, manifest=manifest, knob=knobs.get)


def played(folder, *, trusted=(), **knobs):
    return playable(run_of(folder, **knobs), InputPlaces(folder, folder), trusted, knobs, days=False)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with a module that must not be imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')\n")
    return tmp_path


@pytest.mark.parametrize("how", KNOBS)
def test_code_is_found_however_it_is_written(place, how):
    name, value = KNOBS[how]
    with pytest.raises(SafetyError, match="planted"):
        played(place, **{name: value})
    assert played(place, **{name: value}, trusted=[place / "planted.py"])


@pytest.mark.parametrize("value", ["12:30", "https://example.org/a", "GAMMA=0.1,1", "QUOTE_PARAMS_JSON={},{}"])
def test_what_names_no_code_needs_no_trust(place, value):
    name = "grid" if "=" in value else "window_start"
    assert played(place, **{name: value})
