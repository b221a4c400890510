"""Excluded time spans: their descriptions, and where the book ends and begins again."""

import numpy as np
import pytest
from day_stories import START, at, diff, snapshot, trade, write_day

from day_files import check
from mm import load_day
from mm.dayfolder.coverage import cover
from mm.dayfolder.repair import repair_day
from mm.tape.excluded import Span, sentences
from mm.tape.recorded import read_ledger
from mm.tape.tape import DEPTH, GAP, KIND_NAMES, TRADE

GAP_EVENT = {"from_id": 4, "to_id": 6, "from_us": at(4), "to_us": at(8), "cause": "ids_missing"}


def story(*trades, more=()):
    diffs = [diff(n, 8 + n, 8 + n, [(98, n)]) for n in range(3, 13)]
    rows = sorted([*diffs, *trades, *more], key=lambda step: step[1])
    return [START, snapshot(2, 10), *rows]


def test_missing_trade_ids_end_the_book_until_the_next_trade(tmp_path):
    """The market between the trades is unknown, as with missing update ids."""
    tape = load_day(write_day(tmp_path, story(trade(3, 1), trade(5, 2), trade(9, 7), trade(10, 8))))
    events = [(KIND_NAMES[kind], us) for kind, us in zip(tape.kind.tolist(), tape.event_us.tolist(), strict=True)]
    assert [event for event in events if event[0] in ("gap", "snapshot")] == [
        ("snapshot", at(2)),
        ("gap", at(5)),
        ("snapshot", at(9)),
    ]
    assert not [us for us in tape.event_us[tape.kind == DEPTH].tolist() if at(5) < us < at(9)]
    restart = int(np.flatnonzero(tape.event_us == at(9))[0])
    assert tape.rows(restart) == [(1, 99, 5), (1, 98, 8), (-1, 101, 7)]
    assert tape.event_id[restart] == 16
    assert tape.meta.excluded == (
        "trades_ws_SIMUSDT_20260105.csv: trade ids 3 to 6 are missing, and the ledger has no trade_gap for them: "
        "excluded from 2026-01-05T07:00:05.000000Z to 2026-01-05T07:00:09.000000Z (4.0 s)",
    )


def test_hole_without_length_follows_its_instant(tmp_path):
    """Both trades have one time: the book ends and begins again after it, and stays at the end of the day."""
    inside = load_day(write_day(tmp_path / "a", story(trade(5, 1), trade(5, 4))))
    last = int(np.flatnonzero(inside.event_us == at(5))[-1])
    kinds = [KIND_NAMES[kind] for kind in inside.kind[last - 3 : last + 2].tolist()]
    assert kinds == ["trade", "trade", "gap", "snapshot", "depth"]
    ended = load_day(write_day(tmp_path / "b", story(trade(13, 1), trade(13, 4))))
    assert [KIND_NAMES[kind] for kind in ended.kind[-2:].tolist()] == ["trade", "trade"]
    assert len(inside.meta.excluded) == len(ended.meta.excluded) == 1


def test_trades_known_to_be_missing_end_the_book_as_unknown_ones_do(tmp_path):
    """Also where the ledger's row has no length; check and coverage mean the same time."""
    for name, row in (("a", GAP_EVENT), ("b", GAP_EVENT | {"from_us": 0, "to_us": 0})):
        folder = write_day(tmp_path / name, story(trade(3, 3), trade(9, 7), more=[("gap", at(9), "trade_gap", 1, row)]))
        tape, report, found = load_day(folder), check(folder), cover(folder)
        assert tape.meta.excluded == (
            "trades_ws_SIMUSDT_20260105.csv: trade ids 4 to 6 are missing (trade_gap): "
            "excluded from 2026-01-05T07:00:03.000000Z to 2026-01-05T07:00:09.000000Z (6.0 s)",
        )
        assert not [us for us in tape.event_us[tape.kind == DEPTH].tolist() if at(3) < us < at(9)]
        assert (report.ok, report.trade_gaps, report.trade_gaps_s) == (True, 1, 6.0)
        assert found.covered_s == pytest.approx((at(12) - at(2)) / 1e6 - 6.0)
        assert report.covered_s == pytest.approx((at(12) - at(3)) / 1e6 - 6.0), "from the first frame on"
        assert [(one.from_us, one.to_us, one.cause) for one in found.excluded][1:2] == [
            (at(3), at(9), "trades missing")
        ]
        assert found.trades.undeclared == 0
        assert load_day(folder, as_received=True).meta.excluded == ()


def test_trades_lost_with_the_connection_or_fetched_exclude_no_time_of_their_own(tmp_path):
    """Without a connection there is no book either; fetched trades are placed where they were."""
    lost = GAP_EVENT | {"cause": "disconnected"}
    declared = story(trade(3, 3), trade(9, 7), more=[("gap", at(9), "trade_gap", 1, lost)])
    assert load_day(write_day(tmp_path / "a", declared)).meta.excluded == ()
    fetched = story(trade(3, 3), trade(8, 5), trade(9, 4, source="rest"))
    assert load_day(write_day(tmp_path / "b", fetched)).meta.excluded == ()


def test_fetched_trades_of_one_instant_are_in_the_order_of_their_ids(tmp_path):
    """Answers for two holes may come in any order."""
    rows = [("trade", at(9), *trade(5, trade_id, source="rest")[2:]) for trade_id in (5, 4)]
    tape = load_day(write_day(tmp_path, story(trade(3, 3), trade(8, 6), *rows)))
    assert tape.event_id[tape.kind == TRADE].tolist() == [3, 4, 5, 6]


def test_many_excluded_spans_are_summarized():
    """If half the trades of a day are missing, there are thousands of spans."""
    spans = [Span(n * 10**6, n * 10**6 + 500_000, f"t.csv: trade id {n} is missing") for n in range(100)]
    lines = sentences(spans, 10**9)
    assert len(lines) == 4
    assert lines[-1] == "t.csv: 97 more spans excluded, 48.5 s in total"


def test_trade_that_arrived_before_it_was_fetched_keeps_its_place(tmp_path):
    """The response of REST repeats a trade that was received in time: only the repetition is left out."""
    tape = load_day(write_day(tmp_path, story(trade(3, 1), trade(5, 2), trade(6, 2, source="rest"), trade(9, 3))))
    assert tape.event_us[tape.kind == TRADE].tolist() == [at(3), at(5), at(9)]
    assert not (tape.kind == GAP).any()


@pytest.mark.parametrize("status", ["HALT", "BREAK"])
def test_halt_that_the_exchange_reports_is_excluded_alike(tmp_path, status):
    """Tape, coverage and check: the book ends at the report, and is there again when trading is reported."""
    reports = [
        ("event", at(second), "exchange_info", 1, {"status": word}) for second, word in ((6, status), (10, "TRADING"))
    ]
    folder = write_day(tmp_path, story(trade(3, 1), trade(5, 2), trade(11, 3), more=reports))
    tape = load_day(folder)
    marks = [(KIND_NAMES[kind], us) for kind, us in zip(tape.kind.tolist(), tape.event_us.tolist(), strict=True)]
    assert [mark for mark in marks if mark[0] in ("gap", "snapshot")][1:] == [("gap", at(6)), ("snapshot", at(10))]
    assert tape.meta.excluded[0].startswith(f"events_SIMUSDT_20260105.csv: the exchange reports the status {status}")
    assert cover(folder).covered_s == 10.0 - 4.0
    assert check(folder).covered_s == pytest.approx(9.0 - 4.0, abs=1.01)  # from the first message to the last


def test_halt_follows_the_messages_that_were_received_before_its_report(tmp_path):
    """The answer was stamped when it came, and read after a message that was stamped later."""
    steps = story(trade(3, 1), trade(5, 2), trade(11, 3))
    after = next(place for place, step in enumerate(steps) if step[1] > at(7))
    steps.insert(after, ("event", at(6) + 1, "exchange_info", 1, {"status": "HALT"}))
    tape = load_day(write_day(tmp_path, steps))
    (gap,) = np.flatnonzero(tape.kind == GAP)
    assert tape.event_us[gap - 1 : gap + 1].tolist() == [at(7), at(7)]
    assert tape.kind[gap - 1] == DEPTH


def test_other_statuses_are_no_halt(tmp_path):
    """A venue may have none."""
    reports = [("event", at(6), "exchange_info", 1, {"status": "None"})]
    assert load_day(write_day(tmp_path, story(trade(3, 1), trade(5, 2), more=reports))).meta.excluded == ()


def test_repair_keeps_the_span_of_missing_trades(tmp_path):
    """Two of five rows are lost: the repaired day says so, and has the same time with a market as before."""
    folder = write_day(tmp_path, story(trade(3, 1), trade(5, 2), trade(7, 5), trade(8, 6), trade(10, 7)))
    before = load_day(folder).meta.excluded
    assert [line.split(":")[1] for line in before] == [
        " trade ids 3 to 4 are missing, and the ledger has no trade_gap for them"
    ]
    repair_day(folder, "repair", at(20))
    rows = [row for row in read_ledger(folder)[0] if row.kind == "trade_gap"]
    assert [(row.details["from_us"], row.details["to_us"]) for row in rows] == [(at(5), at(7))]
    [after] = load_day(folder).meta.excluded
    assert after.endswith(before[0].partition("excluded")[2])
    report = check(folder)
    assert (report.ok, report.trade_gaps, report.trade_gaps_s) == (True, 1, 2.0)


def test_trades_missing_after_the_last_one_end_the_book(tmp_path):
    """No trade is known from then on; a row of the ledger says that there were some."""
    lost = GAP_EVENT | {"from_id": 5, "to_id": 9}
    folder = write_day(tmp_path, story(trade(3, 3), trade(5, 4), more=[("gap", at(9), "trade_gap", 1, lost)]))
    tape, report, found = load_day(folder), check(folder), cover(folder)
    assert not [us for us in tape.event_us[tape.kind == DEPTH].tolist() if us > at(5)]
    assert len(tape.meta.excluded) == 1
    assert found.covered_s == pytest.approx((at(5) - at(2)) / 1e6)
    assert (report.trade_gaps, report.trade_gaps_s) == (1, pytest.approx((at(12) - at(5)) / 1e6))
    assert load_day(folder, as_received=True).meta.excluded == ()
    assert tape.revised_after(at(7))
