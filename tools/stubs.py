"""Generate the type stubs: a ``.pyi`` next to every ``.pyx``, and that of ``mm/__init__.py``.

    python tools/stubs.py            write those of the kernels, as a build does where one changed
    python tools/stubs.py --face     write mm/__init__.pyi (make stubs)
    python tools/stubs.py --check    exit 1 and print the difference if mm/__init__.pyi is out of date (make lint)
    python tools/stubs.py --stubtest compare the written stubs with the compiled kernels (mypy's stubtest)

``mm/__init__.pyi`` is in the repository, because its keyword arguments are those of compiled modules, which do not
exist yet when a wheel is built.

Cython parses the ``.pyx`` and its ``.pxd``, so that a stub has the names, parameters, defaults and docstrings of the
kernel. A C type becomes its Python type; a parameter or a result without a type is an error.
Three declarations give the Python type if the C type does not:

- ``cdef readonly tuple models  # type: tuple[QuoteModel, ...]``: a type comment on the line of the attribute;
- ``ROWS = make_rows()  # type: dict[str, int]``: the same on a constant that is not a literal;
- an ``if TYPE_CHECKING:`` block of the kernel: the stub repeats its imports and private aliases.
"""

import argparse
import ast
import builtins
import difflib
import importlib
import inspect
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from Cython.CodeWriter import ExpressionWriter
from Cython.Compiler.TreeFragment import parse_from_strings

HEADER = "# Generated from {source} by {command}; edit that file instead.\n"
FACE = Path("mm/__init__.pyi")
PACKAGES = ("mm", "benchmarks")
TYPE_COMMENT = re.compile(r"#\s*type:\s*(.+?)\s*$")
INTS = re.compile(r"u?int\d*_t|Py_ssize_t|size_t|int|long|short|char")
FLOATS = {"double": "float", "float": "float", "bint": "bool"}
DECLARED, GIVEN = "declared", "given"  # a model's parameters (mm/backtest/parameters.py), and the argument with them
ARRAYS = {"double": "float64", "float": "float32", "Change": "void"}
BARE = {"object", "tuple", "list", "dict", "set"}  # types that do not describe their contents
BYTES = "bytes | bytearray | memoryview"
FIXED = {"__init__": "None", "__new__": "Self"}  # result types implied by the method
IMPORTS = {  # imports that a stub adds: a kernel does not need them at run time
    "Any": "from typing import Any",
    "Literal": "from typing import Literal",
    "Parameters": "from mm.backtest.parameters import Parameters",
    "np": "import numpy as np",
    "NDArray": "from numpy.typing import NDArray",
    "ArrayLike": "from numpy.typing import ArrayLike",
    "Callable": "from collections.abc import Callable",
    "Iterable": "from collections.abc import Iterable",
    "Mapping": "from collections.abc import Mapping",
    "Self": "from typing import Self",
    "final": "from typing import final",
    "IntFlag": "from enum import IntFlag",
}
FACE_IMPORTS = (
    "from collections.abc import Mapping",
    "from decimal import Decimal",
    "from pathlib import Path",
    "from typing import Any, Literal, TypedDict",
)
KNOB_TYPES = {  # by the metavar in the help
    "INTEGER": "int",
    "NUMBER": "float",
    "DECIMAL": "float | Decimal | str",
    "0|1": "bool | int",
    "JSON": "Mapping[str, Any] | list[Any] | str",
    "PATH": "Path | str",
}
# Findings of stubtest in compiled modules that no stub can express.
ARTEFACTS = (
    r".*\.(__reduce_cython__|__setstate_cython__|__test__|__pyx_capi__)",
    r".*\.(__init__|__new__)",  # a slot, whose signature at run time is (*args, **kwargs)
    r".*\.TYPE_CHECKING",
)

Node = Any  # Cython has no types


class NoType(Exception):
    """A kernel lacks a type that its stub needs."""


class Kernel:
    """One ``.pyx`` with its ``.pxd``, and the stub made from them."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.source = path.relative_to(root).as_posix()
        self.lines = path.read_text(encoding="utf-8").splitlines()
        self.tree = parse_from_strings(self.source, "\n".join(self.lines) + "\n")
        self.fields = dict(self._pxd_fields(path.with_suffix(".pxd")))
        self.module = ".".join(path.relative_to(root).with_suffix("").parts)

    def stub(self) -> str:
        """Return the text of the stub, not yet formatted.

        Raises:
            NoType: If a type is missing, with the file, the line and the name.
        """
        body = [text for node in statements(self.tree.body) for text in self._statement(node)]
        text = "\n".join(body)
        head = [HEADER.format(source=self.source, command="the build"), quoted(self.tree.doc or "")]
        return "\n".join([*head, *self._imports(text), text, ""])

    def _pxd_fields(self, pxd: Path) -> Iterator[tuple[str, list[str]]]:
        """Yield the classes declared in the ``.pxd``, with the stub lines of their readable attributes."""
        if not pxd.exists():
            return
        lines = pxd.read_text(encoding="utf-8").splitlines()
        for node in statements(parse_from_strings(pxd.name, "\n".join(lines) + "\n").body):
            if kind(node) == "CClassDefNode":
                fields = [f for part in statements(node.body) for f in self._fields(part, lines, pxd.name)]
                yield node.class_name, fields

    def _statement(self, node: Node) -> Iterator[str]:
        """Yield the stub lines of a statement of the module."""
        match kind(node):
            case "CClassDefNode":
                yield from self._class(node)
            case "PyClassDefNode":
                raise NoType(f"{self.source}:{node.pos[1]}: {node.name} is a Python class; move it to a .py file")
            case "CEnumDefNode" if node.create_wrapper:
                yield from enum_lines(node)
            case "DefNode":
                yield from self._function(node, "")
            case "SingleAssignmentNode" if kind(node.lhs) == "NameNode" and not node.lhs.name.startswith("_"):
                yield self._assignment(node)

    def _class(self, node: Node) -> Iterator[str]:
        if any(name(each.decorator) == "final" for each in node.decorators or ()):
            yield "@final"
        bases = ", ".join(each.name for each in node.bases.args)
        yield f"class {node.class_name}({bases}):" if bases else f"class {node.class_name}:"
        parts = statements(node.body)
        body = [textwrap.indent(quoted(node.doc), "    ")] if node.doc else []
        body += self.fields.get(node.class_name, [])
        defined = {part.name for part in parts if kind(part) == "DefNode"}
        for part in parts:
            body += self._fields(part, self.lines, self.source)
            if kind(part) == "SingleAssignmentNode" and part.lhs.name == DECLARED:
                body.append(f"    {DECLARED}: type[Parameters]")
                if "__init__" not in defined:
                    given = self._declared(node.class_name)
                    arguments = ["self", *self._inherited(node), *given]
                    body.append(f"    def __init__({', '.join(arguments)}) -> None: ...")
            if kind(part) == "DefNode" and part.name != "__dealloc__":
                body += self._method(part, defined, node.class_name)
        yield from body or ["    ..."]

    def _inherited(self, node: Node) -> list[str]:
        """Return the positional parameters of an inherited constructor, which precede the declared ones."""
        bases = {each.name for each in node.bases.args}
        found = [each for each in statements(self.tree.body) if getattr(each, "class_name", None) in bases]
        makers = [part for base in found for part in statements(base.body) if getattr(part, "name", "") == "__init__"]
        return [f"{arg.declarator.name}: {self._type_of(each, arg)}" for each in makers for arg in each.args[1:]]

    def _declared(self, owner: str) -> list[str]:
        """Return the parameters that a class or a function declares, as keyword arguments.

        Before the first build there is no kernel to ask, and any keyword is accepted; `make install` writes the stubs
        again at its end.
        """
        try:
            from mm.base.knobs import REQUIRED
            from mm.base.settings import settings

            made = getattr(importlib.import_module(self.module), owner)
        except (ImportError, AttributeError):
            return ["**parameters: Any"]
        declaration = getattr(made, DECLARED, None)
        if declaration is None:  # a base, which passes on what the classes after it declare
            return []
        found = [
            f"{one.name}: {one.reader.metavar}" + ("" if one.default is REQUIRED else f" = {one.default!r}")
            for one in settings(declaration)
        ]
        return ["*", *found] if found else []

    def _method(self, node: Node, defined: set[str], owner: str) -> Iterator[str]:
        """Yield a method; ``__cinit__`` becomes ``__new__`` if it reads the arguments."""
        if node.name == "__cinit__":
            if "__init__" in defined or node.star_arg:
                return
            node.name = "__new__"
        yield from self._function(node, "    ", owner)

    def _function(self, node: Node, indent: str, owner: str = "") -> Iterator[str]:
        for each in node.decorators or () if not declares(node) or indent else ():
            yield f"{indent}@{written(each.decorator)}"
        result = node.return_type_annotation
        if result is None and node.name not in FIXED:
            raise self._missing(node, f"{node.name} has no return type")
        returns = FIXED.get(node.name) or plain(result.string.value)
        head = f"{indent}def {node.name}({', '.join(self._parameters(node, bool(indent), owner))}) -> {returns}:"
        if not node.doc:
            yield f"{head} ..."
            return
        yield head
        yield textwrap.indent(quoted(node.doc), indent + "    ")

    def _parameters(self, node: Node, method: bool, owner: str = "") -> Iterator[str]:
        """Yield the parameters of a signature; ``**given`` is replaced by the declared ones."""
        static = any(name(each.decorator) == "staticmethod" for each in node.decorators or ())
        starred = False
        for at, arg in enumerate(node.args):
            if arg.kw_only and not starred:
                starred = True
                yield self._starred(node, node.star_arg, "*") if node.star_arg else "*"
            label = arg.declarator.name
            if method and at == 0 and not static:
                yield "cls" if node.name == "__new__" else label
                continue
            default = f" = {default_of(arg.default)}" if arg.default else ""
            yield f"{label}: {self._type_of(node, arg)}{default}"
        if node.name.startswith("__") and node.name not in FIXED and len(node.args) > 1:
            yield "/"  # Python calls its special methods by position
        if node.star_arg and not starred:
            yield self._starred(node, node.star_arg, "*")
        if declares(node):
            given = self._declared(owner or node.name)
            yield from given[1:] if starred and given[:1] == ["*"] else given
        elif node.starstar_arg:
            yield self._starred(node, node.starstar_arg, "**")

    def _starred(self, node: Node, arg: Node, stars: str) -> str:
        if arg.annotation is None:
            raise self._missing(node, f"parameter {stars}{arg.name} of {node.name} has no type")
        return f"{stars}{arg.name}: {plain(arg.annotation.string.value)}"

    def _type_of(self, node: Node, arg: Node) -> str:
        """Return a parameter's type: its annotation, or the Python type of its C type."""
        if arg.annotation is not None:
            return plain(arg.annotation.string.value)
        if kind(arg.base_type) == "CSimpleBaseTypeNode" and arg.base_type.name is None:
            raise self._missing(node, f"parameter {arg.declarator.name} of {node.name} has no type")
        return python_type(arg.base_type)

    def _fields(self, node: Node, lines: list[str], source: str) -> Iterator[str]:
        """Yield the attributes of a ``cdef readonly`` or ``cdef public`` line."""
        if kind(node) != "CVarDefNode" or node.visibility == "private":
            return
        comment = TYPE_COMMENT.search(lines[node.pos[1] - 1])
        found = comment[1] if comment else python_type(node.base_type)
        if found in BARE:
            raise NoType(f"{source}:{node.pos[1]}: {found} needs the type of its items: add `# type: ...`")
        for each in node.declarators:
            if node.visibility == "public":
                yield f"    {each.name}: {found}"
            else:
                yield f"    @property\n    def {each.name}(self) -> {found}: ..."

    def _assignment(self, node: Node) -> str:
        """Return a constant with its type, or an alias (``Ints = NDArray[np.int64]``) unchanged."""
        label, comment = node.lhs.name, TYPE_COMMENT.search(self.lines[node.pos[1] - 1])
        if comment is None and kind(node.rhs) in ("IndexNode", "BitwiseOrNode", "IntBinopNode"):
            return f"{label} = {written(node.rhs)}"
        found = comment[1] if comment else literal_type(node.rhs)
        if found is None:
            raise self._missing(node, f"{label} is not a literal; add a comment `# type: ...` to the line")
        return f"{label}: {found}"

    def _missing(self, node: Node, what: str) -> NoType:
        return NoType(f"{self.source}:{node.pos[1]}: {what}; the stub is made from it")

    def _imports(self, text: str) -> Iterator[str]:
        """Yield the kernel's block for type checkers, and the imports of the other names used in the stub."""
        block = "\n".join(self._blocks())
        yield block
        used = names_in(text) | names_in(block)
        found = dict(self.imported()) | {label: IMPORTS[label] for label in used & set(IMPORTS)}
        yield from (statement for label, statement in found.items() if label in used)
        known = {*found, *dir(builtins), *defined_in(text), *defined_in(block)}
        if used - known:
            raise NoType(f"{self.source}: {', '.join(sorted(used - known))} is not imported, but the stub uses it")

    def imported(self) -> Iterator[tuple[str, str]]:
        """Yield each name that the kernel imports, with its import statement."""
        for node in statements(self.tree.body):
            match kind(node):
                case "FromCImportStatNode" if node.module_name.startswith(("mm.", "benchmarks.")):
                    yield from (
                        (label, f"from {node.module_name} import {label}") for _, label, _ in node.imported_names
                    )
                case "FromImportStatNode":
                    module = node.module.module_name.value
                    for label, target in node.items:
                        alias = "" if target.name == label else f" as {target.name}"
                        yield target.name, f"from {module} import {label}{alias}"
                case "StatListNode" if kind(getattr(node.stats[0], "rhs", None)) == "ImportNode":
                    yield from ((each.lhs.name, f"import {each.rhs.module_name.value}") for each in node.stats)

    def _blocks(self) -> Iterator[str]:
        """Yield the bodies of the ``if TYPE_CHECKING:`` blocks."""
        for node in statements(self.tree.body):
            if kind(node) == "IfStatNode" and name(node.if_clauses[0].condition) == "TYPE_CHECKING":
                rest = self.lines[node.pos[1] :]
                end = next((at for at, line in enumerate(rest) if line and not line.startswith(" ")), len(rest))
                yield textwrap.dedent("\n".join(rest[:end]))


def declares(node: Node) -> bool:
    """Return whether a function accepts the parameters that it, or its class, declares."""
    return node.starstar_arg is not None and node.starstar_arg.name == GIVEN


def kind(node: Node) -> str:
    """Return the name of a node's class."""
    return type(node).__name__


def name(node: Node) -> str:
    """Return the last name of ``name`` or ``module.name``; empty for any other expression."""
    return str(getattr(node, "attribute", getattr(node, "name", "")))


def statements(body: Node) -> list[Node]:
    """Return the statements of a block."""
    return list(body.stats) if kind(body) == "StatListNode" else [body]


def written(node: Node) -> str:
    """Return an expression as source text."""
    return str(ExpressionWriter().write(node))


def plain(annotation: str) -> str:
    """Return an annotation without the quotes of a forward reference, which a stub does not need."""
    return annotation.strip("\"'")


def quoted(doc: str) -> str:
    """Return a docstring as a literal, without the indentation of the source."""
    text = inspect.cleandoc(doc).replace("\\", "\\\\")
    return f'"""{text}\n"""' if "\n" in text else f'"""{text}"""'


def names_in(text: str) -> set[str]:
    """Return the names used in the code of a stub."""
    nodes = ast.walk(ast.parse(text))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def defined_in(text: str) -> set[str]:
    """Return the names defined or imported in the code of a stub."""
    found = set()
    for node in ast.parse(text).body:
        match node:
            case ast.ClassDef(name=label) | ast.FunctionDef(name=label):
                found.add(label)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {each.asname or each.name for each in names}
            case ast.Assign(targets=[ast.Name(id=label)]) | ast.AnnAssign(target=ast.Name(id=label)):
                found.add(label)
    return found


def python_type(node: Node) -> str:
    """Return the Python type that a C type converts to and from."""
    if kind(node) == "CQualifierTypeNode":
        return python_type(node.base_type)
    if kind(node) == "MemoryViewSliceTypeNode":
        item = node.base_type_node
        item = item.base_type if kind(item) == "CQualifierTypeNode" else item
        if item.name == "char":
            return BYTES
        return f"NDArray[np.{ARRAYS.get(item.name) or item.name.removesuffix('_t')}]"
    return "int" if INTS.fullmatch(node.name) else FLOATS.get(node.name, str(node.name))


def default_of(node: Node) -> str:
    """Return a default as a literal, or ``...`` if it is not one."""
    text = written(node)
    try:
        return repr(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return "..."


def literal_type(node: Node) -> str | None:
    """Return the type of a literal, for a tuple with that of its items; None for other expressions."""
    try:
        value = ast.literal_eval(written(node))
    except (ValueError, SyntaxError):
        return None
    if isinstance(value, tuple):
        items = sorted({type(item).__name__ for item in value})
        return f"tuple[{' | '.join(items)}, ...]"
    return type(value).__name__ if type(value) in (bool, int, float, str, bytes) else None


def enum_lines(node: Node) -> Iterator[str]:
    """Yield a ``cpdef enum`` as the class that Cython generates."""
    yield f"class {node.name}(IntFlag):"
    if node.doc:
        yield textwrap.indent(quoted(node.doc), "    ")
    value = 0
    for item in node.items:
        value = int(item.value.value, 0) if item.value else value
        yield f"    {item.name} = {value}"
        value += 1


def face(root: Path) -> str:
    """Return the stub of ``mm/__init__.py``: its table of public names, as imports.

    Raises:
        NoType: If there is no such table.
    """
    tree = ast.parse((root / "mm" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PUBLIC":
            public: dict[str, str] = ast.literal_eval(node.value)
            imports = [f"from {module} import {label} as {label}" for label, module in public.items()]
            header = HEADER.format(source="mm/__init__.py", command="`make stubs`")
            doc = quoted(ast.get_docstring(tree) or "")
            names = ["__version__: str", "_PUBLIC: dict[str, str]", "_PACKAGES: set[str]", f"__all__ = {list(public)}"]
            return "\n".join([header, doc, *FACE_IMPORTS, *imports, *names, *settings(), ""])
    raise NoType("mm/__init__.py: no table _PUBLIC of the public names")


def settings() -> Iterator[str]:
    """Yield the types of the keyword arguments of functions that take knobs, as Python values or as text."""
    from mm.base.knobs import knobs
    from mm.commands.load_capture import GROUPS as OF_A_CAPTURE
    from mm.play.forward import GROUPS as OF_A_WALKFORWARD
    from mm.play.python import GROUPS as OF_A_BACKTEST
    from mm.sweep.evaluate import GROUPS as OF_AN_EVALUATION

    written = set[str]()
    for name, groups, arguments in (
        ("_BacktestKnobs", OF_A_BACKTEST, ()),
        ("_EvaluationKnobs", OF_AN_EVALUATION, ("symbol", "day")),
        ("_WalkForwardKnobs", OF_A_WALKFORWARD, ()),
        ("_CaptureKnobs", OF_A_CAPTURE, ("symbol",)),
    ):
        bases = []
        for group in groups:
            wanted = [knob for knob in knobs(group) if knob.name not in arguments]
            part = f"_{group.__name__}" + ("" if len(wanted) == len(knobs(group)) else f"Of{name.strip('_')}")
            bases += [part] if wanted else []
            if wanted and part not in written:
                written.add(part)
                yield f"class {part}(TypedDict, total=False):"
                yield from map(of_knob, wanted)
        yield f"class {name}({', '.join(bases)}, total=False): ..."


def of_knob(knob: Any) -> str:
    """Return a knob as a key of a TypedDict, with its meaning."""
    none = " | None" if knob.default is None else ""
    kind = KNOB_TYPES.get(knob.reader.metavar) or type_of_parts(knob.reader)
    return f"    {knob.name}: {kind}{none}\n" + textwrap.indent(quoted(textwrap.fill(knob.help, 100)), "    ")


def type_of_parts(reader: Any) -> str:
    """Return the type of the alternatives of a knob: words of its own, and placeholders in capitals (NUMBER, PATH)."""
    parts = reader.metavar.split("|")
    words = [part for part in parts if part in reader.words or not part.isupper()]
    others = [KNOB_TYPES.get(part, "str") for part in parts if part not in words]
    literal = [f"Literal[{', '.join(map(repr, words))}]"] if len(parts) > 1 and "str" not in " ".join(others) else []
    return " | ".join(dict.fromkeys(" | ".join([*literal, *others] or ["str"]).split(" | ")))


def formatted(text: str, root: Path) -> str:
    """Return a stub with the project's formatting and import order."""
    ruff = [sys.executable, "-m", "ruff"]
    rules = ["--config", str(root / "pyproject.toml"), "--no-cache", "--stdin-filename", str(FACE), "-"]
    first = ["--config", 'lint.isort.known-first-party=["mm", "benchmarks"]']
    for step in (["check", "--quiet", "--select", "I", "--fix", *first], ["format", "--quiet"]):
        text = subprocess.run([*ruff, *step, *rules], input=text, text=True, capture_output=True, check=True).stdout
    return text


def files_of(root: Path, pattern: str) -> list[Path]:
    """Return the files of the packages whose name matches *pattern*."""
    return sorted(path for package in PACKAGES for path in (root / package).rglob(pattern))


def make(root: Path) -> dict[Path, str]:
    """Return the stub of every kernel of the project at *root*, by relative path.

    Raises:
        NoType: If a kernel lacks a type; the message lists all of them, one per line.
    """
    made, missing = {}, []
    for path in files_of(root, "*.pyx"):
        try:
            made[path.relative_to(root).with_suffix(".pyi")] = Kernel(path, root).stub()
        except NoType as error:
            missing.append(str(error))
    if missing:
        raise NoType("\n".join(missing))
    return made


def write(root: Path, made: dict[Path, str]) -> None:
    """Write the stubs, and remove those whose kernel is gone."""
    for path, text in made.items():
        target = root / path
        target.write_text(text, encoding="utf-8")
    for path in files_of(root, "*.pyi"):
        if path.relative_to(root) not in {FACE, *made}:
            path.unlink()


def stubtest(root: Path) -> int:
    """Run mypy's stubtest on the kernels; imports of a kernel need not be in its stub.

    Returns:
        The exit code of stubtest.
    """
    kernels = [Kernel(path, root) for path in files_of(root, "*.pyx")]
    modules = [".".join(kernel.path.relative_to(root).with_suffix("").parts) for kernel in kernels]
    imported = [
        rf"{re.escape(module)}\.({'|'.join(labels)})"
        for module, kernel in zip(modules, kernels, strict=True)
        if (labels := [label for label, _ in kernel.imported()])
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as allowed:
        allowed.write("\n".join([*ARTEFACTS, *imported]))
        allowed.flush()
        options = ["--concise", "--ignore-disjoint-bases", "--mypy-config-file", "pyproject.toml"]
        command = ["-m", "mypy.stubtest", *options, "--ignore-unused-allowlist", "--allowlist", allowed.name, *modules]
        return subprocess.run([sys.executable, *command], cwd=root, check=False).returncode


def main() -> int:
    """Write the stubs, or compare them."""
    parser = argparse.ArgumentParser(description="Write the type stubs of the kernels, or that of mm/__init__.py.")
    parser.add_argument("--face", action="store_true", help="write mm/__init__.pyi")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if mm/__init__.pyi differs")
    parser.add_argument("--stubtest", action="store_true", help="compare the written stubs with the compiled kernels")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="the project's folder")
    args = parser.parse_args()
    if args.stubtest:
        return stubtest(args.root)
    if args.face or args.check:
        present, text = (args.root / FACE).read_text(encoding="utf-8"), formatted(face(args.root), args.root)
        if args.face:
            write(args.root, make(args.root) | {FACE: text})
        elif present != text:
            lines = difflib.unified_diff(present.splitlines(), text.splitlines(), str(FACE), "made", lineterm="", n=1)
            print(*lines, "mm/__init__.pyi is out of date; run make stubs", sep="\n")
            return 1
        return 0
    try:
        write(args.root, make(args.root))
    except NoType as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
