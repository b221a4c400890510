"""docs/names.md lists every name of the related projects, and only existing commands and paths."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mm.__main__ import main as program
from mm.cli.frame import Program
from support import ROOT, SHARED

TEXT = (ROOT / "docs" / "names.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| `") or "Kelly" in line]
OUR_SPANS = sorted({span for row in ROWS for span in re.findall(r"`([^`]+)`", row[1])})
SIBLINGS = sorted((SHARED / "spec").glob("sibling_*.md"))


def names_of(text):
    """Return the names on a project's page: files, commands, classes, functions, endpoints and keys."""
    text = re.sub(r"[^\x00-\x7f]+", " ", text)  # one page has a double encoding
    code = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL))
    found = set(re.findall(r"\b[\w-]+(?:\.\w+)*\.(?:py|pyx|cpp|yml|yaml|json|sh|toml|ini|zip)\b", text))
    found |= set(re.findall(r"\bdocs/\w+\.md\b", text))
    found |= set(re.findall(r"(?:GET|POST) (/\S+)", text)) | set(re.findall(r"/ws/[\w/{}]+", text))
    found |= set(re.findall(r"import (.+)", code)[0].split(", ")) if "import " in code else set()
    found |= set(re.findall(r"^class (\w+)", code, re.MULTILINE))
    found |= set(re.findall(r"\b(?:lob|orders|position|pnl):<\w+>", text))
    found |= set(re.findall(r"^python3? (scripts/\S+|\S+\.py)", code, re.MULTILINE))
    return {name.rstrip("/") for name in found if name not in ("setup.py",)}


@pytest.mark.skipif(not SIBLINGS, reason="the documents of the related projects are not here")
@pytest.mark.parametrize("page", SIBLINGS, ids=lambda path: path.stem)
def test_every_name_of_a_related_project_is_on_the_page(page: Path):
    names = names_of(page.read_text(encoding="utf-8", errors="replace"))
    assert len(names) > 10
    assert not sorted(name for name in names if name not in TEXT)


@pytest.mark.parametrize("span", [span for span in OUR_SPANS if span == "mm" or span.startswith("mm ")])
def test_every_command_on_the_page_exists(span):
    words = shlex.split(span)[1:]
    command: click.Command = program
    at = 0
    while isinstance(command, Program) and at < len(words) and not words[at].startswith("-"):
        command, at = command.get_command(click.Context(command), words[at]), at + 1
    done = CliRunner().invoke(program, [*words[:at], "--help"])
    assert done.exit_code == 0, done.output
    flags = {flag for option in command.params for flag in option.opts}
    assert {word for word in words[at:] if word.startswith("--")} <= flags
    if words[:1] == ["models"] and len(words) > 1:
        assert CliRunner().invoke(program, words).exit_code == 0


@pytest.mark.parametrize(
    "span", [span for span in OUR_SPANS if re.match(r"(mm|docs|tests|\.github|\.ci)/|\w+\.(md|toml|py|txt)$", span)]
)
def test_every_path_on_the_page_exists(span):
    if span == "summary.json":
        return
    assert (ROOT / span).exists()


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_example_config_files_are_read_completely(path):
    done = CliRunner().invoke(program, ["--config", str(path), "config", "show"])
    assert done.exit_code == 0, done.output
    keys = re.findall(r"^  (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert done.output.count("(file)") == len(keys) > 2
