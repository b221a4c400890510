"""The page of risk: the kill switch with the code of `mm risk`, each change confirmed; limits and their use."""

import pytest
from page_reading import text_of

from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.base.audit_chain import body, seal
from mm.base.knobs import knobs
from mm.dashboard import live_view
from mm.live.account.kill_switch import KillSwitch


def press(at, label):
    """Press the button with a label."""
    return next(button for button in at.button if button.label == label).click().run()


def test_kill_and_rearm_need_confirmation(opened, tmp_path):
    """The file is that of `mm risk kill`, with its reason."""
    switch = KillSwitch(tmp_path / "out", "SIMUSDT")
    (tmp_path / "out" / "audit" / "SIMUSDT").mkdir(parents=True)  # it was traded
    at = opened("risk_page", tmp_path, symbol="simusdt")
    assert "SIMUSDT: armed" in text_of(at)
    at.text_input(key="reason SIMUSDT").input("odd fills")
    at = press(at, "Kill SIMUSDT")
    assert not switch.triggered
    assert "a trader cancels all its orders" in text_of(at)
    at = press(at, "Yes, kill")
    assert not at.exception
    assert switch.why() == "odd fills"
    assert "killed since" in text_of(at)
    at = press(at, "Re-arm SIMUSDT")
    assert switch.triggered
    at = press(at, "Yes, re-arm")
    assert not switch.triggered
    assert "SIMUSDT: armed" in text_of(at)


def test_symbol_that_was_only_imported_is_not_armed(opened, made):
    """There is nothing to kill; its switch can be set all the same."""
    at = opened("risk_page", made, symbol="SIMUSDT")
    assert "SIMUSDT: not traded here" in text_of(at)
    assert "armed" not in text_of(at)
    assert "Kill SIMUSDT" in [button.label for button in at.button]


def test_declined_kill_changes_nothing(opened, tmp_path):
    """And the question disappears."""
    at = press(opened("risk_page", tmp_path, symbol="SIMUSDT"), "Kill SIMUSDT")
    at = press(at, "No")
    assert not KillSwitch(tmp_path / "out", "SIMUSDT").triggered
    assert "Yes, kill" not in [button.label for button in at.button]


def test_list_of_symbols_is_refused(opened, tmp_path):
    """A button for two symbols that kills one of them would be believed."""
    at = opened("risk_page", tmp_path, symbol="AUSDT,BUSDT")
    assert "a symbol such as BTCUSDT" in at.error[0].value
    assert not at.button


def test_kill_that_cannot_be_written_gives_one_error(opened, tmp_path):
    """With the remedy."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/risk").write_text("no folder")
    at = press(press(opened("risk_page", tmp_path, symbol="SIMUSDT"), "Kill SIMUSDT"), "Yes, kill")
    assert not at.exception
    assert "cannot be triggered" in at.error[0].value


@pytest.mark.slow
def test_symbols_are_found_by_their_files(opened, made, tmp_path):
    """Days, a kill file, an audit log."""
    KillSwitch(tmp_path / "out", "KILLED").trigger("by hand", 1_700_000_000_000_000)
    (tmp_path / "out/audit/TRADED").mkdir(parents=True)
    at = opened("risk_page", tmp_path)
    assert at.selectbox[0].options == ["KILLED", "TRADED"]
    assert opened("risk_page", made).selectbox[0].options == ["SIMUSDT"]
    assert "no symbol yet" in text_of(opened("risk_page", tmp_path / "none"))


def test_limits_are_those_of_the_newest_trade(opened, tmp_path):
    """From row 1 of its audit log; otherwise the defaults of a live run."""
    at = opened("risk_page", tmp_path, symbol="A")
    bounds = dict(zip(*(at.dataframe[0].value[name] for name in ("limit", "bound")), strict=True))
    assert list(bounds) == [knob.variable for knob in knobs(Risk)]
    assert bounds["MAX_POSITION"] == str(LIVE_DEFAULTS["max_position"])
    log = tmp_path / "out/audit/A/20260105_T1.ndjson"
    log.parent.mkdir(parents=True)
    set_knobs = {"max_position": "3", "max_drawdown": {"value": "0.1"}}
    log.write_bytes(seal(body(1, 1, "start", {"knobs": set_knobs}), b"0" * 64)[0])
    at = opened("risk_page", tmp_path, symbol="A")
    assert not at.exception
    bounds = dict(zip(*(at.dataframe[0].value[name] for name in ("limit", "bound")), strict=True))
    assert (bounds["MAX_POSITION"], bounds["MAX_DRAWDOWN"], bounds["MAX_MOVE"]) == ("3", "0.1", "none")
    assert "the trade of 20260105_T1" in text_of(at)


def test_use_of_limits_comes_from_the_metrics(opened, tmp_path, monkeypatch):
    """From the page that a trader serves."""
    page = {"mm_risk_used_ratio": {"MAX_POSITION": 0.25}}
    monkeypatch.setattr(live_view, "metrics_of", lambda address: page if address == "here" else {})
    at = opened("risk_page", tmp_path, symbol="A", metrics="here")
    rows = at.dataframe[0].value.set_index("limit")
    assert rows.loc["MAX_POSITION", "used"] == 0.25
    assert rows.loc["MAX_MOVE", "share"] == "–"


def test_damaged_audit_log_gives_one_error(opened, tmp_path):
    log = tmp_path / "out/audit/A/20260105_T1.ndjson"
    log.parent.mkdir(parents=True)
    log.write_text("not a row\n")
    at = opened("risk_page", tmp_path, symbol="A")
    assert not at.exception
    assert "20260105_T1.ndjson" in at.error[0].value


@pytest.mark.parametrize("symbol", ["../x", "a b"])
def test_symbol_cannot_be_a_path(opened, tmp_path, symbol):
    """The typed text becomes a file name."""
    at = opened("risk_page", tmp_path, symbol=symbol)
    assert not at.exception
    assert at.error
    assert not list(tmp_path.rglob("*.kill"))
