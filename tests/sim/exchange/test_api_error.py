"""The exchange's errors: codes as documented in docs/specification/exchange.md."""

import re
from collections.abc import Iterable
from pathlib import Path

from mm.sim.exchange import api_error
from mm.sim.exchange.api_error import ApiError
from support import ROOT

SOURCES = sorted((ROOT / "mm" / "sim").rglob("*.py"))
USDM = [path for path in SOURCES if "usdm" in path.parts]
MARGIN = sorted((ROOT / "mm" / "margin").rglob("*.py"))
PAGE = (ROOT / "docs" / "specification" / "exchange.md").read_text(encoding="utf-8")


def raised(paths: Iterable[Path]) -> set[int]:
    """Return the codes that modules raise."""
    return {
        int(code) for path in paths for code in re.findall(r"(?:ApiError\(\s*|\},\s+)(-\d{4})", path.read_text("utf-8"))
    }


def listed(begin: str, end: str) -> set[int]:
    """Return the codes in the first column of the tables between two headings."""
    rows = re.findall(r"^\| (−.*?) \|", PAGE[PAGE.index(begin) : PAGE.index(end)], re.MULTILINE)
    return {-int(code) for row in rows for code in re.findall(r"−(\d+)", row)}


def test_docs_page_lists_the_raised_error_codes() -> None:
    """Authors of clients look a code up there."""
    assert raised(set(SOURCES) - set(USDM)) <= listed("### Errors", "### Events of users")


def test_docs_page_lists_the_error_codes_that_only_contracts_have() -> None:
    """Some numbers mean another thing there, so that they have a table of their own."""
    own = listed("### Errors of contracts", "## The trading interface")
    of_margin = {int(code) for path in MARGIN for code in re.findall(r"[=,] (-\d{4})\b", path.read_text("utf-8"))}
    assert own <= raised(USDM) | of_margin <= own | listed("### Errors", "### Events of users")


def test_api_error_content_has_code_and_msg() -> None:
    """And further fields, if it has some."""
    error = ApiError(-2021, "Order cancel-replace partially failed.", api_error.CONFLICT, data={"cancelResult": "x"})
    assert error.content() == {"code": -2021, "msg": error.msg, "data": {"cancelResult": "x"}}
    assert str(error) == "-2021: Order cancel-replace partially failed."


def test_missing_parameter_message_contains_its_name() -> None:
    """The message contains the parameter to send."""
    assert api_error.mandatory("price").msg == "Mandatory parameter 'price' was not sent, was empty/null, or malformed."
    assert api_error.one_of_two("a", "b").msg == "Param 'a' or 'b' must be sent, but both were empty/null!"
