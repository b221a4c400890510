"""The exchange's wire: one port that speaks HTTP and WebSocket as Binance Spot does."""
