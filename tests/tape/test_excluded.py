"""Stretches that are left out: in words, and where the book ends and begins again."""

import numpy as np
from day_stories import START, at, diff, snapshot, trade, written

from mm.backtest.io import load_day
from mm.tape.excluded import Span, sentences
from mm.tape.tape import DEPTH, KIND_NAMES

GAP_EVENT = {"from_id": 4, "to_id": 6, "from_us": at(4), "to_us": at(8), "cause": "ids_missing"}


def story(*trades, more=()):
    diffs = [diff(n, 8 + n, 8 + n, [(98, n)]) for n in range(3, 13)]
    rows = sorted([*diffs, *trades, *more], key=lambda step: step[1])
    return [START, snapshot(2, 10), *rows]


def test_missing_trade_ids_end_the_book_until_the_next_trade(tmp_path):
    """As missing update ids do: nobody can say what the market did there."""
    tape = load_day(written(tmp_path, story(trade(3, 1), trade(5, 2), trade(9, 7), trade(10, 8))))
    told = [(KIND_NAMES[kind], us) for kind, us in zip(tape.kind.tolist(), tape.event_us.tolist(), strict=True)]
    assert [one for one in told if one[0] in ("gap", "snapshot")] == [
        ("snapshot", at(2)),
        ("gap", at(5)),
        ("snapshot", at(9)),
    ]
    assert not [us for us in tape.event_us[tape.kind == DEPTH].tolist() if at(5) < us < at(9)]
    again = int(np.flatnonzero(tape.event_us == at(9))[0])
    assert tape.rows(again) == [(1, 99, 5), (1, 98, 8), (-1, 101, 7)]
    assert tape.event_id[again] == 16
    assert tape.meta.excluded == (
        "trades_ws_SIMUSDT_20260105.csv: trade ids 3 to 6 are missing, and the ledger has no trade_gap for them: "
        "excluded from 2026-01-05T07:00:05.000000Z to 2026-01-05T07:00:09.000000Z (4.0 s)",
    )


def test_ids_that_the_ledger_declares_or_rest_brings_are_not_missing_in_silence(tmp_path):
    """A recorder that was not connected says so, or fetches them later."""
    declared = story(trade(3, 3), trade(9, 7), more=[("gap", at(9), "trade_gap", 1, GAP_EVENT)])
    assert load_day(written(tmp_path / "a", declared)).meta.excluded == ()
    fetched = story(trade(3, 3), trade(8, 5), trade(9, 4, source="rest"))
    assert load_day(written(tmp_path / "b", fetched)).meta.excluded == ()


def test_many_stretches_are_a_few_sentences():
    """Half the trades of a day missing are thousands of holes."""
    spans = [Span(n * 10**6, n * 10**6 + 500_000, f"t.csv: trade id {n} is missing") for n in range(100)]
    told = sentences(spans, 10**9)
    assert len(told) == 4
    assert told[-1] == "t.csv: 97 more stretches excluded, 48.5 s in all"
