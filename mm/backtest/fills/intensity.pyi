from collections.abc import Iterable

REFERENCES: tuple[str, ...]
FOREVER: int

class Intensity:
    reference: str
    def __init__(
        self, pieces: Iterable[tuple[int, int, float, float, float, float, float]], reference: str = ...
    ) -> None: ...
    @classmethod
    def constant(cls, A: float, k: float, reference: str = ...) -> Intensity: ...  # noqa: N803
    def at(self, us: int, side: int, delta: float) -> float: ...
