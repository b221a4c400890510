"""The exchange in a box: simulated markets with known truth, and a simulated exchange."""

COMMANDS = {
    "day": ("Make a seeded synthetic day with known truth.", "mm.catalog.simulation:sim_day"),
    "serve": ("Serve a simulated exchange over REST and WebSocket.", "mm.catalog.simulation:sim_serve"),
    "api": ("Serve a simulated exchange for trading clients of any asset class.", "mm.catalog.simulation:sim_api"),
    "as2008": (
        "Print the tables of Avellaneda and Stoikov (2008), exact and simulated.",
        "mm.catalog.simulation:sim_as2008",
    ),
}
"""The commands of ``mm sim``: help text and function."""
