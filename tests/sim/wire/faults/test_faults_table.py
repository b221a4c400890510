"""The documentation and the tests of faults are complete: every fault has a row and a case."""

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
TESTED = [name for module in MODULES for name in module.CASES]


def row(name: str) -> str:
    """Return a fault's row: its name, its parameters with their defaults, and its docstring."""
    kind = FAULTS[name]
    texts = [key if one.default in (None, "") else f"{key}={one.default}" for key, one in kind.parameters.items()]
    parameters = " ".join(f"`{one}`" for one in texts)
    text = " ".join(kind.help.split()).replace("``", "`")
    return f"| `{name}` | {parameters} | {text} |".replace("|  |", "| |")


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_row_in_the_docs(name: str) -> None:
    """With its parameters and their defaults."""
    assert row(name) in PAGE


def test_every_fault_has_a_test_case() -> None:
    """Each is tested with a client."""
    assert sorted(TESTED) == sorted(FAULTS)


def test_docs_list_no_unknown_fault() -> None:
    """A renamed fault must not remain in the table."""
    section = PAGE[PAGE.index("## Faults and truth") :]
    assert set(re.findall(r"^\| `(\w+)` \| ", section, re.MULTILINE)) == set(FAULTS)


def test_example_script_of_the_docs_is_valid() -> None:
    """Readers copy it."""
    section = PAGE[PAGE.index("## Faults and truth") :]
    scripts = re.findall(r"```text\n(#.*?)```", section, re.DOTALL)
    assert sum(len(read_script(script)) for script in scripts) >= 5
