"""Changes that the hash chain of an audit log detects, by row, and changes that only other files reveal."""

import hashlib
import json
import re
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.base.audit_chain import ZEROS, ChainVerdict, Witness, body, end_of, read_rows, seal, verify_lines, whole_row
from mm.errors import BrokenFile, DataError


def chain(rows: list[dict], prev: str = ZEROS, first: int = 1) -> list[bytes]:
    """Return the lines of a log of *rows*, computed from the description of the format alone."""
    lines = []
    for seq, row in enumerate(rows, first):
        text = json.dumps(
            {"seq": seq, "us": 1_000 + seq, "type": row["type"], **row, "prev": prev}, separators=(",", ":")
        )
        prev = hashlib.sha256((prev + text).encode()).hexdigest()
        lines.append(f'{text[:-1]},"hash":"{prev}"}}\n'.encode())
    return lines


def hash_of(line: bytes) -> str:
    return json.loads(line)["hash"]


MIDDLE = st.fixed_dictionaries(
    {
        "type": st.sampled_from(("intent", "ack", "fill", "cancel", "reject", "breach", "params")),
        "client_id": st.text(max_size=6),
        "price": st.integers(1, 10**9).map(str),
    }
)
LOGS = st.lists(MIDDLE, min_size=2, max_size=7).map(
    lambda rows: chain([{"type": "start", "symbol": "BTCUSDT"}, *rows, {"type": "stop"}])
)
PLACE = st.integers(0, 10**9)


def first_bad_row(lines: list[bytes], **more: object) -> int | None:
    return verify_lines(lines, **more).row  # type: ignore[arg-type]


@given(LOGS)
def test_unchanged_log_is_accepted(lines: list[bytes]) -> None:
    """The lines are computed with json and hashlib from the format's description."""
    found = verify_lines(lines)
    assert (found.row, found.why, found.rows, found.last_hash) == (None, "", len(lines), hash_of(lines[-1]))
    assert found.stopped
    assert found.first["symbol"] == "BTCUSDT"


@given(st.lists(MIDDLE, min_size=1, max_size=4))
def test_written_lines_match_format_description(rows: list[dict]) -> None:
    """Compact ASCII JSON with the hash at the end."""
    prev, lines = ZEROS.encode(), []
    for seq, row in enumerate(rows, 1):
        fields = {name: value for name, value in row.items() if name != "type"}
        line, prev = seal(body(seq, 1_000 + seq, row["type"], fields), prev)
        lines.append(line)
    plain = [{k: v for k, v in json.loads(line).items() if k not in ("prev", "hash")} for line in lines]
    assert plain == [{"seq": seq, "us": 1_000 + seq, **row} for seq, row in enumerate(rows, 1)]
    for line in lines:
        found = json.loads(line)
        text = re.sub(rb',"hash":"[0-9a-f]{64}"}\n$', b"}", line)
        assert hashlib.sha256(found["prev"].encode() + text).hexdigest() == found["hash"]
        assert line.isascii()
        assert list(found)[-2:] == ["prev", "hash"]


@given(LOGS, PLACE, st.integers(1, 255))
def test_flipped_byte_is_reported_by_row(lines: list[bytes], place: int, mask: int) -> None:
    """In a value, a hash, a number or a line end."""
    data = bytearray(b"".join(lines))
    at = place % len(data)
    data[at] ^= mask
    row = b"".join(lines)[:at].count(b"\n") + 1
    assert verify_lines(BytesIO(data)).row == row


@given(LOGS, PLACE, st.binary(max_size=1))
def test_inserted_or_removed_byte_is_reported_by_row(lines: list[bytes], place: int, more: bytes) -> None:
    """An empty *more* removes a byte."""
    data = b"".join(lines)
    at = place % len(data)
    changed = data[:at] + more + data[at:] if more else data[:at] + data[at + 1 :]
    row = data[:at].count(b"\n") + 1
    expected = row + 1 if more == b"\n" == data[at : at + 1] else row  # an empty line after the row
    assert verify_lines(BytesIO(changed)).row == expected


@given(LOGS, PLACE, PLACE)
def test_removed_rows_are_reported_by_the_first(lines: list[bytes], place: int, count: int) -> None:
    """Also at the end, where the stop is missing."""
    first = place % len(lines)
    last = first + 1 + count % (len(lines) - first)
    assert first_bad_row(lines[:first] + lines[last:]) == first + 1


@given(LOGS, PLACE, PLACE)
def test_duplicated_row_is_reported_at_the_copy(lines: list[bytes], place: int, other: int) -> None:
    """A copy directly before its original equals it, so that the original is reported."""
    row, before = place % len(lines), other % (len(lines) + 1)
    changed = [*lines[:before], lines[row], *lines[before:]]
    assert first_bad_row(changed) == (before + 2 if before == row else before + 1)


@given(LOGS, PLACE, PLACE)
def test_swapped_rows_are_reported_by_the_first(lines: list[bytes], place: int, other: int) -> None:
    """With any rows between them."""
    first, second = sorted((place % len(lines), other % len(lines)))
    changed = list(lines)
    changed[first], changed[second] = lines[second], lines[first]
    assert first_bad_row(changed) == (None if first == second else first + 1)


@given(LOGS, PLACE, PLACE)
def test_moved_row_is_reported_at_first_differing_row(lines: list[bytes], place: int, other: int) -> None:
    """Moved forwards or backwards."""
    source, target = place % len(lines), other % len(lines)
    changed = lines[:source] + lines[source + 1 :]
    changed.insert(target, lines[source])
    first = next((i for i, (a, b) in enumerate(zip(changed, lines, strict=True)) if a != b), None)
    assert first_bad_row(changed) == (None if first is None else first + 1)


@given(LOGS, PLACE, st.lists(MIDDLE, min_size=1, max_size=3))
def test_inserted_forged_rows_are_reported_by_the_first(lines: list[bytes], place: int, rows: list[dict]) -> None:
    """Their numbers and hashes follow from the row before; the row after them does not."""
    before = 1 + place % len(lines)
    forged = chain([rows[0] | {"forged": 1}, *rows[1:]], hash_of(lines[before - 1]), before + 1)
    assert first_bad_row(lines[:before] + forged + lines[before:]) == before + 1


@given(LOGS, PLACE, MIDDLE)
def test_replaced_row_with_valid_hash_is_reported(lines: list[bytes], place: int, row: dict) -> None:
    """The next row follows from the original."""
    at = 1 + place % (len(lines) - 2)
    prev = json.loads(lines[at])["prev"]
    forged = chain([row | {"forged": 1}], prev, at + 1)
    assert first_bad_row(lines[:at] + forged + lines[at + 1 :]) == at + 1


@given(LOGS, PLACE)
def test_recomputed_suffix_is_detected_only_by_witness(lines: list[bytes], place: int) -> None:
    """The file alone cannot reveal it: hence each log contains the ends of the earlier ones."""
    at = 1 + place % (len(lines) - 2)
    rows = [json.loads(line) for line in lines[at:]]
    rows = [{k: v for k, v in row.items() if k not in ("seq", "us", "prev", "hash")} for row in rows]
    rows[0] |= {"forged": 1}
    forged = lines[:at] + chain(rows, hash_of(lines[at - 1]), at + 1)
    assert first_bad_row(forged) is None
    witness = Witness("a", len(lines), hash_of(lines[-1]), "b")
    assert first_bad_row(lines, witnesses=[witness]) is None
    assert first_bad_row(forged, witnesses=[witness]) == len(lines)


@given(LOGS, PLACE)
def test_truncated_open_log_is_detected_only_by_witness(lines: list[bytes], place: int) -> None:
    """The log of a killed run may otherwise end anywhere."""
    left = 1 + place % (len(lines) - 1)
    witness = Witness("a", len(lines), hash_of(lines[-1]), "b")
    assert first_bad_row(lines[:left], open_end=True) is None
    assert first_bad_row(lines[:left], open_end=True, witnesses=[witness]) == left + 1


@given(LOGS, PLACE)
def test_open_log_may_end_inside_a_row(lines: list[bytes], place: int) -> None:
    """A kill leaves such a log; without --open the missing row is reported."""
    data = b"".join(lines[:-1])
    cut = data[: len(lines[0]) + place % (len(data) - len(lines[0]))]
    whole = cut.count(b"\n")
    found = verify_lines(BytesIO(cut), open_end=True)
    assert (found.row, found.rows, found.torn_bytes) == (None, whole, len(cut) - cut.rfind(b"\n") - 1)
    assert verify_lines(BytesIO(cut)).row == whole + 1


def test_rows_added_after_witnessed_end_are_detected() -> None:
    """An open log can be extended, but not past the end that the next log has recorded."""
    lines = chain([{"type": "start"}, {"type": "intent"}, {"type": "ack"}])
    witness = Witness("a", 2, hash_of(lines[1]), "b")
    assert verify_lines(lines, open_end=True, witnesses=[witness]).row == 3


@pytest.mark.parametrize(("data", "row"), [(b"", 1), (b"\n", 1), (b"{}\n", 1), (b"\xff\xfe\n", 1)])
def test_file_that_is_no_log_is_reported_at_row_1(data: bytes, row: int) -> None:
    """An empty file is a log without its first row."""
    assert verify_lines(BytesIO(data)).row == row
    assert verify_lines(BytesIO(data), open_end=True).row == (row if data else None)


def test_empty_open_log_is_valid_without_witness_of_its_rows() -> None:
    """A kill can come between the creation of the file and row 1."""
    assert verify_lines(BytesIO(b""), open_end=True).row is None
    lines = chain([{"type": "start"}, {"type": "intent"}])
    witness = Witness("a", 2, hash_of(lines[1]), "b")
    assert verify_lines(BytesIO(b""), open_end=True, witnesses=[witness]).row == 1


def test_log_has_one_start_and_one_stop() -> None:
    """They are its first and its last row."""
    assert first_bad_row(chain([{"type": "intent"}, {"type": "stop"}])) == 1
    assert first_bad_row(chain([{"type": "start"}, {"type": "start"}, {"type": "stop"}])) == 2
    assert first_bad_row(chain([{"type": "start"}, {"type": "stop"}, {"type": "stop"}])) == 3


@pytest.mark.parametrize("length", [0, 1, 2, 200_000])
def test_end_of_returns_last_complete_row(tmp_path, length: int) -> None:
    """For rows of any length; a torn last line is ignored."""
    path = tmp_path / "a.ndjson"
    lines = chain([{"type": "start", "text": "x" * length}, {"type": "intent", "text": "y" * length}])
    path.write_bytes(b"".join(lines))
    assert end_of(path) == Witness("a.ndjson", 2, hash_of(lines[1]))
    path.write_bytes(b"".join(lines)[:-1])
    assert end_of(path) == Witness("a.ndjson", 1, hash_of(lines[0]))
    path.write_bytes(lines[0][:-1])
    assert end_of(path) == Witness("a.ndjson", 0, ZEROS)


def test_end_of_raises_for_file_that_is_no_log(tmp_path) -> None:
    """The error names the file and the command to run."""
    (tmp_path / "a.ndjson").write_bytes(b"hello\n")
    with pytest.raises(BrokenFile, match=r"a\.ndjson: the last line is not a row .* mm audit verify"):
        end_of(tmp_path / "a.ndjson")
    with pytest.raises(DataError, match="cannot be read"):
        end_of(tmp_path / "b.ndjson")


def test_read_rows_starts_after_given_row(tmp_path) -> None:
    """Row numbers must match line numbers; a torn last line is ignored."""
    path = tmp_path / "a.ndjson"
    lines = chain([{"type": "start"}, {"type": "intent"}, {"type": "ack"}])
    path.write_bytes(b"".join(lines)[:-1])
    assert [row["seq"] for row in read_rows(path)] == [1, 2]
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(BrokenFile, match="line 2 is not row 2"):
        list(read_rows(path))


def test_verdict_of_broken_log_describes_rows_before_the_break() -> None:
    """It also contains the first row of the log."""
    lines = chain([{"type": "start", "symbol": "A"}, {"type": "ack"}, {"type": "stop"}])
    found = verify_lines([lines[0], lines[2]])
    assert found == ChainVerdict(1, hash_of(lines[0]), 2, found.why, 0, False, json.loads(lines[0]))
    assert "rows were removed" in found.why


def test_hashed_line_of_invalid_json_is_no_row_to_readers() -> None:
    """The chain checks only the form and the hash."""
    text = b'{"seq":1,"us":1,"type":"start","x":,"prev":"%b"}' % ZEROS.encode()
    found = hashlib.sha256(ZEROS.encode() + text).hexdigest().encode()
    line = b'%b,"hash":"%b"}\n' % (text[:-1], found)
    assert verify_lines(BytesIO(line), open_end=True).first == {}
    assert whole_row(line) == {}
