"""State from earlier runs: the account at the start of the ledger, days without a breach, equity marks."""

import threading

import pytest

from mm.base.audit_chain import Witness
from mm.clock import day_of
from mm.errors import BrokenFile
from mm.instrument import E8, Instrument
from mm.live.audit import history
from mm.live.audit.history import ACCOUNT, BOOKS, EquityFile, EquityMarks, LedgerBegin, marks_at, read_history
from mm.live.audit.log import AuditLog

GRID = Instrument("SIMUSDT", 1_000_000, 100_000, 0, "SIM", "USDT")
DAY_US = 86_400_000_000
NOON_US = 1_795_176_000_000_000
END = Witness("a.ndjson", 3, "ab" * 32)


def marks(day_e8, peak_e8, us=NOON_US, **more):
    return EquityMarks("box", day_of(us), day_e8, peak_e8, **more)


def write_log(folder, number, us, *types, venue="box", account=None):
    """Write a log with a row of each type at one instant."""
    log = AuditLog(folder / f"{day_of(us)}_{number}.ndjson", sync=False, clock=lambda: us)
    log.start(GRID, str(number), venue=venue, initial_inventory="0", knobs={})
    if account:
        log.append("params", knobs={}, **{ACCOUNT: account})
    for type_ in types:
        log.append(type_, **({"limit": "MAX_MOVE"} if type_ == "breach" else {}))
    log.append("stop", reason="SIGTERM")
    log.close()


def fill_row(log, trade_id):
    log.append(
        "fill", trade_id=trade_id, order_id=1, client_id="mm-1-1b", side=1, price="100", qty="0.1", commission="0.0001",
        commission_asset="SIM", maker=True,
    )  # fmt: skip


def test_history_without_logs_is_empty(tmp_path):
    found = read_history(tmp_path, "SIMUSDT", "box", NOON_US)
    assert (found.begin, found.clean_days, found.booked, found.last_trade_id) == (None, 0, {}, None)


def test_ledger_begins_with_first_account_of_the_venue(tmp_path):
    account = {"base": "2", "quote": "50", "mid": "10"}
    write_log(tmp_path, 1, NOON_US - 2, venue="testnet", account={"base": "9", "quote": "9", "mid": "9"})
    write_log(tmp_path, 2, NOON_US - 1, account=account)
    write_log(tmp_path, 3, NOON_US, account={"base": "7", "quote": "7", "mid": "7"})
    begin = read_history(tmp_path, "SIMUSDT", "box", NOON_US).begin
    assert begin == LedgerBegin(2 * E8, 50 * E8, 10 * E8)
    assert begin.worth_e8 == 70 * E8
    assert begin.added_e8(E8) == 10 * E8


def test_fills_of_all_logs_are_booked_once(tmp_path):
    for number, ids in ((1, (5, 6)), (2, (6, 7))):
        log = AuditLog(tmp_path / f"{number}.ndjson", sync=False, clock=lambda number=number: NOON_US + number)
        log.start(GRID, str(number), venue="box")
        for trade_id in ids:
            fill_row(log, trade_id)
        log.close()
    found = read_history(tmp_path, "SIMUSDT", "box", NOON_US)
    assert set(found.booked) == {5, 6, 7}
    assert found.last_trade_id == 7
    assert found.books.ledger.position_e8 == 3 * (E8 // 10 - E8 // 10_000)


def test_unreadable_account_raises_broken_file(tmp_path):
    write_log(tmp_path, 1, NOON_US, account={"base": "2", "quote": "x", "mid": "10"})
    with pytest.raises(BrokenFile, match="account of a params row"):
        read_history(tmp_path, "SIMUSDT", "box", NOON_US)


@pytest.mark.parametrize(
    ("days", "clean"),
    [
        (["fine"], 0),
        (["fine", "fine"], 1),
        (["fine", "fine", "fine"], 2),
        (["fine", "breach", "fine"], 0),
        (["breach", "fine", "fine"], 1),
        (["fine", "kill", "fine", "fine", "fine"], 2),
        (["fine", "fine", "breach"], 0),
        (["fine", "fine", "kill"], 0),
    ],
)
def test_clean_days_are_counted_from_the_last_breach(tmp_path, days, clean):
    """Today, the last of them, does not count yet, but a breach of today resets the count."""
    for number, kind in enumerate(days):
        us = NOON_US - (len(days) - 1 - number) * DAY_US
        write_log(tmp_path, number, us, *([] if kind == "fine" else [kind]))
    assert read_history(tmp_path, "SIMUSDT", "box", NOON_US + 1).clean_days == clean


def test_equity_marks_are_read_and_daily_mark_only_on_its_day(tmp_path):
    EquityFile(tmp_path, "SIMUSDT", "box").keep(NOON_US, marks(5, 9), END, at_once=True)
    found = EquityFile(tmp_path, "SIMUSDT", "box")
    assert found.read(NOON_US + 1) == (5, 9)
    assert found.written == Witness("a.ndjson", 3, "ab" * 32, "SIMUSDT.equity.json")
    assert found.read(NOON_US + DAY_US) == (None, 9)
    assert EquityFile(tmp_path, "SIMUSDT", "testnet").read(NOON_US) == (None, None)
    assert EquityFile(tmp_path, "OTHER", "box").read(NOON_US) == (None, None)


def test_equity_marks_are_throttled_unless_written_at_once(tmp_path):
    file = EquityFile(tmp_path, "SIMUSDT", "box")
    file.keep(NOON_US, marks(5, 9), END)
    file.keep(NOON_US + 1, marks(5, 10), END)
    file.log_ended(END)
    assert file.read(NOON_US) == (5, 9)
    file.keep(NOON_US + 2, marks(5, 11), END, at_once=True)
    assert file.read(NOON_US) == (5, 11)


def test_slow_disk_holds_up_no_marks_and_a_refusing_one_is_told(tmp_path, monkeypatch):
    """The caller is the loop that sends orders: a thread writes, and marks that come meanwhile are left out."""
    release, file, written = threading.Event(), EquityFile(tmp_path, "SIMUSDT", "box"), []

    def slow(path, data, **terms):
        assert release.wait(60)
        written.append(data)
        if len(written) > 1:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(history, "write_atomic", slow)
    for second in range(20):
        file.keep(NOON_US + second * 10**6, marks(5, second), END)
    release.set()
    file.log_ended(END)
    assert len(written) == 1
    file.keep(NOON_US + 60 * 10**6, marks(5, 99), END)
    with pytest.raises(OSError, match="Input/output"):
        file.log_ended(END)


def test_unreadable_equity_marks_raise_broken_file(tmp_path):
    file = EquityFile(tmp_path, "SIMUSDT", "box")
    file.keep(NOON_US, marks(5, 9), END, at_once=True)
    (tmp_path / "risk" / "SIMUSDT.equity.json").write_text("{")
    with pytest.raises(BrokenFile, match="remove it"):
        file.read(NOON_US)


def test_waiting_for_our_own_order_rate_does_not_reset_the_ramp(tmp_path):
    """The breach of MAX_ORDERS_PER_S is in the log, but its day counts as one without a breach."""
    for day in (2, 1):
        log = AuditLog(tmp_path / f"{day}.ndjson", sync=False, clock=lambda day=day: NOON_US - day * DAY_US)
        log.start(GRID, str(day), venue="box")
        log.append("breach", limit="MAX_ORDERS_PER_S")
        log.close()
    assert read_history(tmp_path, "SIMUSDT", "box", NOON_US).clean_days == 2


def started(tmp_path, *rows, us=NOON_US, begin=True):
    """Return the history of a start after one log with these rows."""
    log = AuditLog(tmp_path / f"{us}.ndjson", sync=False, clock=lambda: us)
    known = read_history(tmp_path, "SIMUSDT", "box", us)
    log.start(GRID, "1", venue="box", initial_inventory="0", knobs={}, **{BOOKS: known.kept()})
    if begin:
        log.append("params", knobs={}, **{ACCOUNT: {"base": "2", "quote": "1000", "mid": "10"}})
    for type_, fields in rows:
        log.append(type_, **fields)
    log.close()
    return read_history(tmp_path, "SIMUSDT", "box", us)


def bought(trade_id, us, price="12"):
    order = {"order_id": 1, "client_id": "mm-1-1b", "side": 1, "price": price, "qty": "3", "maker": True}
    return "fill", {"trade_id": trade_id, "us": us, "commission": "0", "commission_asset": "SIM", **order}


def test_days_equity_without_a_mark_is_that_before_the_first_fill_of_the_day(tmp_path):
    """Of each day, over starts; an equity of 0 in the file, as an older version left it, is none."""
    yesterday = started(tmp_path, bought(1, NOON_US - DAY_US), us=NOON_US - DAY_US)
    assert marks_at(yesterday, None, yesterday.begin, 0, 0) == (1_020 * E8, 1_020 * E8)
    rows = bought(2, NOON_US, "14"), bought(3, NOON_US + 1, "1")
    today = started(tmp_path, *rows, begin=False)
    before_e8 = (1_000 - 36 + 2 * 10 + 3 * 14) * E8
    for file in (None, marks(0, 0)):
        assert marks_at(today, file, today.begin, 0, 0) == (before_e8, before_e8)
    again = started(tmp_path, us=NOON_US + 1_000, begin=False)
    assert marks_at(again, None, again.begin, 0, 0) == (before_e8, before_e8)
    tomorrow = read_history(tmp_path, "SIMUSDT", "box", NOON_US + DAY_US)
    assert marks_at(tomorrow, None, tomorrow.begin, 0, 0) == (None, None)


def test_days_equity_of_the_log_counts_without_the_file(tmp_path):
    row = "mark", {"day": day_of(NOON_US), "equity": "990", "peak": "1100", "transfers": "0"}
    for us, more in ((NOON_US, [bought(2, NOON_US), row]), (NOON_US + 1_000, [])):
        history = started(tmp_path, *more, us=us, begin=not us - NOON_US)
        assert marks_at(history, None, history.begin, 0, 0) == (990 * E8, 1_100 * E8)
        assert marks_at(history, marks(995 * E8, 1_200 * E8), history.begin, 0, 0) == (995 * E8, 1_200 * E8)
        old = marks(995 * E8, 1_200 * E8, us=NOON_US - DAY_US)
        assert marks_at(history, old, history.begin, 0, 0) == (990 * E8, 1_200 * E8)


def test_marks_follow_transfers_without_profit_or_loss(tmp_path):
    """The loss of the day stays as an amount, the drawdown as a share, also after most was withdrawn."""
    history = started(tmp_path)
    file = marks(1_000 * E8, 1_250 * E8, equity_e8=1_000 * E8)
    for moved_e8, expected in ((500 * E8, (1_500, 1_875)), (-900 * E8, (100, 125)), (0, (1_000, 1_250))):
        assert marks_at(history, file, history.begin, 0, moved_e8) == tuple(one * E8 for one in expected)


def test_transfers_and_an_accepted_reset_stay_over_starts(tmp_path):
    """Totals stay, ids of trades begin anew; what an earlier version accepted is a transfer too."""
    rows = [
        bought(7, NOON_US),
        ("transfer", {"asset": "USDT", "amount": "5", "source": "reconcile"}),
        ("params", {"knobs": {}, "adopted": {"base": "1", "quote": "-2"}}),
        ("adopt", {"what": "venue_reset", "why": "it does not have trade 7"}),
        bought(7, NOON_US + 1, "10"),
    ]
    for us, more in ((NOON_US, rows), (NOON_US + 1_000, [])):
        history = started(tmp_path, *more, us=us, begin=us == NOON_US)
        ledger = history.books.ledger
        assert (ledger.position_e8, ledger.cash_e8, ledger.fills) == (6 * E8, -66 * E8, 2)
        assert ledger.transfers_e8 == {"USDT": 3 * E8, "SIM": E8}
        assert ledger.moved_e8() == (7 * E8, -63 * E8)
        assert history.last_trade_id == 7
        assert len(history.booked) == 1
