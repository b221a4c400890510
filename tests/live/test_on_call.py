"""Whatever a person can meet at night stands on the page for it."""

import ast
import re

import pytest

from support import ROOT

LIVE = ("mm/live", "mm/market_data", "mm/base/doors.py", *(f"mm/commands/{name}.py" for name in (
    "trade", "cancel", "shadow", "audit", "watchdog"
)))  # fmt: skip
LOUD = {"warning", "error", "critical", "warn", "report", "_report", "log"}
"""How they are called: a logger's methods, and functions that are given one of them."""
QUIET = {"state_store_back", "tokens_read", "certificate_read"}  # good news
OF_RECORDER = {"recorder_died", "recorder_killed", "recording_failed"}  # no trader runs below a supervisor of recorders
LINES = (
    *("does not trade", "is not a multiple of tick size", "the audit log is missing", "have not ended"),
    *("is not ready after", "−4061", "the exchange does not answer", "another trader of", "while the trader ran"),
)


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


@pytest.mark.parametrize("line", LINES)
def test_lines_of_an_end_stand_on_the_page(line):
    assert line in (ROOT / "docs" / "on_call.md").read_text(encoding="utf-8")
