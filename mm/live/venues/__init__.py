"""The dialects of exchanges: addresses, keys, requests, messages, limits, latencies."""
