"""Text files that users write: their encoding, and characters that editors and web pages put in unseen."""

import re
import unicodedata
from pathlib import Path

# Byte order mark, no-break and zero-width spaces, typographic dashes and quotes.
_UNTYPED = re.compile("[\ufeff\u00a0\u2007\u202f\u200b-\u200d\u2060\u2010-\u2015\u2212\u2018-\u201f\u00ab\u00bb]")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path) -> str:
    """Read UTF-8 text with or without a byte order mark; OSError, or ValueError for another encoding."""
    data = path.read_bytes()
    if data[:2] in _UTF_16 or b"\0" in data[:2]:
        raise ValueError("it is UTF-16; save it as UTF-8")
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def untyped(text: str) -> str | None:
    """Name the first character of *text* that no keyboard types, such as a typographic quote."""
    found = _UNTYPED.search(text)
    if found is None:
        return None
    return f"U+{ord(found[0]):04X} ({unicodedata.name(found[0]).lower()})"
