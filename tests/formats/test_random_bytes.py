"""Whatever bytes a file holds, each importer reads it or refuses it by its name, and a refusal leaves nothing."""

import gzip
import io
import random
import zipfile

import pytest

from captured import import_files
from mm.errors import DataError
from mm.formats.registry import NAMES

HEAD = b"exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
ROWS = HEAD + b"x,SIMUSDT,1700000000000000,1700000000000000,true,bid,1.2,5\n" * 300
FILES = ("a.csv.gz", "a.npz", "a.parquet", "SIMUSDT_2024-03-05_34200000_57600000_message_10.csv")
FILES += ("SIMUSDT-trades-2024-03-05.zip", "SIMUSDT-bookTicker-2024-03-05.csv")


def contents(seed):
    """Yield random bytes behind the beginnings of formats, and files that were cut, changed or packed twice."""
    rng = random.Random(seed)
    noise, packed = rng.randbytes(2_000), gzip.compress(ROWS)
    for magic in (b"", b"\x1f\x8b", b"\x1f\x8b\x08\0", b"PK\3\4", b"\x28\xb5\x2f\xfd", b"\x93NUMPY\1\0", b"PAR1", HEAD):
        yield magic
        yield magic + noise
    yield gzip.compress(noise)
    yield gzip.compress(packed)
    yield packed + noise
    yield packed[: rng.randrange(1, len(packed))]
    changed = bytearray(packed)
    changed[rng.randrange(10, len(packed))] ^= 1 << rng.randrange(8)
    yield bytes(changed)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.csv", ROWS)
    yield archive.getvalue()[: rng.randrange(4, 900)]
    yield ROWS.decode().encode("utf-16")
    yield b"\0" * 5_000
    yield b"1700000000000000 " + b"[" * 100_000


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("form", NAMES)
def test_any_bytes_are_read_or_refused_by_name(tmp_path, form, seed):
    columns = {} if form == "table" else None
    for at, content in enumerate(contents(seed)):
        path = tmp_path / FILES[at % len(FILES)]
        path.write_bytes(content)
        said = ""
        try:
            import_files([path], tmp_path / f"d{at}", form=form, columns=columns)
        except DataError as error:
            said = str(error)
        assert not said or (path.name in said and not (tmp_path / f"d{at}").exists())


@pytest.mark.parametrize("end", ["\r", ",'[\r\r"])
@pytest.mark.parametrize("form", ["databento", "table", "tardis"])
def test_a_line_that_is_no_csv_is_refused_with_its_row(tmp_path, form, end):
    path = tmp_path / "a.csv"
    path.write_bytes(f'time,side,price{end}x,"a,b"\n1,2,3\n'.encode())
    with pytest.raises(DataError, match=r"a\.csv:1"):
        import_files([path], tmp_path / "d", form=form, columns={} if form == "table" else None)
