"""What a user of contracts is told beside executions."""

from dataclasses import dataclass

from mm.margin.wallet import PositionState


@dataclass(frozen=True, slots=True)
class AccountChange:
    us: int
    reason: str
    wallet_e8: int
    cross_e8: int
    change_e8: int
    positions: tuple[PositionState, ...]


@dataclass(frozen=True, slots=True)
class ConfigChange:
    us: int
    symbol: str
    leverage: int


@dataclass(frozen=True, slots=True)
class MarginCall:
    """Too little margin behind positions; *cross_e8* is the cross balance, None for an isolated position."""

    us: int
    cross_e8: int | None
    positions: tuple[PositionState, ...]
