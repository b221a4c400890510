"""The declared tables of a run: their columns in memory, as the kernels write them, and as arrays."""

import re

import numpy as np
import pytest

from mm.backtest.journal import TABLES, Decisions, Fills, Mids, State, Stretches
from support import ROOT

KERNEL = ROOT / "mm" / "backtest" / "engine"
WRITERS = {  # the function of the kernel that writes a row, and what it calls a column
    "orders": ("order", {"order.id": "order_id", "order.placed_lots": "lots", "order.lots": "remaining_lots"}),
    "fills": ("fill", {"order.id": "order_id"}),
    "state": ("state", {}),
    "mids": ("mid", {}),
    "spans": ("span", {}),
    "decisions": ("decision", {}),
    "breaches": ("breach", {}),
}
OF_A_DECISION = {"best": "best_{}_ticks", "wanted_ticks": "{}_ticks", "wanted_lots": "{}_lots", "acted": "{}_acted"}


def named(value, own):
    """Return the column that a value of a row is of."""
    value = re.sub(r"^known\((.*)\)$", r"\1", value.strip())
    if array := re.fullmatch(r"made\.(\w+)\[([01])\]", value):
        return OF_A_DECISION[array[1]].format(("ask", "bid")[int(array[2])])
    last = own.get(value, value.rpartition(".")[2])
    return {"cancel_us": "cancel_effective_us", "reject": "reject_reason"}.get(last, last)


def written(name):
    """Return the columns that the kernel writes into a row of table *name*, in order of their places."""
    function, own = WRITERS[name]
    body = (KERNEL / "_records.pxd").read_text().split(f"inline int record_{function}(")[1].split("\n\n\n")[0]
    found = {}
    for places, values in re.findall(r"^    ((?:row\[\d+\], )+row\[\d+\]) = (.*)$", body, re.MULTILINE):
        for place, value in zip(re.findall(r"\d+", places), values.split(", "), strict=True):
            found[int(place)] = named(value, own)
    assert list(found) == list(range(len(found)))
    return tuple(found.values())


@pytest.mark.parametrize("name", TABLES)
def test_the_kernel_writes_the_declared_columns_in_order(name):
    assert written(name) == TABLES[name].names()


@pytest.mark.parametrize("name", TABLES)
def test_the_kernel_has_room_for_the_declared_columns(name):
    widths = dict(re.findall(r"\b(\w+)_WIDTH = (\d+)", (KERNEL / "_records.pxd").read_text()))
    assert int(widths[name.upper()]) == TABLES[name].width()


@pytest.mark.parametrize("table", TABLES.values())
def test_a_column_is_a_view(table):
    """And has no name of an array's own."""
    rows = table.empty(3)
    for place, name in enumerate(table.names()):
        assert not hasattr(np.ndarray, name)
        setattr(rows, name, place + 1)
        getattr(rows, name)[1] = -place
    assert rows.array.tolist()[0] == rows.array.tolist()[2] == [place + 1 for place in range(table.width())]
    assert rows.array.tolist()[1] == [-place for place in range(table.width())]


def test_chosen_rows_are_a_table_and_all_else_a_plain_array():
    rows = State(np.arange(60).reshape(10, 6))
    for chosen in (rows[2:5], rows[rows.us > 20], rows[np.array([3, 1])], rows.copy()):
        assert type(chosen) is State
    plain = (rows[1], rows[:, 4], rows[:, 1:3], rows[2:3, 1], rows.T, rows.sum(axis=0), rows + 1, rows == rows.array)
    for made in (*plain, next(iter(rows)), np.add.reduce(rows), np.insert(rows, 1, rows[:1], axis=0)):
        assert type(made) is np.ndarray
    assert rows[1, 4] == 10
    assert rows.max() == 59
    assert (rows == rows.array).all()


def test_a_table_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"State: .*\(10, 5\); 6 columns"):
        State(np.zeros((10, 5), np.int64))
    assert Fills().shape == (0, Fills.width())
    assert Mids([[1, 2]]).mid2.tolist() == Stretches([[1, 2]]).end_us.tolist() == [2]


def test_computing_in_place_changes_the_table():
    rows = Decisions.empty(2)
    rows.us += 7
    np.add(rows, 1, out=rows)
    assert rows.us.tolist() == [8, 8]
