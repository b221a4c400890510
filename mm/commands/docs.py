"""``mm docs``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import click

from mm.base.knobs import integer, knob
from mm.cli.frame import command
from mm.errors import DataError, UsageError
from mm.terminal.console import Console

PACKAGE = Path(__file__).resolve().parents[1]
PAGES = (PACKAGE / "pages", PACKAGE.parent / "docs")
"""The pages of an installed package, or of a checkout."""
FIRST = ("glossary", "configuration", "results", "models")
"""Pages that define terms, the most likely one first."""
_GLOSSARY = 50  # a term's definition comes before pages on what it is about
_HEADING = re.compile(r"(#+) (.+)")
_DEFINED = re.compile(r"\*\*(.+?)\*\*")
_CELLS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, bullet or table row of a page."""

    page: str
    line: int
    heading: str
    terms: tuple[str, ...]
    text: str

    def score(self, term: str) -> int:
        """How well the block explains *term*, in lower case; 0 if it does not name it."""
        page = len(FIRST) - FIRST.index(self.page) if self.page in FIRST else 0
        page += _GLOSSARY if self.page == FIRST[0] else 0
        if term in self.terms:
            return 100 + page
        if any(re.search(rf"\b{re.escape(term)}\b", defined) for defined in self.terms):
            return 60 + page
        text = self.text.lower()
        if f"`{term}`" in text:
            return 40 + page
        return 20 + page if re.search(rf"(?<![\w-]){re.escape(term)}(?![\w-])", text) else 0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How much is shown."""

    docs_most: int = knob(3, integer(1, 100), "Number of paragraphs to show.", flag="--most")


@command(arguments=[click.Argument(["words"], nargs=-1, required=True, metavar="TERM")])
def docs(console: Console, shown: Shown, words: tuple[str, ...]) -> None:
    """Show what the documentation says of a TERM: a word, a knob, a key of a file, a model, a line of a log.

    Example: mm docs reservation price
    """
    term = " ".join(words).strip("`").lower()
    folder = next((folder for folder in PAGES if folder.is_dir()), None)
    if folder is None:
        raise DataError("this installation has no pages of the documentation; install a wheel, or use a checkout")
    blocks = [block for path in sorted(folder.rglob("*.md")) for block in blocks_of(path)]
    found = sorted((block for block in blocks if block.score(term)), key=lambda block: -block.score(term))
    if not found:
        known = {name for block in blocks for name in block.terms}
        near = get_close_matches(term, known, n=3)
        hint = f"; nearest terms: {', '.join(near)}" if near else f"; the pages are in {folder}"
        raise UsageError(f"no page names {' '.join(words)!r}{hint}")
    for block in found[: shown.docs_most]:
        console.print(f"{block.page}.md:{block.line}  {block.heading}")
        console.print(f"  {plain(block.text)}\n")
    if len(found) > shown.docs_most:
        console.print(f"{len(found) - shown.docs_most} more paragraphs name it; --most shows them")
    rows = ((f"{block.page}.md", block.line, block.heading, plain(block.text)) for block in found[: shown.docs_most])
    console.set_json({"paragraphs": [dict(zip(("page", "line", "heading", "text"), row, strict=True)) for row in rows]})


def blocks_of(path: Path) -> Iterator[Block]:
    heading, is_first, is_code, was_row, paragraph, begin = "", False, False, False, list[str](), 0

    def block(number: int, text: str, terms: list[str]) -> Block:
        return Block(path.stem, number, heading, tuple(plain(one).strip(" .:").lower() for one in terms), text)

    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
        is_fence = line.lstrip().startswith("```")
        is_line = not is_code and not is_fence and line.strip() and not line.startswith(("#", "|", "<!--"))
        if paragraph and (not is_line or line.startswith(("- ", "* "))):
            text = " ".join(paragraph)
            yield block(begin, text, _DEFINED.findall(text) + [heading] * is_first)
            paragraph, is_first = [], False
        is_row, was_row = was_row, line.startswith("|")
        if is_fence:
            is_code = not is_code
        elif is_line:
            begin = begin if paragraph else number
            paragraph.append(line.strip())
        elif not is_code and (match := _HEADING.fullmatch(line)):
            heading, is_first = match[2], True
        elif not is_code and line.startswith("|") and set(line) - set("|-: "):
            cells = [cell.strip().replace("\\|", "|") for cell in _CELLS.split(line)[1:-1]]
            terms = re.split(r"[,;]", cells[0]) if is_row else [heading] * is_first  # else the head of a table
            yield block(number, " — ".join(filter(None, cells)), terms)


def plain(text: str) -> str:
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return re.sub(r"\*\*(.+?)\*\*", r"\1", text).replace("`", "").removeprefix("- ")
