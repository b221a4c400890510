"""The tree of errors, as its page draws it."""

import re

from mm import errors
from mm.errors import Incomplete, MMError


def test_every_error_has_the_place_and_the_exit_code_that_the_tree_draws():
    """A script tells by the code what went wrong."""
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


def test_what_is_incomplete_ends_with_the_code_of_its_first_failure():
    """The caller must not mistake it for done."""
    error = Incomplete("two of three days failed", 3)
    assert (str(error), error.exit_code) == ("two of three days failed", 3)
