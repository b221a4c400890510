"""The queue models; they are compiled with the other fill models, in `mm.backtest.fills.base`."""

from mm.backtest.fills.base import QueueHazard, QueueProbLog, QueueProbPower, QueueRiskAverse

__all__ = ["QueueHazard", "QueueProbLog", "QueueProbPower", "QueueRiskAverse"]
