"""The same market of the exchange in a box, recorded once as single trades and once as aggregates."""

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest

from boxed import recorded
from captured import rows
from day_files import defects_of
from mm import DayFolder

SECONDS = 6


async def some_seconds(boxed):
    await boxed.synced()
    await boxed.play(SECONDS)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """The day of each stream, from equal boxes."""
    found = {}
    for stream in ("trade", "aggTrade"):
        root = tmp_path_factory.mktemp(stream)
        recorded(some_seconds, root=root, clean=False, trade_stream=stream, scenario_name="zero_intelligence", seed=11)
        (path,) = (root / "SIMUSDT").iterdir()
        found[stream] = DayFolder.at(path)
    return found


def prints(day):
    return rows(day.trades)


def volumes(day, first_id, last_id):
    """Return volume and last price per millisecond and side within a range of trade ids."""
    found = defaultdict(lambda: [Decimal(0), ""])
    for row in prints(day):
        if first_id <= int(row["first_trade_id"]) and int(row["last_trade_id"]) <= last_id:
            cell = found[row["trade_time_ms"], row["is_buyer_maker"]]
            cell[0] += Decimal(row["qty"])
            cell[1] = Decimal(row["price"])
    return dict(found)


def test_days_of_both_streams_pass_the_check(days):
    """Both have the same columns and no defects."""
    heads = {day.trades.read_text().splitlines()[0] for day in days.values()}
    assert len(heads) == 1
    for day in days.values():
        assert defects_of(day) == []
        assert len(prints(day)) > 20


def test_aggregate_id_ranges_are_contiguous(days):
    """First and last trade ids have no holes, and the ids of aggregates are consecutive."""
    aggregates = prints(days["aggTrade"])
    for before, row in pairwise(aggregates):
        assert int(row["trade_id"]) == int(before["trade_id"]) + 1
        assert int(row["first_trade_id"]) == int(before["last_trade_id"]) + 1
    assert any(row["first_trade_id"] != row["last_trade_id"] for row in aggregates)
    assert all(row["trade_id"] == row["first_trade_id"] == row["last_trade_id"] for row in prints(days["trade"]))


def test_volumes_per_millisecond_are_equal_in_both_streams(days):
    """No volume is lost or counted twice."""
    singles, aggregates = prints(days["trade"]), prints(days["aggTrade"])
    last = min(int(singles[-1]["trade_id"]), int(aggregates[-1]["last_trade_id"]))
    starts = (int(row["first_trade_id"]) for row in aggregates)
    first = next(start for start in starts if start >= int(singles[0]["trade_id"]))
    assert last - first > 20
    assert volumes(days["trade"], first, last) == volumes(days["aggTrade"], first, last)


def test_each_aggregate_is_the_sum_of_its_trades(days):
    """All trades of an aggregate have its price, side and time."""
    singles = {int(row["trade_id"]): row for row in prints(days["trade"])}
    compared = 0
    for row in prints(days["aggTrade"]):
        own = [singles.get(number) for number in range(int(row["first_trade_id"]), int(row["last_trade_id"]) + 1)]
        if None in own:
            continue
        compared += 1
        assert sum(Decimal(single["qty"]) for single in own) == Decimal(row["qty"])
        for name in ("price", "is_buyer_maker", "trade_time_ms"):
            assert {single[name] for single in own} == {row[name]}
    assert compared > 20
