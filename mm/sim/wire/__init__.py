"""The exchange's wire: one port for HTTP and WebSocket, with the protocols of Binance Spot."""
