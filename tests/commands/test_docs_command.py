"""``mm docs TERM`` finds what the pages say of a term."""

import json

import pytest

from mm.commands.docs import PACKAGE, blocks_of
from support import run_python

PAGE = """# Page

## Words

| term | meaning |
|---|---|
| tick, `lot` | smallest steps |

A **spread** is ask less bid,
in ticks.
- **mid**: half of [both](x.md)

```console
$ mm spread
```

## Epochs

From one book to the next.
"""


def test_blocks_are_rows_paragraphs_and_bullets_with_their_terms(tmp_path):
    """A paragraph over two lines is one block; code is none; a section's first block explains its heading."""
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    found = {block.line: (block.heading, block.terms) for block in blocks_of(path)}
    assert found[7] == ("Words", ("tick", "lot"))
    assert found[9] == ("Words", ("spread", "words"))
    assert found[11] == ("Words", ("mid",))
    assert found[19] == ("Epochs", ("epochs",))
    assert all("mm spread" not in block.text for block in blocks_of(path))


@pytest.mark.parametrize(
    ("words", "page"),
    [
        (["reservation", "price"], "glossary.md"),
        (["MAKER_FEE_RATE"], "configuration.md"),
        (["pnl_hold"], "glossary.md"),
        (["spread"], "glossary.md"),
    ],
)
def test_the_first_paragraph_defines_the_term(tmp_path, words, page):
    """Of the paragraphs that name it, the one that defines it is first."""
    answer = json.loads(run_python("-m", "mm", "docs", *words, "--json", cwd=tmp_path).stdout)
    [first, *_] = answer["paragraphs"]
    assert first["page"] == page
    assert " ".join(words).lower() in first["text"].lower()


def test_an_unknown_term_names_the_nearest(tmp_path):
    """A misspelling is exit 2, with terms that exist."""
    done = run_python("-m", "mm", "docs", "resurvation", "price", cwd=tmp_path)
    assert done.returncode == 2
    assert "reservation price" in done.stderr


def test_an_installation_has_the_pages():
    """A checkout reads docs/; a wheel has a copy inside the package."""
    assert (PACKAGE.parent / "docs" / "lookup" / "glossary.md").is_file() or (PACKAGE / "pages" / "lookup").is_dir()
