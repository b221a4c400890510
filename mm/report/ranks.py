"""The rank of a note on a page: what to do, what to know, or a detail."""

import re

from mm.backtest.metrics.notes import NULL
from mm.backtest.run_terms import EXCLUDED, NO_SENSITIVITY

ACT, KNOW, DETAIL = "act", "know", "detail"
RANKS = {ACT: "What to do", KNOW: "What to know", DETAIL: "Details"}
_DETAILS = (NULL, EXCLUDED, NO_SENSITIVITY)
# A note ends with its way out: a clause in the imperative.
_VERBS = (
    "add allow build calibrate check choose compare count cross declare drop fetch fit fund give import install leave "
    "let lower make measure name open pip play put quote raise read record reduce repair repeat report restore run see "
    "send set start train try use verify wait widen"
)
_WAY_OUT = re.compile(rf"[;:(] (?:or )?(?:{'|'.join(_VERBS.split())})\b|\((?:see|{'|'.join(_VERBS.split())}) ")


def rank_of(line: str) -> str:
    if line.startswith(_DETAILS):
        return DETAIL
    return ACT if _WAY_OUT.search(line) else KNOW
