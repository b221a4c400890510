"""Sources with units of their own: contracts, and prices finer than eight places."""

from decimal import Decimal

import pytest
from foreign_days import START_US, PlainMarket, books_of, imported, write_csv, write_hftbacktest, write_tardis
from test_table import one_csv, table

from mm.errors import BrokenFile, UsageError
from mm.formats.registry import FORMATS, form_of

TICK, STEP = Decimal("0.0000000000005"), Decimal(1000)
SCALE = "1000000"
WRITTEN = {
    "table": one_csv,
    "tardis": lambda folder, market: (write_tardis(folder, market), None),
    "hftbacktest": lambda folder, market: ([write_hftbacktest(folder / "a.npz", market)], None),
}


def fine():
    """A market of prices near 0.000000005, and the books and trades of it in units of a million."""
    market = PlainMarket(3, prices=(TICK, STEP))
    scale = Decimal(SCALE)
    books = {
        us: tuple({price * scale: qty / scale for price, qty in side.items()} for side in book)
        for us, book in market.books.items()
    }
    return market, books, [(us, side, price * scale, qty / scale) for us, side, price, qty in market.trades]


@pytest.mark.parametrize("form", WRITTEN)
def test_prices_finer_than_eight_places_are_scaled_with_their_quantities(tmp_path, form):
    """Price times quantity stays what it was."""
    market, books, trades = fine()
    paths, columns = WRITTEN[form](tmp_path, market)
    report = imported(
        form,
        paths,
        tmp_path / "d",
        columns=columns,
        units={"price_scale": SCALE},
        tick_size="0.0000005",
        qty_step="0.001",
    )
    assert books_of(report.days[0].path) == (books, trades)
    assert any("1,000,000" in text for text in report.read_as)


@pytest.mark.parametrize("form", WRITTEN)
def test_fine_prices_without_a_scale_are_refused_with_one_that_fits(tmp_path, form):
    market, _, _ = fine()
    paths, columns = WRITTEN[form](tmp_path, market)
    with pytest.raises(BrokenFile, match=f"price_scale {SCALE}"):
        imported(form, paths, tmp_path / "d", columns=columns, tick_size=None, qty_step=None)


@pytest.mark.parametrize("form", [name for name in FORMATS if not FORMATS[name].counts] + ["raw", "bitstamp"])
def test_forms_of_fixed_precision_have_no_scale(form):
    with pytest.raises(UsageError, match="price_scale"):
        form_of(form, price_scale="1000")


def test_contracts_of_whole_books_are_multiplied_once(tmp_path):
    """Whole books after the first are read as changes, too."""
    books = [(START_US + n * 1_000_000, 99, 5 + n, 101, 7 + n) for n in range(4)]
    head = ("time", "bid_price_1", "bid_size_1", "ask_price_1", "ask_size_1")
    report = table([write_csv(tmp_path / "b.csv", head, books)], tmp_path / "d", units={"contract_size": "0.1"})
    found, _ = books_of(report.days[0].path)
    expected = [({Decimal(99): Decimal(5 + n) / 10}, {Decimal(101): Decimal(7 + n) / 10}) for n in range(4)]
    assert [found[START_US + n * 1_000_000] for n in range(4)] == expected
