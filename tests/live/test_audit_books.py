"""Totals of audit logs: positions, orders and configurations, over restarts and venues."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_logs import open_log, rows_of
from audit_story import BTC, FILL, Story, played_logs, stories
from mm.errors import BrokenFile
from mm.live.audit.books import AuditBooks, Changes, rebuild_symbol


def log_of(out: Path, run_id: str, *rows: tuple[str, dict], **start: object) -> None:
    log = open_log(out, "BTCUSDT", run_id)
    log.start(BTC, run_id, **start)
    for kind, fields in rows:
        log.append(kind, **fields)
    log.close()


def books_of(out: Path, venue: str | None = None) -> AuditBooks:
    return rebuild_symbol(out / "audit" / "BTCUSDT", "BTCUSDT", venue)


def placed(client_id: str, **more: object) -> tuple[str, dict]:
    fields = {"action": "place", "client_id": client_id, "side": 1, "price": "100", "qty": "3", "kind": "LIMIT"}
    return "intent", fields | more


ACK = ("ack", {"action": "place", "client_id": "a", "order_id": 5})


def filled(trade_id: int, qty: str = "1", client_id: str = "a") -> tuple[str, dict]:
    return "fill", replace(FILL, trade_id=trade_id, client_id=client_id, qty=qty, commission="0").row()


def ended(status: str = "CANCELED", filled_text: str = "0") -> tuple[str, dict]:
    return "cancel", {"client_id": "a", "order_id": 5, "status": status, "filled": filled_text}


REFUSED = ("reject", {"action": "place", "client_id": "a", "code": -2010, "message": "no"})
AMEND = ("intent", {"action": "amend", "client_id": "a", "qty": "2"})
AMENDED = ("ack", {"action": "amend", "client_id": "a", "order_id": 5, "qty": "2"})
NOT_AMENDED = ("reject", {"action": "amend", "client_id": "a", "code": -2038, "message": "no"})
NOT_CANCELLED = ("reject", {"action": "cancel", "client_id": "a", "code": -2011, "message": "no"})


@pytest.mark.parametrize(
    ("rows", "status", "filled_text", "is_open"),
    [
        ([], "PENDING_NEW", "0.00000000", True),
        ([ACK], "NEW", "0.00000000", True),
        ([filled(1), ACK], "PARTIALLY_FILLED", "1.00000000", True),
        ([ACK, filled(1), filled(1)], "PARTIALLY_FILLED", "1.00000000", True),
        ([ACK, filled(1), filled(2, "2")], "FILLED", "3.00000000", False),
        ([ACK, filled(1, "3"), NOT_CANCELLED], "FILLED", "3.00000000", False),
        ([ACK, ended()], "CANCELED", "0.00000000", False),
        ([ACK, ended("EXPIRED", "2"), filled(1)], "EXPIRED", "2.00000000", False),
        ([ACK, ended("EXPIRED", "1"), filled(1), filled(2)], "EXPIRED", "2.00000000", False),
        ([ACK, ("intent", {"action": "cancel", "client_id": "a"})], "NEW", "0.00000000", True),
        ([ACK, NOT_CANCELLED], "NEW", "0.00000000", True),
        ([ACK, AMEND], "NEW", "0.00000000", True),
        ([ACK, AMEND, NOT_AMENDED], "NEW", "0.00000000", True),
        ([ACK, AMEND, filled(1, "2")], "PARTIALLY_FILLED", "2.00000000", True),
        ([ACK, AMEND, AMENDED, filled(1)], "PARTIALLY_FILLED", "1.00000000", True),
        ([ACK, AMEND, AMENDED, filled(1), filled(2)], "FILLED", "2.00000000", False),
        ([ACK, AMEND, filled(1, "2"), AMENDED], "FILLED", "2.00000000", False),
        ([AMEND, AMENDED], "NEW", "0.00000000", True),
        ([ACK, AMEND, ended(), AMENDED], "CANCELED", "0.00000000", False),
        ([REFUSED], "REJECTED", "0.00000000", False),
        ([ACK, REFUSED], "NEW", "0.00000000", True),
        ([REFUSED, ACK], "NEW", "0.00000000", True),
        ([REFUSED, filled(1)], "PARTIALLY_FILLED", "1.00000000", True),
    ],
)
def test_order_is_open_until_its_end_is_logged(
    tmp_path: Path, rows: list, status: str, filled_text: str, is_open: bool
) -> None:
    """For any order of its rows; a fill counts once."""
    log_of(tmp_path, "r1", placed("a"), *rows)
    books = books_of(tmp_path)
    row = books.orders["a"].row()
    assert (row[6], row[7]) == (filled_text, status)
    assert [order.client_id for order in books.open_orders()] == ["a"] * is_open
    assert row[5] == ("2" if AMENDED in rows else "3")
    assert row[1] == (5 if ACK in rows or AMENDED in rows or any(kind == "fill" for kind, _ in rows) else None)


def test_end_of_an_order_that_is_no_longer_known_changes_nothing(tmp_path: Path) -> None:
    """The oldest ended ones are dropped, and the exchange may tell an end once more."""
    log_of(tmp_path, "r1", placed("a"), ACK, ("cancel", {"client_id": "z", "order_id": 9, "status": "EXPIRED"}))
    assert [order.client_id for order in books_of(tmp_path).open_orders()] == ["a"]


def test_position_continues_over_restarts(tmp_path: Path) -> None:
    """The initial inventory of the latest run plus the fills of all runs, each trade once."""
    log_of(tmp_path, "r1", placed("a"), ACK, filled(1), initial_inventory="2")
    log_of(tmp_path, "r2", filled(1), filled(2), placed("b", action="replace", replaces="a"), initial_inventory="0.5")
    books = books_of(tmp_path)
    assert books.position_e8 == 250_000_000
    assert books.ledger is not None
    assert (books.ledger.cash_e8, books.ledger.last_trade_id) == (-200 * 10**8, 2)
    assert set(books.ledger.booked) == {1, 2}
    assert (books.starts, books.run_id) == (2, "r2")
    assert [(o.client_id, o.run_id) for o in books.open_orders()] == [("a", "r1"), ("b", "r2")]
    assert books.position_row(9)[:8] == ("BTCUSDT", "2.50000000", "-200.00000000", "{}", 2, 2, 9, "r2")


def test_each_venue_has_its_own_ledger(tmp_path: Path) -> None:
    """Equal trade ids of two venues are different trades, and positions are separate."""
    log_of(tmp_path, "r1", filled(1), venue="box")
    log_of(tmp_path, "r2", filled(1), filled(2), venue="testnet")
    assert books_of(tmp_path).position_e8 == 200_000_000
    assert books_of(tmp_path, "box").position_e8 == 100_000_000
    assert books_of(tmp_path, "production").starts == 0
    log_of(tmp_path, "r3", filled(1), filled(3), venue="box")
    assert books_of(tmp_path).position_e8 == books_of(tmp_path, "box").position_e8 == 200_000_000


def test_each_knob_change_creates_a_config_version(tmp_path: Path) -> None:
    """Unchanged knobs create none, also after a restart."""
    log_of(tmp_path, "r1", ("params", {"knobs": {"gamma": 2}}), knobs={"gamma": 1})
    log_of(tmp_path, "r2", ("params", {"knobs": {"gamma": 1}}), knobs={"gamma": 2, "run_id": "r2"})
    books, changes = AuditBooks("BTCUSDT"), Changes()
    for path in sorted((tmp_path / "audit" / "BTCUSDT").iterdir()):
        for row in rows_of(path):
            books.apply(row, changes)
    assert [(version, knobs) for version, _, knobs, *_ in changes.configs] == [
        (1, '{"gamma":1}'),
        (2, '{"gamma":2}'),
        (3, '{"gamma":1}'),
    ]


@pytest.mark.parametrize("fields", [{}, {"trade_id": 1, "side": "LEFT"}])
def test_incomplete_row_error_names_run_and_row(tmp_path: Path, fields: dict) -> None:
    """The message also suggests `mm audit show`."""
    log_of(tmp_path, "r1", ("fill", fields))
    with pytest.raises(BrokenFile, match=r"run r1: row 2 \(fill\) .*; see mm audit show"):
        books_of(tmp_path)


def test_oldest_ended_orders_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; open orders stay."""
    monkeypatch.setattr("mm.live.audit.books.KEPT_ENDED", 3)
    rows = [
        row for n in range(9) for row in (placed(f"c{n}"), ("cancel", {"client_id": f"c{n}", "status": "CANCELED"}))
    ]
    log_of(tmp_path, "r1", placed("open"), *rows)
    books = books_of(tmp_path)
    assert list(books.orders) == ["open", "c6", "c7", "c8"]


@given(stories(), st.integers(1, 4))
def test_books_equal_sums_of_random_trades(tmp_path_factory: pytest.TempPathFactory, story: Story, runs: int) -> None:
    """Random orders over several runs: the position is the sum of the trades, and the open orders are the story's."""
    out = tmp_path_factory.mktemp("out")
    played_logs(out, story, runs)
    books = books_of(out)
    trades = {fill.trade_id: fill for fill in story.fills}
    base = sum((one.side * Decimal(one.qty) for one in trades.values()), Decimal(0))
    base -= sum((Decimal(one.commission) for one in trades.values() if one.commission_asset == "BTC"), Decimal(0))
    assert Decimal(books.position_e8).scaleb(-8) == base
    assert {o.client_id for o in books.open_orders()} == story.open_ids()
