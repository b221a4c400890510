"""A store that follows audit logs ends with their tables after any failures."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_logs import open_log
from audit_story import BTC, Story, many_orders, played_logs, stories, written
from mm.errors import BrokenFile, DataError
from mm.live.state.follow import AuditFollower, LogTail, bring_up, symbols_with_logs
from mm.live.state.tables import StoreUnavailable
from state_memory import FAILURES, MemoryState, plain_tables

SYMBOL = "BTCUSDT"


def ordered(tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: sorted(rows, key=str) for name, rows in tables.items()}


def run_dry(follower: AuditFollower, most: int) -> None:
    """Step until nothing is new, as a lane does: refused batches are retried."""
    while True:
        try:
            if not follower.step(most):
                return
        except StoreUnavailable:
            continue


@pytest.mark.slow
@given(stories(), st.integers(1, 3), st.integers(1, 9), st.lists(st.sampled_from((None, *FAILURES)), max_size=12))
def test_followed_tables_equal_the_logs(
    tmp_path_factory: pytest.TempPathFactory, story: Story, runs: int, most: int, failures: list[str | None]
) -> None:
    """Refused, lost, wiped, written by another process: each row counts once in the end."""
    out = tmp_path_factory.mktemp("out")
    played_logs(out, story, runs)
    folder = out / "audit" / SYMBOL
    store = MemoryState(failures)
    run_dry(AuditFollower(folder, SYMBOL, store), most)
    expected = plain_tables(folder, SYMBOL)
    assert ordered(store.tables()) == ordered(expected)
    # After a restart the next process begins where the store is.
    before = len(store.applied)
    run_dry(AuditFollower(folder, SYMBOL, store), most)
    assert len(store.applied) == before


@pytest.mark.slow
@given(stories(), st.lists(st.integers(0, 4_000), max_size=5), st.integers(1, 9))
def test_growing_log_is_followed(
    tmp_path_factory: pytest.TempPathFactory, story: Story, cuts: list[int], most: int
) -> None:
    """At any size, also in the middle of a row."""
    out = tmp_path_factory.mktemp("out")
    played_logs(out, story, 1)
    folder = out / "audit" / SYMBOL
    path = next(folder.iterdir())
    data = path.read_bytes()
    store, most_bytes = MemoryState(), sorted(cut % (len(data) + 1) for cut in cuts)
    follower = AuditFollower(folder, SYMBOL, store)
    for size in [*most_bytes, len(data)]:
        path.write_bytes(data[:size])
        run_dry(follower, most)
        assert follower.stored.get(path.name, 0) == data[:size].count(b"\n")
    assert ordered(store.tables()) == ordered(plain_tables(folder, SYMBOL))


def test_log_that_begins_later_is_found(tmp_path: Path) -> None:
    """Also in a folder that does not exist yet, and with an incomplete first row."""
    folder, store = tmp_path / "audit" / SYMBOL, MemoryState()
    follower = AuditFollower(folder, SYMBOL, store)
    run_dry(follower, 100)
    story = many_orders(10)
    first = open_log(tmp_path, SYMBOL, "z")
    run_dry(follower, 100)
    first.start(BTC, "z")
    written(first, story, 0, 20)
    asyncio.run(first.synced(21))
    run_dry(follower, 100)
    assert follower.stored == {"20260105_z.ndjson": 21}
    second = open_log(tmp_path, SYMBOL, "a")
    second.start(BTC, "a")
    written(second, story, 20)
    asyncio.run(second.synced(second.rows))
    run_dry(follower, 100)
    assert ordered(store.tables()) == ordered(plain_tables(folder, SYMBOL))
    first.close()
    second.close()


def test_bring_up_returns_number_of_new_rows(tmp_path: Path) -> None:
    """The second time there are none."""
    story = many_orders(30)
    played_logs(tmp_path, story, 2)
    folder, store = tmp_path / "audit" / SYMBOL, MemoryState()
    assert bring_up(store, folder, SYMBOL) == len(story.rows) + 4
    assert bring_up(store, folder, SYMBOL) == 0


def test_two_followers_store_each_batch_once(tmp_path: Path) -> None:
    """A follower whose batch is refused reads the store's progress again."""
    played_logs(tmp_path, many_orders(30), 2)
    folder, store = tmp_path / "audit" / SYMBOL, MemoryState()
    followers = [AuditFollower(folder, SYMBOL, store) for _ in range(2)]
    while sum(follower.step(7) for follower in followers):
        pass
    assert ordered(store.tables()) == ordered(plain_tables(folder, SYMBOL))
    stored = [(batch.file, batch.first) for batch in store.applied]
    assert len(stored) == len(set(stored))


def test_invalid_row_or_missing_log_raises_error(tmp_path: Path) -> None:
    """The rows before an invalid one are stored."""
    played_logs(tmp_path, many_orders(5), 1)
    folder, store = tmp_path / "audit" / SYMBOL, MemoryState()
    path = next(folder.iterdir())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"hello\n"]))
    follower = AuditFollower(folder, SYMBOL, store)
    assert follower.step(3)
    with pytest.raises(BrokenFile, match=r"row 4 cannot be read"):
        follower.step(3)
    with pytest.raises(DataError, match="cannot be read"):
        LogTail(tmp_path / "gone").next_lines(1)


def test_symbols_are_the_folders_with_logs(tmp_path: Path) -> None:
    """Without any folder the error suggests OUT_ROOT."""
    with pytest.raises(DataError, match="there are no audit logs; set OUT_ROOT"):
        list(symbols_with_logs(tmp_path / "audit"))
    played_logs(tmp_path, many_orders(1), 1)
    assert list(symbols_with_logs(tmp_path / "audit")) == [SYMBOL]
