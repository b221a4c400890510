"""The queue models' address for scripts; they are compiled in `mm.backtest.fills.base`."""

from mm.backtest.fills.base import QueueBack, QueueFront, QueueProbLog, QueueProbPower

QueueRiskAverse = QueueBack

__all__ = ["QueueBack", "QueueFront", "QueueProbLog", "QueueProbPower", "QueueRiskAverse"]
