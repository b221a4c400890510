"""How an operation of USD-M is declared and called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mm.sim.exchange.parameters import Parameter, RequestParameters
from mm.sim.exchange.usdm.exchange import UsdmExchange
from mm.sim.exchange.usdm.wallet import FuturesAccount
from mm.sim.wire.operations import Call, Operation, Weigh
from mm.sim.wire.usdm.answers import UsdmTexts
from mm.sim.wire.usdm.parameters import USDM_PARAMETERS

if TYPE_CHECKING:
    from mm.sim.wire.usdm.feeds import UserStreams

V1, V2, V3, DATA = "/fapi/v1/", "/fapi/v2/", "/fapi/v3/", "/futures/data/"


@dataclass(frozen=True, slots=True)
class UsdmCall(Call):
    exchange: UsdmExchange
    texts: UsdmTexts  # type: ignore[assignment]  # formats another market
    streams: "UserStreams | None" = None
    exchanges: tuple[UsdmExchange, ...] = ()

    @property
    def owner(self) -> FuturesAccount:
        return self.exchange.account(self.account)

    def with_parameters(self, given: Mapping[str, str]) -> "UsdmCall":
        named = [exchange for exchange in self.exchanges if exchange.rules.instrument.symbol == given.get("symbol")]
        exchange = named[0] if named else self.exchange
        parameters = RequestParameters(given, exchange.rules.instrument.symbol, USDM_PARAMETERS)
        return replace(self, exchange=exchange, parameters=parameters, texts=UsdmTexts(exchange, self.texts.micro))

    def everywhere(self) -> "list[UsdmCall]":
        if self["symbol"]:
            return [self]
        micro = self.texts.micro
        return [replace(self, exchange=exchange, texts=UsdmTexts(exchange, micro)) for exchange in self.exchanges]

    @property
    def keys(self) -> "UserStreams":
        assert self.streams
        return self.streams


def operation(  # noqa: PLR0913 - the attributes of an operation
    rest: str,
    method: str,
    run: Callable[[Any], Any],
    names: str = "",
    weight: int | Weigh = 1,
    *,
    own: Mapping[str, Parameter] | None = None,
    root: str = V1,
    **more: bool,
) -> Operation:
    return Operation(rest, method, run, names, weight, own={**USDM_PARAMETERS, **(own or {})}, root=root, **more)
