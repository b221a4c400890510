"""Notes of many days are said once."""

from mm.base.day_notes import once_for_days


def test_notes_that_differ_in_their_day_alone_are_joined():
    """Where the first of them is; another symbol, another text or another prefix is another note."""
    notes = [
        "fees_assumed: 0.0002",
        "SIMUSDT 20260701: trades: not provable",
        "no feed latency: SIMUSDT 20260701: receive times are the exchange's",
        "SIMUSDT 20260702: trades: not provable",
        "SIMUSDT 20260702: the book stands still for 3 s",
        "BTCUSDT 20260702: trades: not provable",
        "SIMUSDT 20260703: trades: not provable",
        "no feed latency: SIMUSDT 20260703: receive times are the exchange's",
        "fees_assumed: 0.0002",
    ]
    assert once_for_days(notes) == [
        "fees_assumed: 0.0002",
        "SIMUSDT 20260701 to 20260703 (3 days): trades: not provable",
        "no feed latency: SIMUSDT 20260701 to 20260703 (2 days): receive times are the exchange's",
        "SIMUSDT 20260702: the book stands still for 3 s",
        "BTCUSDT 20260702: trades: not provable",
    ]


def test_notes_without_a_day_stay_as_they_are():
    notes = ["fit_in_sample: the fit uses data of 20260702, which is not before this run: the PnL is in-sample", "a: b"]
    assert once_for_days(notes) == notes
