"""What makes a model that is given as a class or an object another one: its code and its state."""

import inspect
import pickle
from functools import partial
from typing import Any
from uuid import uuid4

from mm.base.user_code import USER_ERRORS


def kind_of(model: object) -> type:
    made = model.args[0] if isinstance(model, partial) else model
    return made if isinstance(made, type) else type(made)


def identity(model: object) -> Any:
    kind = kind_of(model)
    state: Any = model.args[1] if isinstance(model, partial) and len(model.args) > 1 else None
    if not isinstance(model, partial | type):
        try:
            state = pickle.dumps(model, protocol=4).hex()
        except USER_ERRORS:  # what cannot be told apart is another trial each time
            state = uuid4().hex
    sources = [_source(base) for base in kind.__mro__ if not base.__module__.startswith(("mm.", "builtins"))]
    return [kind.__module__, kind.__qualname__, sources, repr(state)]


def _source(kind: type) -> str:
    """Return a class's source; of one typed at a prompt, its methods' code."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        codes = [getattr(value, "__code__", None) for value in vars(kind).values()]
        return repr([(code.co_code, code.co_consts, code.co_names) for code in codes if code is not None])
