"""The exchange's network interface: one port for HTTP and WebSocket, with Binance's protocols."""
