"""Profiles for the examples of property tests: the same in every run, or random with a repeat command.

- ``repeatable`` (the default): examples depend on the test alone, so that failures are reproducible and are not
  caused by other examples.
- ``thorough`` (``make test-all``): the same, and more of them.
- ``fuzz`` (``make fuzz``): random examples of a seed; each failure is printed with the command that repeats it.
"""

from shlex import quote

import pytest
from hypothesis import settings

# No deadline: the time of an example depends on the load of the machine.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("thorough", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("fuzz", deadline=None, derandomize=False, max_examples=500, print_blob=True)
settings.load_profile("repeatable")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the command that repeats each failure of a random run."""
    seed = config.getoption("--hypothesis-seed", None)
    if config.getoption("--hypothesis-profile", None) != "fuzz" or seed is None:
        return
    for report in terminalreporter.stats.get("failed", []):
        command = f"-m pytest {quote(report.nodeid)} --hypothesis-profile=fuzz --hypothesis-seed={seed}"
        terminalreporter.write_line(f"repeat: .venv/bin/python {command}")
