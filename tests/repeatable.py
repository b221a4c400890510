"""How property tests draw their examples: the same ones in every run, or random ones that a command repeats.

- ``repeatable`` (the default): an example depends on the test alone, so that a run of today finds what one of
  yesterday found, and a change is not blamed for what it did not break.
- ``fuzz`` (``make fuzz``): random examples of a seed; each failure comes with the command that repeats it.
"""

from shlex import quote

import pytest
from hypothesis import settings

# No example is timed: how long one takes says how busy the machine is.
settings.register_profile("repeatable", deadline=None, derandomize=True)
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
