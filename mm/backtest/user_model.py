"""What is said when a user's model raises."""

import traceback

from mm.errors import ModelError

KERNEL = "mm."  # where the names of compiled functions of ours begin


def raised(model: object, hook: str, error: BaseException) -> ModelError:
    """Return the error that names the model whose *hook* raised, and its line that did, or that asked what did."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.name.startswith(KERNEL)]
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return ModelError(f"{type(model).__name__}.{hook} raised {type(error).__name__}: {error}{where}")


def raised_inside(error: Exception) -> ModelError | None:
    """Return the error that names the hook of a compiled model of one's own that raised; None where none did."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = max((place for place, frame in enumerate(frames) if frame.name.startswith(KERNEL)), default=len(frames))
    if ours + 1 < len(frames):
        hook, last = frames[ours + 1].name, frames[-1]
        return ModelError(f"{hook} raised {type(error).__name__}: {error} at {last.filename}:{last.lineno}")
    if isinstance(error, SystemError):
        return ModelError("a compiled model answered -1 and raised nothing; its hooks answer 0 or more")
    return None
