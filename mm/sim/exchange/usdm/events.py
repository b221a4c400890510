"""What a user of contracts is told beside executions: changes of wallet, positions and settings, and margin calls."""

from dataclasses import dataclass

from mm.margin.wallet import PositionState


@dataclass(frozen=True, slots=True)
class AccountChange:
    """A change of an account; amounts in 1e-8 of the quote asset."""

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
