"""What the book displayed at a price just before an event."""

import numpy as np
import pytest

from mm.calibration.displayed import Displayed
from mm.instrument import Instrument
from mm.tape.tape import Tape

GRID = Instrument("SIMUSDT", 1_000_000, 100_000)
STORY = [
    (1, "snapshot", [(100, 5), (99, 7)], [(102, 3)]),
    (2, "trade", -1, 100, 2),
    (3, "depth", [(100, 3)], []),
    (4, "depth", [(99, 0), (98, 4)], [(102, 8)]),
    (
        5,
        "gap",
    ),
    (6, "snapshot", [(100, 9)], [(102, 1)]),
    (7, "trade", -1, 100, 1),
]


@pytest.fixture(name="tape")
def _tape() -> Tape:
    return Tape.of(GRID, STORY)


@pytest.mark.parametrize(
    ("ticks", "event", "lots"),
    [
        (100, 0, 0),
        (100, 1, 5),
        (100, 2, 5),
        (100, 3, 3),
        (99, 3, 7),
        (99, 4, 0),
        (98, 3, 0),
        (98, 4, 4),
        (98, 6, 0),
        (100, 6, 9),
        (97, 4, 0),
    ],
)
def test_the_last_message_before_an_event_says_it(tape, ticks, event, lots):
    """A trade takes nothing away, the depth message behind it does; a level of an old book is none of the new one."""
    bids = Displayed(tape, 1, np.array([97, 98, 99, 100]))
    assert bids.lots(np.array([ticks]), np.array([event])).tolist() == [lots]


def test_the_other_side_is_another_book(tape):
    asks = Displayed(tape, -1, np.array([100, 102]))
    assert asks.lots(np.array([102, 102, 100]), np.array([1, 5, 5])).tolist() == [3, 8, 0]


def test_prices_that_no_message_names_display_nothing(tape):
    nothing = Displayed(tape, 1, np.array([50]))
    assert nothing.lots(np.array([50]), np.array([4])).tolist() == [0]


def test_a_window_knows_the_book_at_its_beginning():
    """It begins at a keyframe, and its events are numbered from there."""
    keyed = [*STORY[:3], (3, "keyframe"), *STORY[3:]]
    window = Tape.of(GRID, keyed).between(4, 5)
    bids = Displayed(window, 1, np.array([99, 100]))
    assert bids.lots(np.array([99, 100]), np.array([1, 1])).tolist() == [7, 3]
