"""Windows that a signal cannot have are refused by name."""

import pytest

from engine_tapes import TEST
from mm import Tape
from mm.errors import UsageError
from mm.signals.compute import live


@pytest.mark.parametrize("name", ["bipower_1s", "bipower_1500ms", "bipower_0s"])
def test_bipower_needs_two_whole_seconds(name):
    """Its products are of consecutive moves, a second each: of one there is none."""
    tape = Tape.of(TEST, [(0, "snapshot", [(99, 5)], [(101, 5)]), (1, "depth", [(99, 7)], [])])
    with pytest.raises(UsageError):
        list(live(tape, [name]))
