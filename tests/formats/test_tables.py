"""CSV files read in blocks: row numbers, compression, and decimals with an exponent."""

import gzip
import random
from decimal import Decimal

import pytest

from mm.errors import BrokenFile
from mm.formats import tables
from mm.formats.tables import CsvTable, one_of, plain_decimal, whole_numbers
from mm.market_data.captures import FilePlace


@pytest.mark.parametrize("headed", [True, False])
def test_row_numbers_continue_over_blocks(tmp_path, monkeypatch, headed):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 100)
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" * headed + "".join(f"{n},{n * n}\n" for n in range(1, 500)))
    done = []
    table = CsvTable(path, done.append, None if headed else ("a", "b"))
    rows = []
    for block in table:
        numbers = whole_numbers(block, "a", FilePlace(path))
        rows += zip(range(block.first_row, block.first_row + len(numbers)), numbers, strict=True)
    assert rows == [(n + headed, n) for n in range(1, 500)]
    assert done[-1] == path.stat().st_size
    assert table.columns == ("a", "b")


def test_invalid_cell_raises_with_its_row(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,x\n2,y\nthree,x\n")
    (block,) = CsvTable(path)
    with pytest.raises(BrokenFile, match=r"x\.csv:4: a is 'three', not a whole number; "):
        whole_numbers(block, "a", FilePlace(path))
    with pytest.raises(BrokenFile, match=r"x\.csv:3: b is 'y', not x; "):
        one_of(block, "b", {"x": 1}, FilePlace(path))


@pytest.mark.parametrize("row", ["2,3,4", "2"])
def test_row_of_another_width_raises_with_its_number(tmp_path, row):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(f"a,b\n1,2\n{row}\n4,5\n".encode()))
    with pytest.raises(BrokenFile, match=rf"x\.csv\.gz:3: {row.count(',') + 1} cells for 2 columns; "):
        list(CsvTable(path))


@pytest.mark.parametrize(
    "text",
    ["\ufeffa,b\n1,x\n2,y\n", '"a","b"\n"1","x"\n2,y\n', "\ufeffa,b\r\n1,x\r\n2,y\r\n"],
    ids=["byte order mark", "quotes", "from a spreadsheet"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_marks_of_other_programs_are_no_text(tmp_path, text, packed):
    """Spreadsheets write a byte order mark, libraries quote each word."""
    path = tmp_path / "x.csv"
    data = text.encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    table = CsvTable(path)
    assert table.columns == ("a", "b")
    assert [block.cells.rows() for block in table] == [[("1", "x"), ("2", "y")]]


@pytest.mark.parametrize(("head", "problem"), [("a,b,a", "'a' stands twice"), ("a;b;c", "separated by ';'")])
def test_header_that_cannot_be_told_apart_is_refused(tmp_path, head, problem):
    """Which of two columns of a name is meant, only its writer knows."""
    path = tmp_path / "x.csv"
    path.write_text(f"{head}\n1,2,3\n")
    with pytest.raises(BrokenFile, match=problem):
        CsvTable(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(BrokenFile, match=r"none\.csv: cannot be read \(No such file"):
        CsvTable(tmp_path / "none.csv")


@pytest.mark.parametrize("text", ["1.2e-7", "1e2", "-3.5E+1", "12e0", "0.001e3", "9e-9", "1.5", "7", "x", "1e999999"])
def test_exponent_is_expanded(text):
    plain = plain_decimal(text)
    if text in ("x", "1e999999"):
        assert plain == text
    else:
        assert "e" not in plain.lower()
        assert Decimal(plain) == Decimal(text)


@pytest.mark.parametrize("begin", [b"", b"\n"])
@pytest.mark.parametrize(("name", "packing"), [("book.csv.gz", "gzip"), ("book.zip", "zip"), ("book.csv.zst", "zstd")])
def test_random_bytes_are_no_table_with_other_separators(tmp_path, name, packing, begin):
    """A tab or an end of line among random bytes says nothing; the name promised a packing."""
    path = tmp_path / name
    path.write_bytes(begin + random.Random(5).randbytes(200).replace(b"\n", b"x") + b"\t\n")
    with pytest.raises(BrokenFile, match=f"is no text, nor {packing}, as its name says"):
        CsvTable(path)
