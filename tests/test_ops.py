"""The files that start recorders say what the package has."""

import configparser
import re
import shutil
import subprocess

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mm.cli.config import Name, Terminal
from mm.cli.knobs import knobs
from mm.cli.task_knobs import Recorder, Sources
from support import ROOT
from tools import pins as tools_pins

UNITS = sorted((ROOT / "mm" / "ops" / "deploy").glob("*.service"))
COMMAND = "python -m mm.market_data.recorder"


def unit(path):
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str
    parser.read(path)
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_the_recorder_and_lets_it_end_in_order(path):
    """The signal goes to the first process alone, which passes it on, and a wrong knob is not tried for ever."""
    service = unit(path)["Service"]
    assert service["ExecStart"].endswith(COMMAND)
    known = {one.variable for group in (Sources, Recorder, Name, Terminal) for one in knobs(group)}
    settings = dict(word.split("=", 1) for word in service["Environment"].split())
    assert settings.keys() <= known
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 20
    assert service["RestartPreventExitStatus"].split() == ["2", "3"]
    assert unit(path)["Install"]["WantedBy"] == "multi-user.target"


def test_cron_and_the_container_start_it_too():
    """The same command everywhere."""
    lines = [line for line in (ROOT / "crontab").read_text().splitlines() if COMMAND in line]
    assert len(lines) == 2
    assert lines[1].endswith("--status > /dev/null")
    assert '"mm.market_data.recorder"' in (ROOT / "Dockerfile").read_text()
    assert len(UNITS) == 2


DEPLOY = ROOT / "mm" / "ops" / "deploy"
LISTS = tools_pins.lists()


@pytest.mark.parametrize("name", LISTS)
def test_every_package_of_an_image_is_pinned_with_its_hashes(name):
    """A list that lacks one, or has another version than pyproject.toml wants, is found here and not on the box."""
    pinned = {}
    for entry in (
        (DEPLOY / f"requirements-{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()[1:]
    ):
        words = entry.split()
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in words[1:]), entry
        assert len(words) > 1, entry
        package, _, version = words[0].partition("==")
        pinned[package] = version
    for one in map(Requirement, LISTS[name]):
        if one.marker is None or one.marker.evaluate({"sys_platform": "linux"}):
            assert one.specifier.contains(pinned[canonicalize_name(one.name)]), one


def test_images_install_what_is_pinned_and_run_as_a_user():
    """Neither a package of the day nor root."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip (?:install|wheel) [^&\n]*", text)
    assert len(installs) == 8
    assert all("--require-hashes -r /requirements-" in one or "--no-deps" in one for one in installs), installs
    targets = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    started = [target for target in targets if re.search(r"^(CMD|ENTRYPOINT)", target, re.MULTILINE)]
    assert len(started) == 3
    for target in started:
        assert target.index("\nUSER mm\n") > target.rindex("\nRUN ")
        assert "apt-get" not in target


def test_no_image_that_runs_has_packages_of_development():
    """The research image computes; who changes the code does so in a checkout."""
    of_development = {"pytest", "pytest-xdist", "hypothesis", "mypy", "ruff", "cython", "ccxt", "statsmodels"}
    for name in ("recorder", "trader", "research"):
        text = (DEPLOY / f"requirements-{name}.txt").read_text(encoding="utf-8")
        assert not of_development & set(re.findall(r"^([\w-]+)==", text, re.MULTILINE)), name


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_actions_are_pinned_by_their_commit(path):
    """A tag of an action can be moved to other code."""
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v[\d.]+", comment), action


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_kept_in_its_room(path, tmp_path):
    """The recorder talks to strangers: what it cannot need is taken from it (exposure 9.2 without, 10 is the most)."""
    copy = tmp_path / path.name.replace("@", "@one")
    copy.write_bytes(path.read_bytes())
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze looks at running units alone")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
