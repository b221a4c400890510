"""Documentation pages are up to date: commands parse, knobs exist, links resolve and examples run."""

import ast
import importlib
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache, partial
from io import StringIO
from itertools import pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import mm
from console_pages import own_files
from mm.__main__ import main as program
from simulation import simulate_day
from support import ROOT, SHARED, run_python

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "mm").rglob("*.md")])
MODELS = ROOT / "docs" / "models.md"
STRATEGY = ROOT / "docs" / "write_a_strategy.md"
RUN_AS_SCRIPTS = [ROOT / "README.md", ROOT / "docs" / "lookup" / "python.md"]
FROM_PEER = ROOT / "docs" / "coming_from.md"
NO_KNOBS = {"NO_COLOR", "BINANCE_API_KEY", "BINANCE_API_SECRET"}  # variables that are read but are not knobs
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SUBSTITUTED = re.compile(r"\$\([^()]*\)")
_SETTING = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")


class Call(NamedTuple):
    """One command of a page: its environment variables and its words."""

    settings: dict[str, str]
    words: list[str]


def page_id(path: Path) -> str:
    """Return the path of a page for test ids."""
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return language and body of each fenced block of a page's text."""
    return _FENCE.findall(text)


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def input_lines(language: str, body: str) -> Iterator[str]:
    """Yield the input lines of a block: all of a script, the lines after "$ " of a console; continued lines joined."""
    pending = ""
    for line in body.splitlines():
        if pending or language == "bash" or line.startswith("$ "):
            pending += line.strip() if pending else line.removeprefix("$ ")
            if pending.endswith("\\"):
                pending = pending[:-1]
                continue
            yield pending
            pending = ""


def commands(line: str) -> list[list[str]]:
    """Return the words of each command of a shell line, without comments and output redirections."""
    lexer = shlex.shlex(_SUBSTITUTED.sub("value", line), posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(";&|"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [list(takewhile(lambda word: word not in (">", "2>"), words)) for words in parts]


def calls(text: str) -> Iterator[Call]:
    """Yield the commands of a page's text; exported variables apply until the end of their block."""
    for language, body in blocks(text):
        exported: dict[str, str] = {}
        for line in input_lines(language, body) if language in ("console", "bash") else ():
            for words in commands(line):
                settings = {}
                while words and (setting := _SETTING.fullmatch(words[0])):
                    settings[setting[1]] = setting[2]
                    words.pop(0)
                if words[:1] == ["export"]:
                    exported |= dict(word.split("=", 1) for word in words[1:])
                elif words:
                    yield Call({**exported, **settings}, words)


CALLS = [
    pytest.param(call, id=f"{page_id(page)}: {' '.join(call.words)[:60]}")
    for page in PAGES
    for call in calls(text_of(page))
]


def leaves(command: click.Command, context: click.Context) -> Iterator[click.Command]:
    """Yield a command, or all commands of a group."""
    if isinstance(command, click.Group):
        if command.has_own:
            yield command.own()
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from leaves(child, click.Context(child, context, name))
    else:
        yield command


@cache
def options() -> tuple[click.Option, ...]:
    """Return every option of every command."""
    every = leaves(program, click.Context(program, info_name="mm"))
    return tuple(one for command in every for one in command.params if isinstance(one, click.Option))


def variables() -> set[str]:
    """Return every environment variable that a command reads."""
    return {str(one.envvar) for one in options() if one.envvar} | NO_KNOBS


def command_of(words: list[str]) -> tuple[object, list[str]] | None:
    """Return the program or the `main` of a module that *words* call, and its arguments; None for other programs."""
    called = words[0].rpartition("/")[2]
    if called == "mm":
        return program, words[3:] if words[1:2] == ["--config"] else words[1:]
    if called != "python" or words[1:2] != ["-m"] or not re.match(r"mm\b", words[2]):
        return None
    inside = f"{words[2]}.__main__" if (ROOT / words[2].replace(".", "/")).is_dir() else words[2]
    return importlib.import_module(inside).main, words[3:]


def parse(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    """Parse *words* as the program would, without running anything."""
    words = [word for word in words if word != "--help"]
    if not isinstance(command, click.Group):
        with command.make_context(command.name, words, parent):
            pass
    elif command.has_own and not (words and not words[0].startswith("-")):
        parse(command.own(), words, parent)
    elif words:
        context = click.Context(command, parent, info_name=command.name)
        child = command.get_command(context, words[0])
        assert child is not None
        parse(child, words[1:], context)


def check(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse a command of the project with its variables set; commands of other programs are ignored."""
    found = command_of(call.words)
    if found is None:
        return
    for name, value in call.settings.items():
        assert name in variables(), f"no command reads {name}"
        monkeypatch.setenv(name, value)
    command, words = found
    if isinstance(command, click.Command):
        parse(command, words)
    else:
        assert not words, "this module takes no arguments"


@pytest.mark.parametrize("call", CALLS)
def test_every_command_of_a_page_parses(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command names, flags and values are accepted by the program."""
    check(call, monkeypatch)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the core document in ../shared")
def test_every_command_of_the_core_document_parses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands are guaranteed literally; only the placeholder of the day is filled in."""
    text = (SHARED / "spec" / "core_avellaneda_stoikov_pipeline.md").read_text(encoding="utf-8")
    shown = list(calls(text.replace("YYYYMMDD", "20251216")))
    assert len([call for call in shown if command_of(call.words)]) > 5
    for call in shown:
        with monkeypatch.context() as patch:
            check(call, patch)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    """Every `make X` names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    lines = [shlex.join(call.words) for call in calls(text_of(page))] + re.findall(r"`(make [^`]+)`", prose(page))
    for line in lines:
        words = line.split()
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, line


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_and_flags_in_prose_exist(page: Path) -> None:
    """Inline code is checked like the fenced blocks."""
    flags = {flag for one in options() for flag in one.opts} | {"--help", "--version", "--config"}
    for span in re.findall(r"`((?:mm [a-z]|--\w)[^`\n]*)`", prose(page)):
        words = span.replace("…", "").split()
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= flags, span
        command: click.Command | None = program if words[0] == "mm" else None
        for name in takewhile(lambda word: not word.startswith("-"), words[1:]):
            if isinstance(command, click.Group):
                command = command.get_command(click.Context(command, info_name=command.name), name)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_variable_of_a_table_is_read_by_a_command(page: Path) -> None:
    """A renamed knob must not remain in a table."""
    for header, body in re.findall(r"^(\|[^\n]*variable[^\n]*)\n\|[-|]+\n((?:\|[^\n]*\n)+)", prose(page), re.MULTILINE):
        at = [cell.strip() for cell in header.split("|")].index("variable")
        cells = [row.split("|")[at] for row in body.splitlines()]
        table_variables = {name for cell in cells for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", cell)}
        assert table_variables <= variables()
        assert table_variables


def test_every_environment_variable_is_documented() -> None:
    """Includes variables that a command reads without declaring them."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "mm").rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", code)) - {"PYTHONPATH"}
    pages = "".join(text_of(page) for page in PAGES)
    missing = {name for name in variables() | read if f"`{name}`" not in pages and f"`{name}=" not in pages}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_target_exists(page: Path) -> None:
    """A link names an existing file and, if it has an anchor, a heading of that file."""
    for target in _LINK.findall(prose(page)):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose(linked), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_imports_of_every_example_work(page: Path) -> None:
    """Examples that need recorded data are not run, but their imports must work."""
    for language, body in blocks(text_of(page)):
        if language == "python" and page not in (MODELS, STRATEGY):
            imports = [node for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Import | ast.ImportFrom)]
            imports = [node for node in imports if not ast.unparse(node).startswith("import matplotlib")]  # not needed
            exec(compile(ast.Module(imports, []), page_id(page), "exec"), {})


def test_examples_of_models_page_print_the_shown_output() -> None:
    """Each Python block prints exactly the text block that follows it."""
    namespace: dict[str, object] = {"__name__": "my_models"}
    shown = [(language, body) for language, body in blocks(text_of(MODELS)) if language in ("python", "text")]
    for (language, body), (following, output) in pairwise([*shown, ("", "")]):
        if language != "python":
            continue
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(body, page_id(MODELS), "exec"), namespace)
        assert printed.getvalue() == (output if following == "text" else "")


@pytest.mark.slow
def test_strategy_page_tests_and_example_run(tmp_path: Path) -> None:
    """The page's own files pass the page's own tests, and its script plays them on a shorter day."""
    for name, text in own_files(STRATEGY):
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")
    simulate_day(tmp_path / "data", hours=0.05, seed=0)
    tested = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_strategy.py", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    script = [body for language, body in blocks(text_of(STRATEGY)) if language == "python"][-1]
    played = run_python("-c", script, cwd=tmp_path)
    assert played.returncode == 0, played.stderr
    assert float(played.stdout.split()[0]) != 0


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_AS_SCRIPTS, ids=page_id)
def test_python_blocks_of_a_page_run_as_scripts(page: Path, tmp_path: Path) -> None:
    """Each stands alone, on the day that its page makes; one that draws by matplotlib needs it."""
    simulate_day(tmp_path / "data", hours=1, seed=0)
    scripts = [body for language, body in blocks(text_of(page)) if language == "python" and "matplotlib" not in body]
    assert scripts
    for script in scripts:
        done = run_python("-c", script, cwd=tmp_path)
        assert done.returncode == 0, f"{script}\n{done.stderr}"


def test_translated_grid_plays_as_a_grid_of_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The translation of the peer's loop fills where the same prices as quotes do."""
    ((name, text),) = own_files(FROM_PEER)
    (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    near = partial(importlib.import_module("grid").Grid, half_spread_ticks=1, step_ticks=1)

    class Quoted:
        """The same grid in the words of a quote model."""

        def quote(self, view: mm.QuoteView) -> mm.Quotes:
            found: dict[int, list[int]] = {1: [], -1: []}
            near().on_event(view, Empty(lambda side, ticks: found[side].append(ticks)))
            return mm.Quotes(bids=found[1], asks=found[-1])

    class Empty:
        """A collection without orders."""

        def __init__(self, submit: Callable[[int, int], None]) -> None:
            self.submit = submit

        def __iter__(self) -> Iterator[object]:
            return iter(())

    folder = simulate_day(tmp_path / "data", hours=0.1, seed=1)
    rules = {"requote_interval_ms": 100, "requote_on_fill": False, "initial_inventory": 10, "quote_qty": "0.1"}
    tape = mm.load_day(folder.path)
    ours, theirs = (mm.backtest(tape, model, maker_fee_rate=0, **rules).fills_frame() for model in (near(), Quoted()))
    columns = ["time", "side", "price", "qty"]
    assert len(ours) > 20
    assert ours[columns].sort(columns).equals(theirs[columns].sort(columns))


def test_readme_strategy_is_at_most_twelve_lines_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's block runs on a shorter version of the README's day and writes the files that it names."""
    (block,) = (body for language, body in blocks(text_of(ROOT / "README.md")) if language == "python")
    assert len(block.splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    simulate_day(Path("data"), hours=0.05, seed=1)
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue().startswith("SIMUSDT 20260105: Join quotes, queue_prob_power fills\n  Quoting   ")
    assert (tmp_path / "fills.csv").read_text(encoding="utf-8").startswith("time,order_id,side,price,qty,")
    assert 'class="chart"' in (tmp_path / "join.html").read_text(encoding="utf-8")
