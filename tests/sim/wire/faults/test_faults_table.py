"""The page of faults and the tests of faults are complete: no fault without a row, a case, and the truth in both."""

import re

import pytest
import test_answer_faults
import test_message_faults
import test_request_faults
import test_user_faults
import test_wire_connections

from mm.sim.wire.faults.script import read_script
from mm.sim.wire.faults.table import FAULTS
from support import ROOT

PAGE = (ROOT / "docs" / "exchange.md").read_text(encoding="utf-8")
MODULES = (test_message_faults, test_wire_connections, test_answer_faults, test_request_faults, test_user_faults)
SEEN = [name for module in MODULES for name in module.CASES]


def row(name: str) -> str:
    """Return a fault's row: its name, its parameters with their defaults, and the first words of its docstring."""
    kind = FAULTS[name]
    texts = [key if one.default in (None, "") else f"{key}={one.default}" for key, one in kind.parameters.items()]
    parameters = " ".join(f"`{one}`" for one in texts)
    text = " ".join(kind.help.split()).replace("``", "`")
    return f"| `{name}` | {parameters} | {text} |".replace("|  |", "| |")


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_its_row(name: str) -> None:
    """What a script may say is on the page, with the defaults that hold."""
    assert row(name) in PAGE


def test_every_fault_has_its_case() -> None:
    """A row is a promise; each is kept before a client's eyes."""
    assert sorted(SEEN) == sorted(FAULTS)


def test_the_page_names_no_other_fault() -> None:
    """A fault that was renamed does not live on in the table."""
    section = PAGE[PAGE.index("## Faults and truth") :]
    assert set(re.findall(r"^\| `(\w+)` \| ", section, re.MULTILINE)) == set(FAULTS)


def test_the_script_on_the_page_can_be_read() -> None:
    """What a reader copies plays."""
    section = PAGE[PAGE.index("## Faults and truth") :]
    scripts = re.findall(r"```text\n(#.*?)```", section, re.DOTALL)
    assert sum(len(read_script(script)) for script in scripts) >= 5
