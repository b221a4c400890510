r"""Quotes and escapes in the text of a grid: ``\"`` is a quote inside, ``\\`` a backslash before the closing one."""

import pytest

from mm.base.knobs import axes_of


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        (r'A="a;b",c;B=1', [("A", ("a;b", "c")), ("B", ("1",))]),
        (r'A="a\"b",c;B=1', [("A", (r"a\"b", "c")), ("B", ("1",))]),
        (r'A="a\\";B=1', [("A", (r"a\\",)), ("B", ("1",))]),
        (r'A="a\\\"b";B=1', [("A", (r"a\\\"b",)), ("B", ("1",))]),
        (r'A={"x": "a\\"},{"y": "}\""};B=1', [("A", (r'{"x": "a\\"}', r'{"y": "}\""}')), ("B", ("1",))]),
    ],
)
def test_signs_inside_quotes_separate_nothing(text, axes):
    assert axes_of(text) == axes


@pytest.mark.parametrize("text", [r'A="a\"', r'A="a\\\"', 'A={"x": 1', 'A="a'])
def test_a_quote_or_bracket_without_an_end_is_refused(text):
    with pytest.raises(ValueError, match="without an end"):
        axes_of(text)
