"""What the parts of a gateway share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm.live.account.background import BackgroundTasks
from mm.live.account.fee_values import FeeValues
from mm.live.audit.log import AuditLog
from mm.live.orders.access import ClientIds, GatewayRun
from mm.live.orders.contract_watch import ContractWatch
from mm.live.orders.other_traders import OtherTraders
from mm.live.orders.readiness import Readiness
from mm.live.orders.reports import OrderReports
from mm.live.orders.states import OrderStates
from mm.live.orders.symbol_rules import SymbolRules

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.account.session import AccountSession


@dataclass(frozen=True, kw_only=True)
class GatewayParts:
    session: "AccountSession"
    run: GatewayRun
    audit: AuditLog
    log: "Logger"
    ids: ClientIds
    states: OrderStates
    others: OtherTraders
    fees: FeeValues
    reports: OrderReports
    contract: ContractWatch | None
    readiness: Readiness
    tasks: BackgroundTasks
    rules: SymbolRules
