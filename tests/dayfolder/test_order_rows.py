"""The file of an order log: what is written is read again."""

from mm.dayfolder.order_rows import write_rows
from mm.sim.matching.order_log import read_log

ROWS = [(1_000_000, 4, 7, 0, 0, 1, 99, 5, 0, 0), (1_000_000, 3, 7, 0, 0, 1, 99, 5, 0, 1)]


def test_rows_come_back_and_the_bytes_are_the_same(tmp_path):
    for name in ("a.csv.gz", "b.csv.gz"):
        write_rows(tmp_path / name, ROWS)
    assert list(read_log(tmp_path / "a.csv.gz")) == ROWS
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
