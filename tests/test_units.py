"""Names end in their unit, and the lint reads them: a slip between two units is refused where two names meet."""

import ast
import random
import re
import sys

import pytest

from support import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from units import Functions, check, texts_of, unit_of_name

TEXTS = texts_of(ROOT / "mm")
SLIPS = [
    (r"\bus_from_ms\((\w+(?:\.\w+)*_ms)\)", r"\1"),  # a conversion forgotten
    (r"(\w+_s) \* US_PER_S\b", r"\1 * US_PER_MS"),  # another factor
    (r"(\w+_ms) \* US_PER_MS\b", r"\1"),
    (r"(\w+_us) // US_PER_MS\b", r"\1"),
    (r"(\w+_us) / US_PER_S\b", r"\1 / US_PER_MS"),
    (r"\b(\w+_us) ([-+<>]=?) (\w+_)us\b", r"\1 \2 \3ms"),  # another name of the same thing
    (r"=(\w+(?:\.\w+)*_)ticks\b", r"=\1lots"),
    (r"=(\w+(?:\.\w+)*_)lots\b", r"=\1ticks"),
    (r"\b(\w+_)lots (\+|-|<|>|<=|>=|==) (\w+_lots)", r"\1e8 \2 \3"),
    (r"\bmid2_ticks (-|\+) ", r"mid_ticks \1 "),
]


def test_units_of_the_program_meet_their_own_kind():
    """Seconds are not given for milliseconds, lots not for ticks, anywhere."""
    assert check(TEXTS) == []


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *[("wait_ms", "ms"), ("us_from_ms", "us"), ("mid2_ticks", "half ticks"), ("ask_ticks", "ticks")],
        *[("orders_per_s", None), ("are_lots", None), ("s", None), ("status", None), ("MOST_US", "us")],
    ],
)
def test_unit_is_the_last_word_of_a_name(name, unit):
    """Rates and questions have none, and a conversion has the unit that it makes."""
    assert unit_of_name(name) == unit


def slips_of(text, draw):
    """Return *text* with one slip between units, and the line; None if it has no place for one."""
    found = [(match, change) for pattern, change in SLIPS for match in re.finditer(pattern, text)]
    if not found:
        return None
    match, change = draw.choice(found)
    return text[: match.start()] + match.expand(change) + text[match.end() :]


def test_most_slips_between_units_are_refused():
    """Two thirds of drawn slips at least, in any state of the code: another factor, a forgotten conversion."""
    draw, refused, tried = random.Random(11), 0, 0
    functions = Functions.of(map(ast.parse, TEXTS.values()))
    while tried < 60:
        path, whole = draw.choice([*TEXTS.items()])
        text = slips_of(whole, draw)
        if text is None:
            continue
        try:
            compile(text, path, "exec")
        except SyntaxError:
            continue
        tried += 1
        refused += bool(check({path: text}, functions))
    assert refused >= 40
