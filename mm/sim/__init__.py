"""The exchange in a box: simulated markets with known truth, and a simulated exchange."""

COMMANDS = {
    "day": ("Make a seeded synthetic day with known truth.", "mm.sim.__main__:sim_day"),
    "serve": ("Serve a simulated exchange over REST and WebSocket.", "mm.sim.__main__:sim_serve"),
    "api": ("Serve a simulated exchange for trading clients of any asset class.", "mm.api.command:sim_api"),
    "as2008": (
        "Print the tables of Avellaneda and Stoikov (2008), exact and simulated.",
        "mm.sim.__main__:sim_as2008",
    ),
}
"""The commands of ``mm sim``: help text and function."""
