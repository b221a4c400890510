"""Build the documentation site, ``make site``: every page of the project, with search, under ``build/site``.

Pages keep their paths in the checkout, so that links work in both; linked files are copied as well.
mkdocs runs with ``--strict``: it fails on a page missing from the navigation and on a dead link or anchor.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "build" / "site_source"
FOLDERS = ("docs", "mm")
_LINK = re.compile(r"\]\(([^()\s#:]+)(?=[#)])")


def pages() -> list[Path]:
    """Return all pages, as paths relative to the checkout."""
    found = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    return sorted(path.relative_to(ROOT) for path in found)


def stage() -> None:
    """Copy the pages and linked files into an empty folder; a link to a folder becomes one to its first file."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for page in pages():
        parts = _LINK.split((ROOT / page).read_text(encoding="utf-8"))
        for at in range(1, len(parts), 2):
            parts[at] = f"]({_target(page, parts[at])}"
        _place(page).write_text("".join(parts), encoding="utf-8")


def _target(page: Path, link: str) -> str:
    """Return the target of a page's link on the site, after copying it there."""
    there = (ROOT / page.parent / link).resolve()
    if there.is_dir():
        files = sorted(path for path in there.iterdir() if path.is_file())
        for path in files:
            shutil.copyfile(path, _place(path.relative_to(ROOT)))
        return f"{link.rstrip('/')}/{files[0].name}"
    if there.is_file() and there.suffix != ".md":
        shutil.copyfile(there, _place(there.relative_to(ROOT)))
    return link


def _place(path: Path) -> Path:
    place = SOURCE / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def main() -> int:
    """Build the site."""
    stage()
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=ROOT, env=environment, check=False)
    if not done.returncode:
        print(ROOT / "build" / "site" / "index.html")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
