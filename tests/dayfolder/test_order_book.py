"""The compiled book of single orders against a book in plain Python that is played the rows it makes."""

import random

import numpy as np
import pytest

from log_book import Book
from mm.dayfolder._orders import OPS, OrderBook
from mm.dayfolder.layout import ROW_TRADE

OP = {name: code for code, name in enumerate(OPS)}
MAKES = ("add", "add", "add", "modify", "cancel", "delete", "execute", "trade", "fill", "clear", "snapshot", "whole")


def commands(seed, length=400):
    """Return any commands, most of them of orders that rest."""
    rng, known, made, offered = random.Random(seed), {}, [], {}
    for at in range(length):
        op = rng.choice(MAKES) if offered or rng.random() < 0.9 else "snapshot"
        number = rng.choice([*known, rng.randint(1, 60)])
        side, ticks = known.get(number, (rng.choice((1, -1)), rng.randint(90, 110)))
        lots = rng.randint(1, 9)
        if op in ("add", "modify") and rng.random() < 0.5:
            side, ticks = rng.choice((1, -1)), rng.randint(90, 110)
        if op in ("add", "modify"):
            known[number] = side, ticks
        if op == "snapshot":
            number = offered.setdefault(number, number)
        if op == "clear":
            side = rng.choice((0, 1, -1)) if rng.random() < 0.2 else 0
            op = op if rng.random() < 0.1 else "nothing"
        if op == "whole":
            known.update(dict.fromkeys(offered, (side, ticks)))
            offered = {}
        ends = int(rng.random() < 0.6 or op == "whole") if not offered else int(op == "whole")
        made.append((at, OP[op], number, side, ticks, lots, ends, at + 1))
    return made


def played(book, made):
    us, op, number, side, ticks, lots, ends, row = np.array(made, np.int64).reshape(-1, 8).T.copy()
    book.play(us, op.astype(np.int8), number, side.astype(np.int8), ticks, lots, ends.astype(np.int8), row)
    return book.take()


@pytest.mark.parametrize("seed", range(40))
def test_any_commands_make_rows_that_add_up(seed):
    """Levels are the sums of their queues, messages have the levels, and ranks ascend in each queue."""
    book, plain, shown = OrderBook(16), Book(), {}
    made = commands(seed)
    for part in (made[:150], made[150:]):
        rows, sources, messages, changes = played(book, part)
        before, done = 0, 0
        for at, kind, end in messages.tolist():
            upto = int(np.searchsorted(sources, at, "right"))
            follow(plain, rows[done:upto].tolist())
            shown = {} if kind else shown
            shown.update({(side, ticks): lots for side, ticks, lots in changes[before:end].tolist()})
            before, done = end, upto
            assert {key: lots for key, lots in shown.items() if lots} == levels_of(plain)
        follow(plain, rows[done:].tolist())
    by_side = {side: [(rank, ticks, lots) for rank, _, ticks, lots in plain.orders(side)] for side in (1, -1)}
    for side, orders in by_side.items():
        found = [(rank, ticks, lots) for rank, at, ticks, lots in book.resting().tolist() if at == side]
        assert sorted(orders) == found
        assert orders == sorted(orders, key=lambda order: (-side * order[1], order[0]))


@pytest.mark.parametrize("seed", range(10))
def test_rows_are_replayed_to_the_same_book(seed):
    """What one book makes, another one reads without a finding, and counts the same first orders."""
    book, again = OrderBook(16), OrderBook()
    rows = played(book, commands(seed))[0]
    columns = [np.ascontiguousarray(rows[:, at]) for at in (1, 2, 3, 5, 6, 7, 9)]
    again.hold(*columns)
    assert again.replay() == (len(rows), "")
    assert (again.executed, again.executed_first) == (book.executed, book.executed_first)
    assert again.resting().tolist() == book.resting().tolist()


def follow(plain, rows):
    """Play rows; an execution, which may have another price than its order, where its order rests."""
    for us, kind, order, other, account, side, ticks, *rest in rows:
        if kind != ROW_TRADE:
            plain.apply((us, kind, order, other, account, side, ticks, *rest))
        elif other:
            (place,) = [(at, price) for at in (1, -1) for rank, _, price, _ in plain.orders(at) if rank == other]
            plain.apply((us, kind, order, other, account, -place[0], place[1], *rest))


def levels_of(plain):
    return {(side, ticks): lots for side in (1, -1) for ticks, lots in plain.depth(side)}
