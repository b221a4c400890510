"""The errors of the exchange in a box as tables: codes, with the messages that its modules raise them with."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "mm"
LEAST, MOST = 1000, 9999
Texts = Mapping[str, Sequence[str]]


def table(*, contracts: bool) -> Iterator[str]:
    """Yield the lines of a table: of Spot and of both, or of what contracts alone have."""
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("margin", "sim")
        for path in sorted((PACKAGE / folder).rglob("*.py"))
    }
    codes = {name: code for tree in trees.values() for name, code in _constants(tree)}
    codes |= {name: code for tree in trees.values() for name, code in _carriers(tree, codes)}
    shared, own = dict[int, dict[str, None]](), dict[int, dict[str, None]]()
    for path, tree in trees.items():
        for code, text in _raised(tree, codes):
            found = own if {"usdm", "margin"} & set(path.parts) else shared
            found.setdefault(code, {})[text] = None
    yield "| code | message |"
    yield "|---|---|"
    for code, texts in sorted((own if contracts else shared).items(), reverse=True):
        known = shared.get(code, {}) if contracts else {}
        if said := [text for text in texts if text not in known]:
            yield f"| −{-code} | {' · '.join(said)} |"


def _constants(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield names that are given to codes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name | ast.Tuple):
            names, values = (
                each.elts if isinstance(each, ast.Tuple) else [each] for each in (node.targets[0], node.value)
            )
            for name, value in zip(names, values, strict=False):
                if isinstance(name, ast.Name) and (code := _code(value, {})) is not None:
                    yield name.id, code


def _carriers(tree: ast.AST, codes: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield functions that put a code before the message of their caller."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args][:1] == ["msg"]:
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and call.args and (code := _code(call.args[0], codes)) is not None:
                    yield node.name, code


def _raised(tree: ast.Module, codes: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    assigned = sorted(_strings(tree), key=lambda each: each[0])
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            texts = {name: words for line, name, words in assigned if line < call.lineno}  # the last before it
            pairs = list(zip(call.args, call.args[1:], strict=False)) + [(call.func, each) for each in call.args[:1]]
            for before, after in pairs:
                if (code := _code(before, codes)) is not None:
                    yield from ((code, text) for text in _texts(after, texts))
        if isinstance(call, ast.FunctionDef) and call.name in codes:  # its default message
            for default in call.args.defaults:
                yield from ((codes[call.name], text) for text in _texts(default, {}))


def _strings(tree: ast.AST) -> Iterator[tuple[int, str, Sequence[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.lineno, node.targets[0].id, list(_texts(node.value, {}))


def _code(node: ast.expr, codes: Mapping[str, int]) -> int | None:
    match node:
        case ast.UnaryOp(ast.USub(), ast.Constant(int() as number)) if LEAST <= number <= MOST:
            return -number
        case ast.Name(name) | ast.Attribute(_, name):
            return codes.get(name)
    return None


def _texts(node: ast.expr, named: Texts) -> Iterator[str]:
    match node:
        case ast.Constant(str() as text):
            yield text.replace("|", "\\|")
        case ast.JoinedStr(parts):
            said = [
                part.value if isinstance(part, ast.Constant) else next(iter(_texts(part.value, named)), "…")
                for part in parts
                if isinstance(part, ast.Constant | ast.FormattedValue)
            ]
            yield "".join(map(str, said))
        case ast.IfExp(_, one, other):
            yield from _texts(one, named)
            yield from _texts(other, named)
        case ast.Name(name):
            yield from named.get(name, ())
