"""Whatever a person can meet at night stands on the page for it."""

import ast
import re

import pytest

from support import ROOT

LIVE = ("mm/live", "mm/market_data", "mm/base/doors.py", *(f"mm/commands/{name}.py" for name in (
    "trade", "cancel", "shadow", "audit", "watchdog", "risk", "elsewhere"
)))  # fmt: skip
LOUD = {"warning", "error", "critical", "warn", "report", "_report", "log"}
"""How they are called: a logger's methods, and functions that are given one of them."""
QUIET = {"state_store_back", "tokens_read", "certificate_read"}  # good news
OF_RECORDER = {"recorder_died", "recorder_killed", "recording_failed", "prints_not_filled", "stream_refused"}
"""No trader runs below a supervisor of recorders, or on a market that is recorded and played only."""
LINES = ("−4061", "while the trader ran", "has not returned for")
"""Beside those that the errors of the live rooms have: a code, and lines that are put together."""
ENDS = {"TryLater", "Mismatch", "BrokenFile", "DataError", "SafetyError", "Incomplete"}
OF_A_PERSON = {
    *("limits of an account need one quote asset", "base asset {} and quote asset {} must both be known"),
    *("give a token with the roles", "cannot be connected to", "start `mm sim api`"),
    *("name the folder of a shadow's run", "not the decisions of a shadow", "its margin type is", "its leverage is"),
}
"""What only a person meets who has just typed the command, or set the knobs of a start."""
PUT_TOGETHER = 12
"""Most letters of an error that only puts others together."""


def events(path):
    """Yield the names of the events that a module logs loudly."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if name in LOUD:
            yield from (text for text in texts if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", text))


def test_each_warning_and_error_of_the_live_rooms_stands_on_the_page():
    """With what it means, and what to do."""
    roots = [ROOT / name for name in LIVE]
    paths = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    logged = {event for path in paths for event in events(path)} - QUIET - OF_RECORDER
    assert {"gateway_lost", "state_log_unreadable", "loop_lagged", "risk_breach"} <= logged
    page = (ROOT / "docs" / "on_call.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in page.split("## Lines of a trader")[1].splitlines() if row.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", row[0])}
    assert sorted(logged - named) == []
    assert all(len(row) == 3 and all(map(str.strip, row)) for row in rows)


def ends(path):
    """Yield the errors that a module ends with, with {} for what is put in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = isinstance(node, ast.Call) and getattr(node.func, "id", "")
        if not name or name not in ENDS or not node.args:
            continue
        text = node.args[0]
        parts = text.values if isinstance(text, ast.JoinedStr) else [text]
        yield "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in parts)


def test_each_error_that_ends_a_trader_stands_on_the_page():
    """By some words of it, in the first column of a table of lines."""
    rooms = [ROOT / "mm" / "live" / room for room in ("account", "orders", "run")]
    more = [
        f"mm/live/{name}.py" for name in ("audit/history", "audit/books", "venues/binance_usdm", "venues/canceller")
    ]
    paths = [*(path for room in rooms for path in sorted(room.rglob("*.py"))), *(ROOT / name for name in more)]
    page = (ROOT / "docs" / "on_call.md").read_text(encoding="utf-8")
    rows = [row for row in page.split("## A start")[1].splitlines() if row.startswith("| ")]
    words = {word for row in rows for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])} - {"row N"}
    raised = [text for path in paths for text in ends(path)]
    assert len(raised) > 30
    missing = [
        text
        for text in raised
        if not any(word in text for word in words | OF_A_PERSON)
        and len(re.sub(r"[^a-z]", "", text.replace("{}", ""))) > PUT_TOGETHER
    ]
    assert missing == []


@pytest.mark.parametrize("line", LINES)
def test_lines_of_an_end_stand_on_the_page(line):
    assert line in (ROOT / "docs" / "on_call.md").read_text(encoding="utf-8")
