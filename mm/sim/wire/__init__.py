"""Network interface of the exchange: one port for HTTP and WebSocket, with the protocols of Binance Spot."""
