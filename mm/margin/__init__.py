"""Margin of USD-M contracts in exact integers: brackets, positions, wallets, liquidation; shared by box and replay."""
