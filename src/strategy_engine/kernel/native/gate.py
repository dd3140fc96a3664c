"""The execution client: commands become instructions for the gate, its answers become events."""

from decimal import Decimal
from typing import assert_never

from nautilus_trader.accounting.factory import AccountFactory
from nautilus_trader.execution.client import ExecutionClient
from nautilus_trader.execution.messages import (
    BatchCancelOrders,
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    QueryAccount,
    QueryOrder,
    SubmitOrder,
    SubmitOrderList,
)
from nautilus_trader.model.enums import AccountType, LiquiditySide, OmsType
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    ClientOrderId,
    StrategyId,
    TradeId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.objects import AccountBalance, Money
from nautilus_trader.model.orders import Order

from strategy_engine.kernel.native import orders
from strategy_engine.kernel.native.instruments import Listing
from strategy_engine.kernel.native.record import Wiring
from strategy_engine.matching import ticket
from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import OrderType, Ticket


class Gate(ExecutionClient):  # type: ignore[misc]  # compiled, without stubs
    """One venue's door. It decides nothing: what it is asked it passes on, what it hears too."""

    def __init__(self, venue: Venue, wiring: Wiring) -> None:
        super().__init__(
            client_id=ClientId(venue.value),
            venue=venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,  # shorts and leverage are the engine's to refuse
            base_currency=wiring.listings.currency,
            msgbus=wiring.bus,
            cache=wiring.cache,
            clock=wiring.clock,
        )
        self._set_account_id(AccountId(f"{venue.value}-001"))
        AccountFactory.register_calculated_account(venue.value)
        self._listings = wiring.listings
        self._record = wiring.record
        self._book = wiring.cache
        self._time = wiring.clock
        self.strategy_id = StrategyId("EXTERNAL")

    def open_account(self, balance: Money) -> None:
        """Say what the account holds."""
        nothing = Money(0, balance.currency)
        balances = [AccountBalance(total=balance, locked=nothing, free=balance)]
        now_ns = self._time.timestamp_ns()
        self.generate_account_state(balances=balances, margins=[], reported=True, ts_event=now_ns)
        self._set_connected(True)  # noqa: FBT003  (its only argument)

    def flow(self, amount: Money) -> None:
        """Say that cash has entered (+) or left (-) the account; its margins stay."""
        account = self.get_account()
        before = account.balance()
        total = before.total.as_decimal() + amount.as_decimal()
        locked = max(Decimal(0), min(before.locked.as_decimal(), total))
        balance = AccountBalance(
            *(Money(each, amount.currency) for each in (total, locked, total - locked))
        )
        self.generate_account_state(
            balances=[balance],
            margins=[*account.margins().values(), *account.account_margins().values()],
            reported=False,
            ts_event=self._time.timestamp_ns(),
        )

    # -- what the strategy asks

    def submit_order(self, command: SubmitOrder) -> None:
        """Ask for an order."""
        self._submit(command.order)

    def submit_order_list(self, command: SubmitOrderList) -> None:
        """Ask for the orders of a list, in its order."""
        for order in command.order_list.orders:
            self._submit(order)

    def modify_order(self, command: ModifyOrder) -> None:
        """Ask for a change of a working order."""
        listing = self._listings.by_id[command.instrument_id]
        changed = {
            "lots": None if command.quantity is None else listing.lots(command.quantity),
            "limit_ticks": None if command.price is None else listing.ticks(command.price),
            "trigger_ticks": (
                None if command.trigger_price is None else listing.ticks(command.trigger_price)
            ),
        }
        self._ask(ticket.Modify(client_order_id=command.client_order_id.value, **changed))

    def cancel_order(self, command: CancelOrder) -> None:
        """Ask to take an order back."""
        self._ask(ticket.Cancel(client_order_id=command.client_order_id.value))

    def cancel_all_orders(self, command: CancelAllOrders) -> None:
        """Ask to take back every order of an instrument, or of one side."""
        wanted = {"instrument_id": command.instrument_id, "side": command.order_side}
        working = self._book.orders_open(**wanted) + self._book.orders_inflight(**wanted)
        for name in dict.fromkeys(order.client_order_id.value for order in working):
            self._ask(ticket.Cancel(client_order_id=name))

    def batch_cancel_orders(self, command: BatchCancelOrders) -> None:
        """Ask to take several orders back."""
        for each in command.cancels:
            self.cancel_order(each)

    def query_account(self, command: QueryAccount) -> None:
        """Do nothing: the account is always as the last fill left it."""

    def query_order(self, command: QueryOrder) -> None:
        """Do nothing: what happens to an order is said when it happens."""

    def _submit(self, order: Order) -> None:
        listing = self._listings.by_id[order.instrument_id]
        whom = order.strategy_id, order.instrument_id, order.client_order_id
        now_ns = self._time.timestamp_ns()
        try:
            made = orders.to_ticket(order, listing, self._last_ticks(listing))
        except orders.UntradableError as error:
            self.generate_order_denied(*whom, str(error), now_ns)
            return
        self.generate_order_submitted(*whom, now_ns)
        self._ask(made)

    def _last_ticks(self, listing: Listing) -> int | None:
        bar = self._book.bar(listing.bar_type)
        return None if bar is None else listing.ticks(bar.close)

    def _ask(self, instruction: ticket.Instruction) -> None:
        self._record.ask(self._time.timestamp_ns(), instruction)

    # -- what became of it

    def tell(self, event: ticket.OrderEvent) -> None:
        """Turn what the gate says of an order into the event that a strategy knows."""
        order = self._book.order(ClientOrderId(event.client_order_id))
        if order is None:
            if not isinstance(event, ticket.Executed):
                return
            order = self._external(event)
        if not order.is_closed:  # what comes late, a cancel that missed, is news of nothing
            self._tell(order, event)

    def adopt(self, made: Ticket) -> None:
        """Know an order that works since before this process began."""
        order = self._added(made)
        self.generate_order_accepted(*_whom(order), self._time.timestamp_ns())

    def hold(self, listing: Listing, lots: int, entry_ticks: int) -> None:
        """Know a position that is held since before this process began."""
        name = f"HELD-{listing.terms.symbol}"
        side = Side.BUY if lots > 0 else Side.SELL
        order = self._added(_market(name, listing.terms.symbol, side, abs(lots)))
        self._fill(order, listing, ("T-HELD", abs(lots), entry_ticks, 0), is_maker=False)

    def _tell(self, order: Order, event: ticket.OrderEvent) -> None:  # noqa: C901  (one arm an event)
        whom = _whom(order)
        match event:
            case ticket.Accepted():
                self.generate_order_accepted(*whom, event.ts_ns)
            case ticket.Rejected(denied=True) if order.status_string() == "INITIALIZED":
                self.generate_order_denied(*whom[:3], _why(event), event.ts_ns)
            case ticket.Rejected():
                self.generate_order_rejected(*whom[:3], _why(event), event.ts_ns)
            case ticket.ModifyRejected():
                self.generate_order_modify_rejected(*whom, _why(event), event.ts_ns)
            case ticket.CancelRejected():
                self.generate_order_cancel_rejected(*whom, _why(event), event.ts_ns)
            case ticket.Updated():
                self._update(order, event)
            case ticket.Triggered():
                self.generate_order_triggered(*whom, event.ts_ns)
            case ticket.Cancelled():
                self.generate_order_canceled(*whom, event.ts_ns)
            case ticket.Expired():
                self.generate_order_expired(*whom, event.ts_ns)
            case ticket.Executed():
                listing = self._listings.by_id[order.instrument_id]
                told = f"T-{event.trade_no}", event.lots, event.price_ticks, event.fee_nanos
                self._fill(order, listing, told, is_maker=event.is_maker, ts_ns=event.ts_ns)
            case _:
                assert_never(event)

    def _update(self, order: Order, event: ticket.Updated) -> None:
        listing = self._listings.by_id[order.instrument_id]
        limit, trigger = event.limit_ticks, event.trigger_ticks
        self.generate_order_updated(
            *_whom(order),
            listing.quantity(event.lots),
            getattr(order, "price", None) if limit is None else listing.price(limit),
            getattr(order, "trigger_price", None) if trigger is None else listing.price(trigger),
            event.ts_ns,
        )

    def _fill(
        self,
        order: Order,
        listing: Listing,
        told: tuple[str, int, int, int],
        *,
        is_maker: bool,
        ts_ns: int | None = None,
    ) -> None:
        trade, lots, price_ticks, fee_nanos = told
        self.generate_order_filled(
            *_whom(order),
            None,
            TradeId(trade),
            order.side,
            order.order_type,
            listing.quantity(lots),
            listing.price(price_ticks),
            listing.instrument.quote_currency,
            listing.money(fee_nanos),
            LiquiditySide.MAKER if is_maker else LiquiditySide.TAKER,
            self._time.timestamp_ns() if ts_ns is None else ts_ns,
        )

    def _external(self, event: ticket.Executed) -> Order:
        # The engine traded for the strategy: a protective stop, a handover, the kill switch.
        return self._added(_market(event.client_order_id, event.symbol, event.side, event.lots))

    def _added(self, made: Ticket) -> Order:
        listing = self._listings.by_symbol[made.symbol]
        who = self.trader_id, self.strategy_id
        order = orders.to_order(made, listing, who, self._time.timestamp_ns())
        self._book.add_order(order)
        self.generate_order_submitted(*_whom(order)[:3], self._time.timestamp_ns())
        return order


def _market(name: str, symbol: str, side: Side, lots: int) -> Ticket:
    return Ticket(client_order_id=name, symbol=symbol, side=side, type=OrderType.MARKET, lots=lots)


def _whom(order: Order) -> tuple[StrategyId, object, ClientOrderId, VenueOrderId]:
    name = order.client_order_id
    venue_name = order.venue_order_id or VenueOrderId(name.value)
    return order.strategy_id, order.instrument_id, name, venue_name


def _why(
    event: ticket.Rejected | ticket.ModifyRejected | ticket.CancelRejected,
) -> str:
    return f"{event.code}: {event.message}" if event.message else event.code
