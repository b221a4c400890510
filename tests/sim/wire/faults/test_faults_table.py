"""The tests of faults are complete, and the example of the documentation is valid."""

import re

import test_answer_faults
import test_message_faults
import test_request_faults
import test_topic_faults
import test_user_faults
import test_wire_connections

from mm.sim.wire.faults.script import read_script
from mm.sim.wire.faults.table import FAULTS
from support import ROOT

PAGE = (ROOT / "docs" / "specification" / "exchange.md").read_text(encoding="utf-8")
MODULES = (
    test_message_faults,
    test_topic_faults,
    test_wire_connections,
    test_answer_faults,
    test_request_faults,
    test_user_faults,
)
TESTED = [name for module in MODULES for name in module.CASES]


def test_every_fault_has_a_test_case() -> None:
    """Each is tested with a client."""
    assert sorted(TESTED) == sorted(FAULTS)


def test_example_script_of_the_docs_is_valid() -> None:
    """Readers copy it."""
    scripts = re.findall(r"```text\n(#.*?)```", PAGE, re.DOTALL)
    assert sum(len(read_script(script)) for script in scripts) >= 5
