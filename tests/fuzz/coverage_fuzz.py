"""Coverage-guided fuzzing of parsers, importers and the server: ``python tests/fuzz/coverage_fuzz.py TARGET``.

atheris (``pip install -e .[fuzz]``) mutates inputs and keeps those that reach new branches of the Python code. A crash
is an undocumented exception, an input that takes longer than 5 s, or one that exceeds a memory limit; its input is
saved, and the exit code is 1. Without atheris it is 2.

    python tests/fuzz/coverage_fuzz.py server --seconds 180 --seed 1
    python tests/fuzz/coverage_fuzz.py server --input out/fuzz/server/crash-…   # repeat it, without atheris
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HANG_S = 5
MOST_MB = 1_024
EVERY_S = 10.0
LONGEST_INPUT = 4_096
NEEDED = "atheris is not installed; pip install -e '.[fuzz]' (Linux and macOS, CPython), or repeat an input by --input"
NAMES = ("messages", "diffs", "table", "captures", "server", "planted")
_FIGURES = re.compile(r"#(\d+)\s.*cov: (\d+) .*corp: (\d+)/.*rss: (\d+)Mb")


def main() -> int:
    """Fuzz one target, or repeat one input."""
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing; see the docstring of this file.")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations; from 1 (default 1)")
    parser.add_argument("--corpus", type=Path, help="folder of inputs that is read and grows; default: a temporary one")
    parser.add_argument("--crashes", type=Path, help="folder for inputs that crash (default out/fuzz/TARGET)")
    parser.add_argument("--input", type=Path, help="play this one input, and nothing else")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.input:
        return _repeat(args.target, args.input)
    if importlib.util.find_spec("atheris") is None:
        print(NEEDED, file=sys.stderr)
        return 2
    return _fuzz(args) if args.child else _supervise(args)


def _repeat(name: str, path: Path) -> int:
    from fuzz_targets import TARGETS

    started_at = time.monotonic()
    accepted = TARGETS[name].run(path.read_bytes())
    took_s = time.monotonic() - started_at
    print(f"{name}: {path.name} is {'accepted' if accepted else 'refused'}, {took_s:.2f} s")
    return int(took_s > HANG_S)


def _supervise(args: argparse.Namespace) -> int:
    """Run atheris in a separate process, so that a hang or a dead interpreter is a result as well."""
    crashes = args.crashes or ROOT / "out" / "fuzz" / args.target
    crashes.mkdir(parents=True, exist_ok=True)
    before = set(crashes.iterdir())
    with tempfile.TemporaryDirectory(prefix="mm-fuzz-") as place:
        corpus = args.corpus or Path(place)
        corpus.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(Path(__file__).resolve()), args.target, "--child"]
        command += ["--seconds", str(args.seconds), "--seed", str(args.seed), "--corpus", str(corpus)]
        command += ["--crashes", str(crashes)]
        paths = [str(ROOT), str(ROOT / "tests"), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
            errors="replace",
        )
        last = _follow(child, args.target)
        code = child.wait()
    for path in sorted(set(crashes.iterdir()) - before):
        print("\n".join(last))
        print(f"{args.target}: {path.name.partition('-')[0]}, the input is saved; repeat it:")
        print(f"  python tests/fuzz/coverage_fuzz.py {args.target} --input {path}")
        return 1
    if code:
        print("\n".join(last))
        print(f"{args.target}: the fuzzer ended with {code}, without an input")
        return 1
    return 0


def _follow(child: "subprocess.Popen[str]", name: str) -> list[str]:
    """Print a line of progress from time to time; return the last lines of the fuzzer."""
    last: list[str] = []
    started_at = printed_at = time.monotonic()
    statistics = "no input yet"
    for line in child.stdout or ():
        if match := _FIGURES.match(line):
            inputs, branches, kept, mb = map(int, match.groups())
            statistics = f"{inputs:,} inputs, {branches:,} branches, {kept:,} kept, {mb} MB"
        elif not line.startswith(("INFO", "WARNING", "#")):
            last = [*last[-60:], line.rstrip()]
        if time.monotonic() - printed_at >= EVERY_S:
            printed_at = time.monotonic()
            print(f"{name} {printed_at - started_at:.0f} s: {statistics}", flush=True)
    print(f"{name} {time.monotonic() - started_at:.0f} s: {statistics}", flush=True)
    return last


def _fuzz(args: argparse.Namespace) -> None:
    import atheris

    with atheris.instrument_imports(
        include=["mm", "h11", "websockets.frames", "websockets.protocol", "plain_parse"], enable_loader_override=False
    ):
        from fuzz_targets import TARGETS
    target = TARGETS[args.target]
    for number, seed in enumerate(target.seeds):
        (args.corpus / f"seed-{number}").write_bytes(seed)
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words:
        for token in target.tokens:
            words.write('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n')
        words.flush()
        options: dict[str, int | str] = {
            "max_total_time": args.seconds,
            "seed": args.seed,
            "timeout": HANG_S,
            "rss_limit_mb": MOST_MB,
            "max_len": LONGEST_INPUT,
            "artifact_prefix": f"{args.crashes}/",
        }
        if target.tokens:
            options["dict"] = words.name
        atheris.Setup(
            [sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(args.corpus)], target.run
        )
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
