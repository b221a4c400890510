"""The reference of the public names, a page of the site."""

import ast
import re

import pytest

import mm
from support import ROOT, run_python
from tools import api

PAGE = api.page()


def test_every_public_name_has_an_entry():
    """Every name in `mm.__all__` has a heading on the page."""
    assert set(re.findall(r"^### mm\.(\w+)$", PAGE, re.MULTILINE)) == set(mm.__all__)


def test_every_public_function_and_method_is_documented():
    """A method without a docstring is left out of the page; a kernel's attributes are described by its class."""
    nodes = {
        name: api.definition(name, module)
        for name, module in api.public().items()
        if ROOT.joinpath(*module.split(".")).with_suffix(".py").exists()
    }
    methods = {
        f"{name}.{one.name}": one
        for name, node in nodes.items()
        for one in node.body
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_") and one.name not in api.INTERNAL
    }
    assert [name for name, node in (nodes | methods).items() if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("frame", re.findall(r"^#### (\w+)\.(\w+_frame|book_at|plot)$", PAGE, re.MULTILINE))
def test_frame_and_plot_methods_are_documented(frame):
    """The method exists in its class, and a method that returns a frame lists the columns."""
    owner, method = frame
    doc = getattr(getattr(mm, owner), method).__doc__
    assert method == "plot" or re.search(r"Columns:? ``", doc)
    assert doc.splitlines()[0].rstrip(".") in PAGE


def test_every_signature_parses_as_python():
    """Each code block is the head of a function definition."""
    for body in re.findall(r"^```py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        ast.parse(f"def {body.rstrip()}: ...")


def test_docstring_sections_render_as_lists():
    """Argument names become code, continued lines are joined, and text after a section stays text."""
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


def test_table_of_numbers_matches_its_list():
    """Run ``make docs`` when this fails: what pages say of numbers and metrics is declared, not written by hand."""
    assert run_python("tools/number_table.py", "--check", cwd=ROOT).returncode == 0
