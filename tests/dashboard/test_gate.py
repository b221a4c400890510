"""The gate of the dashboard: what a visitor sees and may do with which token."""

import sys

import pytest
from page_reading import text_of
from streamlit.testing.v1 import AppTest

from guarded import add_token, door_of
from mm.commands.dashboard import APP
from mm.dashboard import gate
from mm.live.account.kill_switch import KillSwitch


@pytest.fixture
def visit(tmp_path, monkeypatch):
    """Return a function that opens a page of a dashboard with tokens, and the tokens by roles."""
    tokens = {}
    for roles in ("read", "read,kill"):
        tokens[roles] = add_token(tmp_path / "tokens", *roles.split(","))
    gate.guard(door_of(tokens=tmp_path / "tokens"))
    monkeypatch.setattr(sys, "argv", [str(APP), str(tmp_path / "data"), str(tmp_path / "out")])

    def opened(script=str(APP)):
        return AppTest.from_file(script, default_timeout=60).run()

    yield opened, tokens, tmp_path
    gate.guard(door_of())


def test_visitor_without_a_token_sees_a_field_for_one_alone(visit):
    """Not even that there are no runs; a wrong token changes nothing; a revoked one is out at the next step."""
    opened, tokens, folder = visit
    at = opened()
    assert [one.label for one in at.text_input] == ["Token"]
    assert "runs" not in text_of(at)
    at.text_input[0].input("guess").run()
    assert "not known" in text_of(at)
    at.text_input[0].input(tokens["read"]).run()
    assert "start one on Backtest" in text_of(at)
    (folder / "tokens").write_text("")
    assert [one.label for one in at.run().text_input] == ["Token"]


def test_kill_switch_needs_its_role(visit):
    """A reader gets one line, and the switch stays as it was."""
    opened, tokens, folder = visit
    page = folder / "page.py"
    page.write_text(
        "from pathlib import Path\nfrom mm.dashboard import gate, risk_page\nfrom mm.dashboard.sources import Folders\n"
        f"gate.enter()\nrisk_page.show(Folders(Path({str(folder)!r}) / 'data', Path({str(folder)!r}) / 'out'))\n"
    )
    (folder / "out" / "audit" / "SIMUSDT").mkdir(parents=True)
    for roles, killed in (("read", False), ("read,kill", True)):
        at = opened(str(page))
        at.text_input[0].input(tokens[roles]).run()
        next(one for one in at.button if one.label == "Kill SIMUSDT").click().run()
        next(one for one in at.button if one.label == "Yes, kill").click().run()
        assert KillSwitch(folder / "out", "SIMUSDT").triggered is killed
        assert killed or "has not the role 'kill'" in text_of(at)
