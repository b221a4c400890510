"""Service units, crontab, container images and workflows match the package."""

import configparser
import re
import shutil
import subprocess

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mm.base.common_knobs import Name, Terminal
from mm.base.knobs import knobs
from mm.cli.task_knobs import Recorder, Sources
from mm.commands.audit import audit_ship
from mm.commands.shadow import shadow
from mm.commands.trade import trade
from mm.commands.watchdog import watchdog
from support import ROOT
from tools import pins as tools_pins

DEPLOY = ROOT / "mm" / "ops" / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
COMMAND = "python -m mm.market_data.recorder"


def read_unit(path):
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str
    parser.read(path)
    return parser


# By the name of a unit: its command, and the exit codes after which a person is needed.
STARTED = {
    "mm-recorder@": (COMMAND, "2 3"),
    "mm-recorders": (COMMAND, "2 3"),
    "mm-shadow@": ("python -m mm shadow", "1 2 3 5"),
    "mm-trader@": ("python -m mm trade", "1 2 3 5"),
    "mm-audit": ("python -m mm audit ship --head ${HEADS} --every 60", "2"),
    "mm-watchdog": ("python -m mm watchdog", "2"),
}


def variables_of(command):
    """Return the variables that a unit's command reads."""
    if command == COMMAND:
        return {one.variable for group in (Sources, Recorder, Name, Terminal) for one in knobs(group)}
    mains = {"shadow": shadow, "trade": trade, "watchdog": watchdog, "audit": audit_ship}
    found = mains[command.split()[3]]
    return {option.envvar for option in found.params}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_unit_starts_its_command_and_allows_orderly_stop(path):
    """The stop signal goes to the main process only, and an invalid knob causes no endless restarts."""
    service = read_unit(path)["Service"]
    command, no_restart = STARTED[path.stem]
    assert service["ExecStart"].endswith(command)
    settings = dict(word.split("=", 1) for word in service["Environment"].split())
    assert settings.pop("TMPDIR") == "/var/lib/mm/tmp", "budgets and the lock of a trader are shared"
    assert settings.keys() <= variables_of(command)
    assert all(value.startswith("/var/lib/mm/") for name, value in settings.items() if name.endswith("_ROOT"))
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 20
    assert service["RestartPreventExitStatus"] == no_restart
    assert read_unit(path)["Install"]["WantedBy"] == "multi-user.target"


def test_watchdog_reads_the_folders_of_the_trader():
    """It would see nothing elsewhere; audit logs are readable by their user alone."""
    watched, traded = (read_unit(DEPLOY / f"{name}.service")["Service"] for name in ("mm-watchdog", "mm-trader@"))
    assert set(watched["Environment"].split()) == set(traded["Environment"].split()) - {"SYMBOL=%i"}
    assert watched["User"] == traded["User"]


def test_crontab_and_dockerfile_start_the_recorder():
    """Both use the same command as the units."""
    lines = [line for line in (ROOT / "crontab").read_text().splitlines() if COMMAND in line]
    assert len(lines) == 2
    assert lines[1].endswith("--status > /dev/null")
    assert '"mm.market_data.recorder"' in (ROOT / "Dockerfile").read_text()
    assert {path.stem for path in UNITS} == STARTED.keys()


LISTS = tools_pins.lists()


@pytest.mark.parametrize("name", LISTS)
def test_image_requirements_are_pinned_with_hashes(name):
    """Pinned versions satisfy pyproject.toml."""
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


def test_images_install_pinned_packages_and_run_as_user():
    """Images neither install unpinned packages nor run as root."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip (?:install|wheel) [^&\n]*", text)
    assert len(installs) == 10
    assert all("--require-hashes -r /requirements-" in one or "--no-deps" in one for one in installs), installs
    targets = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    started = [target for target in targets if re.search(r"^(CMD|ENTRYPOINT)", target, re.MULTILINE)]
    assert len(started) == 4
    for target in started:
        assert target.index("\nUSER mm\n") > target.rindex("\nRUN ")
        assert "apt-get" not in target


def test_runtime_images_have_no_development_packages():
    """Development happens in a checkout, not in an image."""
    development_packages = {"pytest", "pytest-xdist", "hypothesis", "mypy", "ruff", "cython", "ccxt", "statsmodels"}
    for name in ("recorder", "trader", "research", "desk"):
        text = (DEPLOY / f"requirements-{name}.txt").read_text(encoding="utf-8")
        assert not development_packages & set(re.findall(r"^([\w-]+)==", text, re.MULTILINE)), name


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflow_actions_are_pinned_by_commit(path):
    """A tag of an action can be moved to other code."""
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v[\d.]+", comment), action


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_unit_passes_systemd_security_analysis(path, tmp_path):
    """Unneeded privileges are dropped (the exposure is 9.2 of 10 without the restrictions)."""
    copy = tmp_path / path.name.replace("@", "@one")
    copy.write_bytes(path.read_bytes())
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze looks at running units alone")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
