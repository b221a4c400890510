"""Reinforcement learning: importing this registers ``mm.rl.MarketMaking-v0`` with gymnasium; docs/learning.md."""

import gymnasium

gymnasium.register("mm.rl.MarketMaking-v0", entry_point="mm.rl.environment:MarketMaking")
