"""Page of a look-ahead check: verdict, a row per test, and all differences in words."""

import pytest

from mm.clock import iso
from mm.probes.lookahead_page import lookahead_page
from mm.probes.run_comparison import OPENED, TESTS, Finding, Report
from pages import read
from small_tapes import book, gap, tape

S = 1_000_000
DAY = tape([book(0, 100, 102), book(4 * S, 101, 103), gap(6 * S), book(8 * S, 100, 102)], 0, 10 * S)
CUT = next(test for test in TESTS if test != OPENED)


def words(report, day=DAY, models=("my:Quotes", "poisson")):
    page = read(lookahead_page(day, models, report))
    return " ".join(" ".join(page.words).split()), page


def test_page_of_passing_model_shows_verdict_and_cuts():
    report = Report(cuts=[3 * S, 5 * S])
    report.add(CUT, None)
    report.add(CUT, None)
    text, page = words(report)
    assert "look-ahead check of my:Quotes with poisson" in text
    assert "passed no difference before a cut" in text
    assert "Comparisons 2 0 of them differ" in text
    assert "Cuts 2" in text
    assert TESTS[CUT] in text
    assert "No differences." in text
    assert sum(attrs.get("class") == "chart" for _, attrs in page.seen) == 1


def test_difference_is_shown_with_test_cut_and_message():
    """Also without an instant; texts of a model are escaped."""
    report = Report(cuts=[5 * S])
    report.add(CUT, Finding(CUT, 5 * S, 4 * S, "order 7 at 101 <b>instead</b> of 100"))
    report.add(CUT, Finding(CUT, None, None, "fills differ"))
    text, _ = words(report)
    assert f"failed {CUT}" in text
    assert "Comparisons 2 2 of them differ" in text
    assert f"{CUT}, on a day that differs from {iso(5 * S)} on: order 7 at 101 <b>instead</b> of 100" in text
    assert f"{CUT}: fills differ" in text


def test_opened_files_are_not_counted_as_comparisons():
    report = Report()
    report.add(OPENED, Finding(OPENED, None, None, "the model opened fills.csv"))
    text, _ = words(report)
    assert f"{TESTS[OPENED]} – 1 failed" in text


@pytest.mark.parametrize("day", [tape([], 0, 10 * S), tape([book(0, 0, 0)], 0, 10 * S)])
def test_day_without_book_has_no_chart(day):
    text, _ = words(Report(cuts=[S]), day)
    assert "The book was never valid." in text
