"""Draw natural slips in random product lines, and show by room how many of them the tests notice.

    python tools/drawn_faults.py --seed 7 --number 50                    of all rooms, in equal parts
    python tools/drawn_faults.py --seed 7 --rooms live sim/matching      of some
    python tools/drawn_faults.py --seed 7 --list                         print them, to name those that change nothing
    python tools/drawn_faults.py --seed 7 --without 3 17                 the same without the equivalent ones
    python tools/drawn_faults.py --seed 7 --slow                         with the slow tests of the room

A slip is the nearest of its line: a comparison, a sign, an operator, the unit, two arguments the wrong way round, a
condition turned, a reset or an early return forgotten, another key. The tests of the room are run without those marked
slow until the first fails. What they do not notice is printed with its line. A room is a folder of `mm`, its tests are
named in `ROOMS`. Kernels are not drawn from: each fault would compile one.
`seeded_faults.py` keeps slips that were made.
"""

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from seeded_faults import LEFT_OUT, ROOT, restore

LIVE = ("account", "audit", "orders", "pages", "run", "state", "venues")
OWN = "backtest base calibration cli commands dashboard dayfolder formats markets play predict probes report rl runs"
ROOMS = {
    **{room: (f"tests/{room}",) for room in f"{OWN} backtest/metrics signals sim sweep tape terminal trials".split()},
    **{f"live/{room}": ("tests/live",) for room in LIVE},
    "backtest": ("tests/backtest", "tests/test_oracle.py", "tests/test_oracle_orders.py", "tests/test_oracle_risk.py"),
    "base": ("tests/base", "tests/cli", "tests/test_docs.py", "tests/test_atomic_file.py"),
    "market_data": ("tests/recorder", "tests/market_data", "tests/markets"),
    "markets": ("tests/markets", "tests/market_data"),
    "walkforward": ("tests/play", "tests/sweep", "tests/commands"),
}
MAX_S = 900  # of the tests of one fault
COMPARISONS = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
OPERATORS = {ast.Add: "-", ast.Sub: "+", ast.Mult: "//", ast.FloorDiv: "*", ast.Div: "*", ast.Mod: "//"}
UNITS = {"US_PER_S": "US_PER_MS", "US_PER_MS": "US_PER_S", "E8": "1", "MS_PER_S": "1"}
OTHERS = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Slip(NamedTuple):
    """A change of one piece of a product file, from byte *begin* to *end*."""

    path: str
    line: int
    kind: str
    begin: int
    end: int
    after: str


class Slips(ast.NodeVisitor):
    """The slips that the lines of a file offer; annotations, docstrings and texts of errors offer none."""

    def __init__(self, path: str, text: bytes) -> None:
        self.path, self.text, self.slips = path, text, list[Slip]()
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._keys = list[tuple[str, ast.Constant]]()
        self.visit(ast.parse(text))
        names = sorted({name for name, _ in self._keys})
        for name, key in self._keys if len(names) > 1 else ():
            self._slip("key", key, repr(names[names.index(name) - 1]))

    def _at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno or 0, node.end_col_offset or 0)

    def _source(self, node: ast.expr | ast.stmt) -> str:
        begin, end = self._span(node)
        return self.text[begin:end].decode()

    def _slip(self, kind: str, node: ast.expr | ast.stmt, after: str) -> None:
        self.slips.append(Slip(self.path, node.lineno, kind, *self._span(node), after))

    def _between(self, kind: str, left: ast.expr, right: ast.expr, before: str, after: str) -> None:
        begin, end = self._span(left)[1], self._span(right)[0]
        gap = self.text[begin:end].decode()
        if gap.count(before) == 1 and "\n" not in gap:
            at = begin + len(gap.partition(before)[0].encode())
            self.slips.append(Slip(self.path, left.lineno, kind, at, at + len(before.encode()), after))

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave texts of errors as they are."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave texts as they are."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arguments(self, node: ast.arguments) -> None:
        """Leave parameters, their defaults and types as they are."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1 and (after := COMPARISONS.get(type(node.ops[0]))):
            names = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
            words = {ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"}
            before = {**names, **words}[type(node.ops[0])]
            self._between("comparison", node.left, node.comparators[0], before, after)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        before = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Div: "/", ast.Mod: "%"}
        text = isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
        if type(node.op) in OPERATORS and not text:
            self._between("sign", node.left, node.right, before[type(node.op)], OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        before, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        self._between("condition", node.values[0], node.values[1], before, after)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub | ast.Not):
            self._slip("sign", node, self._source(node.operand))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            if node.id in UNITS:
                self._slip("unit", node, UNITS[node.id])
            elif node.id in OTHERS:
                self._slip("bound", node, OTHERS[node.id])

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            self._keys.append((node.slice.value, node.slice))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        given = [one for one in node.args if isinstance(one, ast.Name | ast.Attribute)]
        if len(given) == len(node.args) >= 2 and self._source(given[0]) != self._source(given[1]):
            begin, end = self._span(given[0])[0], self._span(given[1])[1]
            gap = self.text[self._span(given[0])[1] : self._span(given[1])[0]].decode()
            swapped = self._source(given[1]) + gap + self._source(given[0])
            self.slips.append(Slip(self.path, node.lineno, "argument", begin, end, swapped))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        last = node.body[-1]
        if len(node.body) == 1 and isinstance(last, ast.Return | ast.Continue) and not node.orelse:
            self._slip("early return", node.test, "False")
        else:
            self._slip("condition", node.test, f"not ({self._source(node.test)})")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Attribute) and isinstance(node.value, ast.Constant) and self._is_method(node):
            self._slip("reset", node, "pass")
        self.visit(node.value)

    def _is_method(self, node: ast.Assign) -> bool:
        return node.col_offset > 8

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        after = {ast.Add: "-=", ast.Sub: "+="}.get(type(node.op))
        if after:
            self._between("sign", node.target, node.value, "+=" if after == "-=" else "-=", after)
        self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, int) and not isinstance(node.value, bool) and 0 <= node.value <= 10:
            self._slip("number", node, str(node.value + 1))


def files_of(room: str) -> list[Path]:
    """Return the modules of a room, without those of rooms below it that are rooms of their own."""
    below = [other for other in ROOMS if other.startswith(f"{room}/")]
    inside = sorted((ROOT / "mm" / room).rglob("*.py"))
    names = [(path, path.relative_to(ROOT / "mm").as_posix()) for path in inside]
    files = [path for path, name in names if not any(name.startswith(f"{other}/") for other in below)]
    if not files:
        raise SystemExit(f"mm/{room} has no module: {Path(__file__).name} names it in ROOMS")
    return files


def drawn(seed: int, number: int, rooms: list[str]) -> Iterator[tuple[str, Slip]]:
    """Yield *number* slips, of each room as many, no two of one line; of each room a kind first, then its line."""
    chance = random.Random(seed)
    offers = {}
    for room in rooms:
        kinds = dict[str, list[Slip]]()
        for path in files_of(room):
            for slip in Slips(path.relative_to(ROOT).as_posix(), path.read_bytes()).slips:
                kinds.setdefault(slip.kind, []).append(slip)
        offers[room] = kinds
    seen = set[tuple[str, int]]()
    for turn in range(number):
        room = rooms[turn % len(rooms)]
        while True:
            slip = chance.choice(offers[room][chance.choice(sorted(offers[room]))])
            if (slip.path, slip.line) not in seen:
                break
        seen.add((slip.path, slip.line))
        yield room, slip


def noticed_by(slip: Slip, tests: tuple[str, ...], copy: Path, *, slow: bool) -> str:
    """Return the test in *copy* that fails with *slip*, "time" if none ends in MAX_S; empty if none notices it."""
    path = copy / slip.path
    text = path.read_bytes()
    path.write_bytes(text[: slip.begin] + slip.after.encode() + text[slip.end :])
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--slow", "all" if slow else "none"]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [*pytest, *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, text=True, capture_output=True, timeout=MAX_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "time"
    finally:
        restore(copy)
    lines: list[str] = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    if failed:
        return failed[0].split(" - ")[0]
    if done.returncode:  # not by the slip
        raise SystemExit(f"{slip.path}: pytest {' '.join(tests)}: {(done.stdout + done.stderr).strip()[-800:]}")
    return ""


def main() -> int:
    """Draw, seed, print; exit code 1 below the least share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--number", type=int, default=50, help="of slips (default: 50)")
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=[*ROOMS], metavar="ROOM", help=" ".join(ROOMS))
    parser.add_argument("--without", nargs="+", type=int, default=[], metavar="N", help="slips that change nothing")
    parser.add_argument("--list", action="store_true", help="print the slips, and run nothing")
    parser.add_argument("--slow", action="store_true", help="with tests that are marked slow")
    parser.add_argument("--least", type=float, default=0.0, help="exit code 1 below this share (default: 0)")
    parser.add_argument("--out", type=Path, help="append a JSON line a slip to this file")
    given = parser.parse_args()
    rows = [(n, *slip) for n, slip in enumerate(drawn(given.seed, given.number, given.rooms), 1)]
    totals = dict[str, list[int]]()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "checkout")
        if not given.list:
            shutil.copytree(ROOT, copy, ignore=lambda place, _: LEFT_OUT if Path(place) == ROOT else ())
        for n, room, slip in rows:
            text = (ROOT / slip.path).read_bytes()
            line = text.splitlines()[slip.line - 1].decode().strip()
            change = f"{text[slip.begin : slip.end].decode()!r} -> {slip.after!r}"
            if given.list or n in given.without:
                print(f"{n:3} {slip.path}:{slip.line} {slip.kind}: {change}: {line}")
                continue
            began = time.monotonic()
            by = noticed_by(slip, ROOMS[room], copy, slow=given.slow)
            seen = totals.setdefault(room, [0, 0])
            seen[0] += bool(by)
            seen[1] += 1
            took_s = time.monotonic() - began
            told = by or f"MISSED: {change}: {line}"
            print(f"{n:3} {slip.path}:{slip.line} {slip.kind} {took_s:.0f} s {told}", flush=True)
            if given.out:
                row = {"seed": given.seed, "n": n, "room": room, **slip._asdict(), "by": by, "slow": given.slow}
                with given.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    if given.list:
        return 0
    for room, (noticed, all_) in totals.items():
        print(f"{room:20} {noticed:3} of {all_}")
    noticed, all_ = (sum(column) for column in zip(*totals.values(), strict=True))
    print(f"{noticed} of {all_} noticed")
    return 1 if noticed < given.least * all_ else 0


if __name__ == "__main__":
    sys.exit(main())
