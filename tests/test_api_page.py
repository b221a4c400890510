"""docs/api.md, the reference of the public names, is what its generator writes today."""

import ast
import re

import pytest

import mm
from support import ROOT
from tools import api

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_is_what_its_generator_writes():
    """Run ``make docs`` when this fails; the page is never edited by hand."""
    assert api.page() == PAGE


def test_every_public_name_has_an_entry():
    """What `dir(mm)` shows is explained."""
    assert set(re.findall(r"^### mm\.(\w+)$", PAGE, re.MULTILINE)) == set(mm.__all__)


@pytest.mark.parametrize("frame", re.findall(r"^#### (\w+)\.(\w+_frame|book_at|plot)$", PAGE, re.MULTILINE))
def test_a_frame_names_its_columns(frame):
    """A method of the page is one of the class, and that of a frame says what is in it."""
    owner, method = frame
    doc = getattr(getattr(mm, owner), method).__doc__
    assert method == "plot" or re.search(r"Columns:? ``", doc)
    assert doc.splitlines()[0].rstrip(".") in PAGE


def test_every_signature_is_python():
    """As it would be written after the name of the module."""
    for body in re.findall(r"^```py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        ast.parse(f"def {body.rstrip()}: ...")


def test_sections_of_a_docstring_become_lists():
    """Names as code, continued lines joined, what follows a list stays text."""
    doc = "Do it.\n\nMore.\n\nArgs:\n    a, b: Two\n        lines.\n    c: One.\n\nAfter.\n\nRaises:\n    E: If not.\n"
    text = "".join(f"{line}\n" for line in api.described(doc))
    assert [part.strip("\n") for part in text.split("\n\n") if part.strip()] == [
        "Do it.",
        "More.",
        "**Args**",
        "- `a`, `b`: Two lines.\n- `c`: One.",
        "After.",
        "**Raises**",
        "- `E`: If not.",
    ]
