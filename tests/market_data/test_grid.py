import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import OffGrid
from mm.market_data import grid as grid_module
from mm.market_data.grid import Grid


def test_texts_become_whole_numbers_and_leave_their_steps_behind():
    """The greatest step of all prices is the best guess of an unknown tick."""
    grid = Grid()
    grid.check([("1.25000000", "0.30000000"), ("1.24500000", "0.00000000"), ("1.2", "1")])
    assert (grid.price("1.25"), grid.qty("0.3")) == (125_000_000, 30_000_000)
    assert (grid.seen_tick_e8, grid.seen_step_e8) == (500_000, 10_000_000)


@pytest.mark.parametrize("price", ["0", "0.000", "-1", "abc", "1e5", "", "1.123456789"])
def test_a_price_that_is_none_is_refused_each_time(price):
    """A wrong text is not remembered as a right one."""
    grid = Grid()
    for _ in range(2):
        with pytest.raises(OffGrid):
            grid.price(price)


def test_a_quantity_may_be_zero_but_not_negative():
    """Zero removes a level."""
    grid = Grid()
    assert grid.qty("0.00000000") == 0
    with pytest.raises(OffGrid, match="negative"):
        grid.qty("-1")


@pytest.mark.parametrize("derives_steps", [True, False])
def test_a_zero_with_a_sign_is_none(derives_steps):
    """``-0`` would be an empty level in the book."""
    grid = Grid(derives_steps=derives_steps)
    for qty in ("-0", "-0.00000000"):
        with pytest.raises(OffGrid, match="negative"):
            grid.check([("1.00000000", qty)])
        with pytest.raises(OffGrid, match="negative"):
            grid.check_one("1.00000000", qty)


def test_memory_stays_bounded(monkeypatch):
    """A day of millions of different texts does not fill it, and the steps are not forgotten."""
    monkeypatch.setattr(grid_module, "REMEMBERED_TEXTS", 3)
    grid = Grid()
    for price in range(1, 20):
        grid.price(str(price))
    assert len(grid._prices) <= 3
    assert grid.seen_tick_e8 == 100_000_000


TEXTS = st.one_of(
    st.from_regex(r"[0-9]{1,12}\.[0-9]{8}", fullmatch=True),
    st.text("0123456789.-+e ٣²", max_size=14),
)


@given(st.lists(TEXTS, max_size=4))
def test_quantities_are_checked_alike_one_by_one_and_many_at_a_time(texts):
    """A recorder needs no steps of them; what it refuses is what an import refuses."""
    levels = [("1.00000000", text) for text in texts]
    refused = []
    for grid in (Grid(), Grid(derives_steps=False)):
        try:
            grid.check(levels)
        except OffGrid:
            refused.append(grid)
    assert len(refused) in (0, 2)


@pytest.mark.parametrize("derives_steps", [True, False])
def test_what_comes_off_the_grid_is_reported_once(derives_steps):
    """Each report names steps that all before it are multiples of; what they allow is reported no more."""
    grid = Grid(derives_steps=derives_steps)
    grid.check([("1.00500000", "0.30000000")])
    assert not grid.off
    grid.use(1_000_000, 10_000_000)
    assert (grid.off, grid.report(), grid.off) == (True, {"tick_size": "0.005"}, False)
    grid.check([("1.01500000", "0.70000000")])
    assert not grid.off
    grid.check([("1.01000000", "0.75000000")])
    assert (grid.off, grid.report()) == (True, {"step_size": "0.05"})
    grid.check_one("1.00300000", "0.75100000")
    assert (grid.off, grid.report()) == (True, {"tick_size": "0.001", "step_size": "0.001"})


def test_an_older_grid_stays_valid_for_the_day():
    """Orders rest on the grid of their time; another day begins with the grid of the exchange alone."""
    grid = Grid()
    grid.use(1_000_000, 1)
    grid.check([("1.01000000", "1.00000000")])
    grid.use(10_000_000, 1)
    assert not grid.off
    grid.next_day()
    assert (grid.off, grid.report()) == (True, {"tick_size": "0.01"})


def test_prices_off_a_given_tick_are_counted():
    """An import refuses a tick size that many prices are off."""
    grid = Grid()
    grid.check([("1.00500000", "1"), ("1.01000000", "1"), ("1.00500000", "2")])
    assert grid.prices_off(1_000_000) == (["1.00500000"], 2)


@pytest.mark.parametrize("derives_steps", [True, False])
def test_what_no_reader_takes_is_refused(derives_steps):
    """A price or a quantity of 10¹¹ or more, and a trade of nothing."""
    grid = Grid(derives_steps=derives_steps)
    grid.check([("99999999999.00000000", "0.00000000")])
    for price, qty in (("100000000000.00000000", "1.00000000"), ("1.0", "9" * 30), ("1.0", "100000000000.00000000")):
        with pytest.raises(OffGrid, match="too large"):
            grid.check([(price, qty)])
        with pytest.raises(OffGrid, match="too large"):
            grid.check_one(price, qty)
    with pytest.raises(OffGrid, match="never sends"):
        grid.check_one("1.0", "0.0")


@pytest.mark.parametrize(("tick_e8", "messages", "times"), [(10**4, 100, 50), (10**5, 100, 5), (5 * 10**5, 100, 0)])
def test_a_tick_finer_than_the_market_is_warned_of(tick_e8, messages, times):
    """It lets quotes rest where the market cannot; few messages show nothing, nor does a tick that is not given."""
    grid = Grid()
    grid.check([("100.00500000", "1.00000000"), ("100.01000000", "1.00000000"), ("99.99500000", "1.00000000")])
    warnings = grid.too_fine(tick_e8, messages)
    assert len(warnings) == (times > 0)
    assert all(f"a multiple of 0.005, {times} times tick size" in one for one in warnings)
    assert grid.too_fine(tick_e8, messages - 1) == grid.too_fine(0, messages) == []
    assert grid.too_fine(3 * 10**5, messages) == []  # off the grid, which is refused or reported elsewhere
