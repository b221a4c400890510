"""The tables of the performance page are generated from stored runs alone."""

import json

import pytest

from benchmarks import tables
from benchmarks.turns import Aim, Measured, Row

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

ABOUT = {
    "stamp": "20260105T080000Z", "turns": 3, "commit": "0123456789abcdef", "python": "3.11.2", "processor": "Fast",
    "processors": 2, "load": 0.5, "load_at_end": 1.25, "hours": 14.0,
}  # fmt: skip
ROWS = [
    Row("play", "s", [0.01, 0.02, 0.03], "peer", [2.0, 2.0, 2.0], Aim(50), [0.01] * 3, [1.0] * 3),
    Row("memory", "MB", [250.0]),
]
RUN = {**ABOUT, "measured": {"engine": Measured(ROWS, {"rows": 12_345, "fills": 7}).to_json()}}
PAGE = "# Speed\n\n<!-- bench engine -->\nold\n<!-- /bench -->\n\nBetween.\n\n<!-- bench wire -->\n<!-- /bench -->\n"


def test_page_section_contains_table_of_its_run():
    """Medians of both sides, and their ratio with its range."""
    text = tables.page(PAGE, tables.merged({}, RUN))
    assert "old" not in text
    assert "Run 20260105T080000Z, 3 turns of a day of 14 h, commit 0123456789ab" in text
    assert "| play | 0.02 s | peer 2 s | 100 | 66.7 to 200 | ≥ 50 × |" in text
    assert "| memory | 250 MB |  |  |  |  |\n<!-- /bench -->" in text
    assert text.endswith("Between.\n\n<!-- bench wire -->\n<!-- /bench -->\n")
    assert tables.page(text, tables.merged({}, RUN)) == text


def test_committed_page_matches_stored_runs():
    """No table is edited by hand."""
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.page(text, json.loads(tables.SHOWN.read_text(encoding="utf-8"))) == text
