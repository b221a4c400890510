"""The queue models; they are compiled with the other fill models, in `mm.backtest.fills.base`."""

from mm.backtest.fills.base import QueueProbLog, QueueProbPower, QueueRiskAverse

__all__ = ["QueueProbLog", "QueueProbPower", "QueueRiskAverse"]
