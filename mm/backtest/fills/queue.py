"""The queue models, at the address that scripts use; they are compiled with the others in `mm.backtest.fills.base`."""

from mm.backtest.fills.base import QueueProbLog, QueueProbPower, QueueRiskAverse

__all__ = ["QueueProbLog", "QueueProbPower", "QueueRiskAverse"]
