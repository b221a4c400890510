"""What is said when a user's model raises."""

import traceback

from mm.errors import ModelError


def raised(model: object, hook: str, error: BaseException) -> ModelError:
    """Return the error that names the model whose *hook* raised, and the line that did."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return ModelError(f"{type(model).__name__}.{hook} raised {type(error).__name__}: {error}{where}")
