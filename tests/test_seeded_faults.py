"""The seeded faults can be seeded: their texts stand in the sources, and their tests exist."""

import sys

import pytest

from support import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from seeded_faults import FAULTS, mutated


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.path)
def test_fault_is_of_a_line_that_is_there(fault):
    assert mutated(fault)
    assert [name for name in fault.tests.split() if name != "slow" and not (ROOT / name).exists()] == []
