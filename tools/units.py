"""Check that names of different units are not assigned, added, compared or passed to each other.

A name ends in its unit (`_us`, `_ms`, `_s`, `_ticks`, `_lots`, `_tl`, `_e8`, …), so a slip such as seconds for
milliseconds is a pair of names with different endings. Two kinds of names convert: ``US_PER_MS`` in a product or a
quotient, and ``us_from_ms``. Any other product has no unit here.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path

_UNITS = {"ns", "us", "ms", "s", "min", "hours", "days", "ticks", "lots", "tl", "e8", "e16", "bytes", "mb"}
_KEPT = {"max", "min", "abs", "round", "int", "sum", "floor", "ceil"}
"""Functions whose result has the unit of their arguments."""
_PREDICATES = {"is", "are", "has", "may", "can", "takes", "knows"}
_FACTOR = re.compile(r"_?([A-Z0-9]+)_PER_([A-Z]+)")
_FACTOR_UNITS = {"US", "MS", "S", "NS", "MIN"}


def unit_of_name(name: str) -> str | None:
    """Return the unit in which *name* ends; None without one."""
    words = name.lower().strip("_").split("_")
    if len(words) < 2 or words[-1] not in _UNITS or "per" in words[:-1] or words[0] in _PREDICATES:
        return None
    if words[1:-1] == ["from"]:
        return words[0]
    if words[-1] == "ticks" and words[0].endswith("2"):  # mid2_ticks: the sum of bid and ask
        return "half ticks"
    return words[-1]


@dataclass
class Functions:
    """Parameters of the project's functions, by name where all functions of that name agree."""

    known: dict[str, list[str] | None] = field(default_factory=dict)

    @classmethod
    def of(cls, trees: Iterable[ast.AST]) -> "Functions":
        """Note the functions of modules."""
        functions = cls()
        for node in chain.from_iterable(map(ast.walk, trees)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
                functions._note(node.name, names[1:] if names[:1] in (["self"], ["cls"]) else names)
        return functions

    def _note(self, name: str, parameters: list[str]) -> None:
        if self.known.get(name, parameters) != parameters:
            self.known[name] = None
        else:
            self.known[name] = parameters

    def parameters(self, call: ast.Call) -> Sequence[str]:
        """Return the names of the positional parameters of a call; none if functions of that name differ."""
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        return self.known.get(name) or ()


def unit_of(node: ast.AST | None) -> str | None:  # noqa: PLR0911 - a case for each kind of expression
    """Return the unit of an expression; None if it has none, or converts."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return unit_of_name(name)
        case ast.UnaryOp(operand=operand) | ast.Await(value=operand) | ast.Starred(value=operand):
            return unit_of(operand)
        case ast.NamedExpr(value=value):
            return unit_of(value)
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mod()):
            return unit_of(node.left) or unit_of(node.right)
        case ast.BinOp():
            return _converted(node)[0]
        case ast.IfExp():
            return unit_of(node.body) or unit_of(node.orelse)
        case ast.BoolOp(op=ast.Or()):
            return next((unit for unit in map(unit_of, node.values) if unit), None)
        case ast.Call(func=func):
            name = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
            if name in _KEPT:
                return next((unit for unit in map(unit_of, node.args) if unit), None)
            return unit_of_name(name)
    return None


def _converted(node: ast.BinOp) -> tuple[str | None, str | None, str | None]:
    """Return the unit of a product with a factor such as ``US_PER_MS``, the unit it must have before, and has."""
    left, right = factor_of(node.left), factor_of(node.right)
    if isinstance(node.op, ast.Mult) and (factor := right or left):
        return factor[0], factor[1], unit_of(node.left if right else node.right)
    if isinstance(node.op, ast.Div | ast.FloorDiv) and right:
        return right[1], right[0], unit_of(node.left)
    return None, None, None


def factor_of(node: ast.AST) -> tuple[str, str] | None:
    """Return the two units of a name such as ``US_PER_MS``."""
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    match = _FACTOR.fullmatch(name)
    if not match or not {*match.groups()} <= _FACTOR_UNITS:
        return None
    return match[1].lower(), match[2].lower()


def pairs_of(tree: ast.AST, functions: Functions) -> Iterator[tuple[int, str, str, str]]:
    """Yield line, what is done, and the two units of each pair that differs."""
    for node in ast.walk(tree):
        for line, what, left, right in _meetings(node, functions):
            if left and right and left != right:
                yield line, what, left, right


Meeting = tuple[int, str, str | None, str | None]


def _meetings(node: ast.AST, functions: Functions) -> Iterator[Meeting]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _assigned(target, value)
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield from _assigned(target, value)
        case ast.AugAssign(op=ast.Add() | ast.Sub()):
            yield node.lineno, "added to", unit_of(node.target), unit_of(node.value)
        case ast.BinOp():
            yield from _combined(node)
        case ast.Compare(left=first, comparators=rest):
            for left, right in zip((first, *rest), rest, strict=False):
                yield right.lineno, "compared with", unit_of(left), unit_of(right)
        case ast.Call():
            yield from _passed(node, functions)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield inner.lineno, "returned by", unit_of_name(node.name), unit_of(inner.value)


def _combined(node: ast.BinOp) -> Iterator[Meeting]:
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mod):
        yield node.lineno, "added to", unit_of(node.left), unit_of(node.right)
    _, wanted, given = _converted(node)
    if given not in ("e8", "e16"):  # a scale, which any unit may have
        yield node.lineno, "converted from", wanted, given


def _passed(call: ast.Call, functions: Functions) -> Iterator[Meeting]:
    for keyword in call.keywords:
        if keyword.arg:
            yield keyword.value.lineno, f"given as {keyword.arg},", unit_of_name(keyword.arg), unit_of(keyword.value)
    for parameter, value in zip(functions.parameters(call), call.args, strict=False):
        if isinstance(value, ast.Starred):
            break
        yield value.lineno, f"given as {parameter},", unit_of_name(parameter), unit_of(value)
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name in {"max", "min"}:
        units = [unit for unit in map(unit_of, call.args) if unit]
        for left, right in pairwise(units):
            yield call.lineno, "compared with", left, right
    words = name.strip("_").split("_")
    if words[1:-1] == ["from"] and call.args:
        yield call.lineno, f"given to {name},", words[-1], unit_of(call.args[0])


def _assigned(target: ast.AST, value: ast.AST) -> Iterator[Meeting]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for single, other in zip(target.elts, value.elts, strict=True):
            yield from _assigned(single, other)
    else:
        yield value.lineno, "assigned to", unit_of(target), unit_of(value)  # type: ignore[attr-defined]


def texts_of(root: Path) -> dict[Path, str]:
    """Return the modules below *root*."""
    return {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}


def check(texts: Mapping[Path, str], functions: Functions | None = None) -> list[str]:
    """Return a line for each pair of names of different units in *texts*; *functions*: those of all modules."""
    trees = {path: ast.parse(text) for path, text in texts.items()}
    functions = functions or Functions.of(trees.values())
    found = []
    for path, tree in trees.items():
        lines = texts[path].splitlines()
        for line, what, left, right in pairs_of(tree, functions):
            found.append(f"{path}:{line}: {right} {what} {left}: {lines[line - 1].strip()}")
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    found = check(texts_of(Path("mm")))
    print(*found, sep="\n")
    sys.exit(bool(found))
