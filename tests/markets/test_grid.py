import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import OffGrid
from mm.markets import grid as grid_module
from mm.markets.grid import Grid


def test_texts_become_integers_and_their_steps_are_tracked():
    """The largest step of all prices is the estimate of an unknown tick size."""
    grid = Grid()
    grid.check([("1.25000000", "0.30000000"), ("1.24500000", "0.00000000"), ("1.2", "1")])
    assert (grid.price("1.25"), grid.qty("0.3")) == (125_000_000, 30_000_000)
    assert (grid.seen_tick_e8, grid.seen_step_e8) == (500_000, 10_000_000)


@pytest.mark.parametrize("price", ["0", "0.000", "-1", "abc", "1e5", "", "1.123456789"])
def test_invalid_price_raises_off_grid_each_time(price):
    """An invalid text is not cached as valid."""
    grid = Grid()
    for _ in range(2):
        with pytest.raises(OffGrid):
            grid.price(price)


def test_quantity_may_be_zero_but_not_negative():
    """Zero removes a level."""
    grid = Grid()
    assert grid.qty("0.00000000") == 0
    with pytest.raises(OffGrid, match="negative"):
        grid.qty("-1")


@pytest.mark.parametrize("derives_steps", [True, False])
def test_negative_zero_raises_off_grid(derives_steps):
    """``-0`` would be an empty level in the book."""
    grid = Grid(derives_steps=derives_steps)
    for qty in ("-0", "-0.00000000"):
        with pytest.raises(OffGrid, match="negative"):
            grid.check([("1.00000000", qty)])
        with pytest.raises(OffGrid, match="negative"):
            grid.check_one("1.00000000", qty)


def test_memory_of_texts_is_bounded(monkeypatch):
    """Millions of different texts do not fill the cache, and the steps are kept."""
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
def test_recorder_and_import_reject_the_same_quantities(texts):
    """Only an import derives steps of quantities; both modes reject the same texts."""
    levels = [("1.00000000", text) for text in texts]
    refused = []
    for grid in (Grid(), Grid(derives_steps=False)):
        try:
            grid.check(levels)
        except OffGrid:
            refused.append(grid)
    assert len(refused) in (0, 2)


@pytest.mark.parametrize("derives_steps", [True, False])
def test_off_grid_values_are_reported_once(derives_steps):
    """All earlier values are multiples of the reported steps; values on these steps are not reported again."""
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


def test_older_grid_stays_valid_for_the_day():
    """Orders stay on the grid of their time; the next day begins with the exchange's current grid alone."""
    grid = Grid()
    grid.use(1_000_000, 1)
    grid.check([("1.01000000", "1.00000000")])
    grid.use(10_000_000, 1)
    assert not grid.off
    grid.next_day()
    assert (grid.off, grid.report()) == (True, {"tick_size": "0.01"})


def test_prices_off_a_given_tick_are_counted():
    """An import rejects a tick size if many prices are off it."""
    grid = Grid()
    grid.check([("1.00500000", "1"), ("1.01000000", "1"), ("1.00500000", "2")])
    assert grid.prices_off(1_000_000) == (["1.00500000"], 2)


@pytest.mark.parametrize("derives_steps", [True, False])
def test_unreadably_large_or_empty_values_raise_off_grid(derives_steps):
    """A price or a quantity of 10¹¹ or more, and a trade with quantity zero."""
    grid = Grid(derives_steps=derives_steps)
    grid.check([("99999999999.00000000", "0.00000000")])
    for price, qty in (("100000000000.00000000", "1.00000000"), ("1.0", "9" * 30), ("1.0", "100000000000.00000000")):
        with pytest.raises(OffGrid, match="too large"):
            grid.check([(price, qty)])
        with pytest.raises(OffGrid, match="too large"):
            grid.check_one(price, qty)
    with pytest.raises(OffGrid, match="which is not valid"):
        grid.check_one("1.0", "0.0")


@pytest.mark.parametrize(("tick_e8", "messages", "times"), [(10**4, 100, 50), (10**5, 100, 5), (5 * 10**5, 100, 0)])
def test_tick_finer_than_the_market_is_warned_of(tick_e8, messages, times):
    """Such a tick allows quotes at impossible prices; there is no warning for few messages or without a given tick."""
    grid = Grid()
    grid.check([("100.00500000", "1.00000000"), ("100.01000000", "1.00000000"), ("99.99500000", "1.00000000")])
    warnings = grid.too_fine(tick_e8, messages)
    assert len(warnings) == (times > 0)
    assert all(f"a multiple of 0.005, {times} times tick size" in warning for warning in warnings)
    assert grid.too_fine(tick_e8, messages - 1) == grid.too_fine(0, messages) == []
    assert grid.too_fine(3 * 10**5, messages) == []  # off the grid, which is refused or reported elsewhere
