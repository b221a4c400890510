"""Margin of USD-M contracts in exact integers, shared by `mm.sim` and the replay."""
