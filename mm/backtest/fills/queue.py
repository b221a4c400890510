"""The queue models' address for scripts; they are compiled in `mm.backtest.fills.base`."""

from mm.backtest.fills.base import QueueProbLog, QueueProbPower, QueueRiskAverse

__all__ = ["QueueProbLog", "QueueProbPower", "QueueRiskAverse"]
