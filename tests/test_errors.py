"""The tree of error classes matches the drawing in the module's docstring."""

import re

from mm import errors
from mm.errors import Incomplete, MMError


def test_error_classes_match_documented_tree_and_exit_codes():
    """Scripts rely on the exit codes."""
    drawn, above = {}, []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    (?:([│ ├└─]*) )?(\w+) +(\d+|\*) ", line)
        if found:
            depth = len(found[1] or "") // 3
            above[depth:] = [found[2]]
            drawn[found[2]] = (above[depth - 1] if depth else None, found[3])
    classes = {name: one for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, MMError)}
    assert drawn.keys() == classes.keys()
    for name, (parent, code) in drawn.items():
        one = classes[name]
        assert one.__base__.__name__ == (parent or "Exception"), name
        assert code in ("*", str(one.exit_code)), name


def test_incomplete_error_keeps_given_exit_code():
    """An incomplete result must not exit with code 0."""
    error = Incomplete("two of three days failed", 3)
    assert (str(error), error.exit_code) == ("two of three days failed", 3)
