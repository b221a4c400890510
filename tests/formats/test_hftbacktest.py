"""hftbacktest's arrays as day folders: the same book at every time, in both versions."""

import numpy as np
import pytest
from foreign_days import START_US, PlainMarket, books_of, imported, write_hftbacktest

from day_files import defects_of
from mm.errors import BrokenFile, OffGrid

BUY, BOTH = 1 << 29, (1 << 31) | (1 << 30)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_books_and_trades_match_the_file(tmp_path, seed, version):
    market = PlainMarket(seed)
    report = imported("hftbacktest", [write_hftbacktest(tmp_path / "x.npz", market, version)], tmp_path / "data")
    assert [day.day for day in report.days] == ["20240305"]
    books, trades = books_of(report.days[0].path)
    assert books == market.books
    assert trades == market.trades
    assert defects_of(report.days[0].path) == []


def write_changed(path, target, change):
    """Write the file again with its rows changed by *change*."""
    data = np.load(path)["data"]
    np.savez(target, data=change(data))
    return target


@pytest.fixture
def file(tmp_path):
    return write_hftbacktest(tmp_path / "x.npz", PlainMarket(7))


def test_only_local_side_events_are_imported(tmp_path, file):
    """A row of the exchange side alone is ignored."""

    def with_others(data):
        other = data[-3:].copy()
        other["ev"] &= ~np.uint64(1 << 30)
        return np.concatenate((data[:-3], other))

    target = write_changed(file, tmp_path / "y.npz", with_others)
    rows = list(PlainMarket(7).rows())[:-3]
    report = imported("hftbacktest", [target], tmp_path / "data")
    assert report.days[0].last_us == rows[-1][0]


def test_clear_without_a_book_is_a_gap_until_the_next_snapshot(tmp_path, file):
    data = np.load(file)["data"]
    clear, late = data[-1:].copy(), data[data["local_ts"] == START_US * 1000].copy()
    clear["ev"], clear["px"] = 3 | BOTH, 0
    clear["local_ts"] += 1_000_000_000
    late["local_ts"] = clear["local_ts"][0] + 2_000_000_000
    np.savez(tmp_path / "y.npz", data=np.concatenate((data, clear, late)))
    report = imported("hftbacktest", [tmp_path / "y.npz"], tmp_path / "data")
    books, _ = books_of(report.days[0].path)
    *_, ended, last = sorted(books)  # what was lost before the clear is unknown: the book ends with its last message
    assert (ended, books[ended]) == (max(PlainMarket(7).books), None)
    assert books[last] == PlainMarket(7).books[START_US]


def test_clear_up_to_a_price_leaves_the_levels_beyond(tmp_path, file):
    data = np.load(file)["data"]
    bids, _ = PlainMarket(7).books[max(PlainMarket(7).books)]
    second = sorted(bids)[-2]
    clear = data[-1:].copy()
    clear["ev"], clear["px"] = 3 | BUY | BOTH, float(second)
    clear["local_ts"] = data["local_ts"][-1] + 1_000_000
    np.savez(tmp_path / "y.npz", data=np.concatenate((data, clear)))
    report = imported("hftbacktest", [tmp_path / "y.npz"], tmp_path / "data")
    books, _ = books_of(report.days[0].path)
    assert books[max(books)][0] == {price: qty for price, qty in bids.items() if price < second}


def test_snapshot_without_a_time_is_the_book_at_the_start(tmp_path, file):
    def untimed(data):
        data = data.copy()
        first = data["local_ts"] == START_US * 1000
        data["local_ts"][first] = data["exch_ts"][first] = 0
        return data

    target = write_changed(file, tmp_path / "y.npz", untimed)
    report = imported("hftbacktest", [target], tmp_path / "data")
    books = PlainMarket(7).books
    imported_books, _ = books_of(report.days[0].path)
    assert {us: book for us, book in imported_books.items() if us in books} == {
        us: books[us] for us in sorted(books)[1:]
    }


def test_file_without_a_snapshot_builds_its_book_with_a_warning(tmp_path, file):
    target = write_changed(file, tmp_path / "y.npz", lambda data: data[data["local_ts"] > START_US * 1000])
    report = imported("hftbacktest", [target], tmp_path / "data")
    assert report.days[0].synced
    assert any("without earlier orders" in warning for warning in report.warnings)


def test_day_ends_at_utc_midnight_and_the_book_continues(tmp_path):
    market = PlainMarket(3, start_us=1_709_682_900_000_000, gap_us=30_000_000)  # 23:55
    report = imported("hftbacktest", [write_hftbacktest(tmp_path / "x.npz", market)], tmp_path / "data")
    assert [day.day for day in report.days] == ["20240305", "20240306"]
    midnight = 1_709_683_200_000_000
    both = {}
    for day in report.days:
        books, _ = books_of(day.path)
        both |= {us: book for us, book in books.items() if us in market.books}
        assert all((us < midnight) == (day.day == "20240305") for us in books)
        assert defects_of(day.path) == []
    assert both == market.books


BAD_ROWS = {
    "nan price": ("px", np.nan, BrokenFile),
    "negative quantity": ("qty", -1.0, BrokenFile),
    "price of more places than a market has": ("px", 1.000000003, BrokenFile),
    "unknown event": ("ev", 77 | BOTH, BrokenFile),
    "event of single orders": ("ev", 10 | BUY | BOTH, BrokenFile),
    "level without a side": ("ev", 1 | BOTH, BrokenFile),
    "time that goes back": ("local_ts", -3_000_000_000, BrokenFile),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_invalid_row_raises_with_its_number(tmp_path, file, case):
    name, value, error = BAD_ROWS[case]
    row = 40

    def spoil(data):
        data = data.copy()
        data[name][row - 1] = value if value >= 0 else data[name][row - 2] + value
        return data

    target = write_changed(file, tmp_path / "y.npz", spoil)
    with pytest.raises(error, match=rf"y\.npz:{row}: .*; ") as raised:
        imported("hftbacktest", [target], tmp_path / "data")
    assert raised.value.exit_code == 3
    assert not (tmp_path / "data").exists()


def test_rows_without_a_receive_time_among_others_are_counted(tmp_path, file):
    """Only an initial book has none."""

    def spoil(data):
        data = data.copy()
        data["local_ts"][np.flatnonzero((data["ev"] & 0xFF) == 1)[40]] = 0
        return data

    report = imported("hftbacktest", [write_changed(file, tmp_path / "y.npz", spoil)], tmp_path / "data")
    assert any(one.startswith("1 rows have no receive time") for one in report.warnings)


def test_prices_off_the_given_tick_are_rejected(tmp_path, file):
    with pytest.raises(OffGrid, match=r"not multiples of tick size 0\.25"):
        imported("hftbacktest", [file], tmp_path / "data", tick_size="0.25")


@pytest.mark.parametrize("cut", [10, 400, -30])
def test_truncated_npz_is_rejected(tmp_path, file, cut):
    (tmp_path / "y.npz").write_bytes(file.read_bytes()[:cut])
    with pytest.raises(BrokenFile, match=r"y\.npz:1: not a whole .npz or .npy"):
        imported("hftbacktest", [tmp_path / "y.npz"], tmp_path / "data")


def test_truncated_npy_error_names_the_row(tmp_path, file):
    np.save(tmp_path / "y.npy", np.load(file)["data"])
    whole = (tmp_path / "y.npy").read_bytes()
    (tmp_path / "y.npy").write_bytes(whole[:-100])
    rows = len(np.load(file)["data"])
    with pytest.raises(BrokenFile, match=rf"y\.npy:{rows - 1}: the file ends here, its header states {rows} rows"):
        imported("hftbacktest", [tmp_path / "y.npy"], tmp_path / "data")


def test_arrays_of_other_shapes_or_names_are_rejected(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.zeros((4, 3)))
    with pytest.raises(BrokenFile, match=r"a\.npz:1: not events of hftbacktest: shape \(4, 3\)"):
        imported("hftbacktest", [tmp_path / "a.npz"], tmp_path / "data")
    np.savez(tmp_path / "b.npz", one=np.zeros(3), two=np.zeros(3))
    with pytest.raises(BrokenFile, match=r"b\.npz: holds the arrays one.npy, two.npy, and no 'data'"):
        imported("hftbacktest", [tmp_path / "b.npz"], tmp_path / "data")
