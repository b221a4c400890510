"""Reading of rows, including damaged ones."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm import DayFolder
from mm.dayfolder.rows import Arrival, CheckedLines, DefectList, RowOrder, check_numbers, decimal, integer, table
from mm.errors import OffGrid
from mm.markets.grid import Grid

T = 1_767_600_000_000_000


@pytest.fixture
def folder(tmp_path):
    folder = DayFolder(tmp_path, "A", "20260105")
    folder.path.mkdir(parents=True)
    return folder


def order(folder, name="a.csv", stepping=()):
    findings = DefectList(folder)
    return RowOrder(folder.path / name, findings, folder.day, frozenset({"R1", "R2"}), frozenset(stepping)), findings


@pytest.mark.slow
@given(
    lines=st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=30), cuts=st.integers(1, 5)
)
def test_compressed_and_plain_lines_are_equal(tmp_path_factory, lines, cuts):
    """Lines may span gzip members, and contain any byte but the newline."""
    folder = DayFolder(tmp_path_factory.mktemp("rows"), "A", "20260105")
    folder.path.mkdir(parents=True)
    text = b"".join(line + b"\n" for line in lines)
    step = len(text) // cuts + 1
    (folder.path / "a").write_bytes(text)
    (folder.path / "a.gz").write_bytes(b"".join(gzip.compress(text[n : n + step]) for n in range(0, len(text), step)))
    plain = list(CheckedLines(folder.path / "a", DefectList(folder)))
    assert list(CheckedLines(folder.path / "a.gz", DefectList(folder))) == plain


def test_all_rows_before_torn_member_are_read(folder):
    """A torn member loses only its own rows."""
    path, findings = folder.path / "a.ndjson.gz", DefectList(folder)
    path.write_bytes(gzip.compress(b"1\n2\n") + gzip.compress(b"3\n")[:-9])
    assert list(CheckedLines(path, findings))[:2] == [(1, "1"), (2, "2")]
    assert [defect.kind for defect in findings.defects()] == ["torn_gzip"]


def test_missing_late_columns_are_read_as_empty(folder):
    """Readers work on days of older versions."""
    path, findings = folder.path / "a.csv", DefectList(folder)
    path.write_text("x,y\n1,2\n")
    assert list(table(CheckedLines(path, findings, 0), ("x", "y", "z"), 1, findings)) == [(1, ["1", "2", ""])]
    assert list(table(CheckedLines(path, findings, 0), ("x", "y", "z"), 0, findings)) == []
    assert [defect.message for defect in findings.defects()] == ["the header has 2 columns for 3"]


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "1.0", "１"])
def test_whole_number_consists_of_digits_only(text):
    """Some texts are numbers only for Python."""
    with pytest.raises(ValueError, match="not a whole number"):
        integer(text, "x")


def test_whole_number_is_limited_to_64_bits():
    """The limit is a signed 64-bit number."""
    assert integer(str(2**63 - 1), "x") == 2**63 - 1
    with pytest.raises(ValueError, match="64 bits"):
        integer(str(2**63), "x")


@given(st.text(alphabet="0123456789.-+e ٣", max_size=6))
def test_decimal_accepts_same_texts_as_recorder(text):
    """The check accepts exactly the texts that a recorder accepts, such as ``7.``."""
    try:
        Grid().qty(text)
    except OffGrid:
        with pytest.raises(ValueError, match="not a plain decimal"):
            decimal(text, "qty")
    else:
        assert decimal(text, "qty") == text


def test_clock_may_step_back_after_clock_step_or_new_run(folder):
    """A step back is allowed if the ledger has a clock step, or in a new run."""
    rows = [Arrival(1, "R1", T // 1000, T), Arrival(2, "R1", T // 1000 - 2000, T - 2_000_000)]
    for stepping, kinds in (((), ["clock"]), (("R1",), [])):
        row_order, findings = order(folder, stepping=stepping)
        for row, at in enumerate(rows, 1):
            row_order.check_row(row, at)
        assert [defect.kind for defect in findings.defects()] == kinds
    row_order, findings = order(folder)
    row_order.check_row(1, rows[0])
    row_order.check_row(2, Arrival(2, "R2", T // 1000 - 2000, T - 2_000_000))
    row_order.check_row(3, Arrival(3, "R2", T // 1000 - 2001, T - 2_000_500))
    assert findings.defects() == []


def test_recv_seq_used_by_two_files_is_reported(folder):
    """Three files share one counter; the reported row is that of the second use."""
    (first, findings), (second, _), (third, _) = (order(folder, name) for name in ("a.csv", "b.csv", "c.csv"))
    for row_order, seqs in ((first, (1, 5)), (second, (2, 3)), (third, (4, 5, 6))):
        for row, seq in enumerate(seqs, 1):
            row_order.check_row(row, Arrival(seq, "R1", T // 1000, T))
    check_numbers([first, second, third], findings)
    assert [(defect.file, defect.row, defect.message) for defect in findings.defects()] == [
        ("c.csv", 2, "recv_seq 5 is used in a.csv too")
    ]
