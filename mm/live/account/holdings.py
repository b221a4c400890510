"""Account balances; newer reports replace older ones.

Events and answers overtake one another, so each balance keeps its instant by the exchange's clock.
"""

from mm.clock import US_PER_S
from mm.live.venues.balances import Balances

SETTLED_US = 10 * US_PER_S
"""What happened so long before an answer is in it, whatever instant the answer names."""


class Holdings:
    def __init__(self) -> None:
        self.balances: dict[str, tuple[str, str]] = {}
        self._since_us: dict[str, int] = {}  # the instant that a balance is of; of those that events have told

    def changed(self, balances: Balances, us: int) -> None:
        for asset, held in balances.items():
            if us >= self._since_us.get(asset, 0):
                self.balances[asset], self._since_us[asset] = held, us

    def answered(self, balances: Balances, us: int, answer_us: int) -> None:
        if us > answer_us + US_PER_S:  # the account last changed before the exchange's clock was set back
            us = answer_us
        until_us = max(us, answer_us - SETTLED_US)
        younger = {asset: since_us for asset, since_us in self._since_us.items() if since_us > until_us}
        told = {asset: self.balances[asset] for asset in younger}
        self.balances = {**balances, **told}
        self._since_us = dict.fromkeys(balances, us) | younger

    def interrupted(self) -> None:
        """Accept whatever comes next: events were lost, or the clock went back."""
        self._since_us.clear()
