"""A position that passes from one account to another at its mark: no fee, no slippage.

Both sides are fills like all others, so each account's arithmetic stays what its fills make of it.
"""

from strategy_engine.matching import account as accounts
from strategy_engine.matching import position as positions
from strategy_engine.matching import rules
from strategy_engine.matching.account import Account, Book
from strategy_engine.matching.model import Cause, Fill, Order, Side

_ANY = 1 << 200  # more cash than there is
FREE_OF_CHARGE = 0


def copy(account: Account) -> Account:
    """Return an account in the same state, on which can be tried what would come of something."""
    made = Account(0, [each.terms for each in account.books.values()], account.rules)
    accounts.load(made, accounts.dump(account))
    made.reserve_nanos = account.reserve_nanos
    return made


def leaving(account: Account, symbol: str) -> int:
    """Return the signed lots of a position that no order waits to close already."""
    book = account.books[symbol]
    left = abs(book.lots) - sum(each.lots for each in book.pending if not each.opens)
    return max(0, left) * (1 if book.lots > 0 else -1)


def room(account: Account, symbol: str, signed_lots: int) -> tuple[int, ...]:
    """Return what of `signed_lots` an account may take at its mark, whatever cash it has.

    What closes a position of the other sign comes first and by itself, then what opens one, up to
    the account's largest position; a short one only where it may be short.
    """
    book, sign = account.books[symbol], 1 if signed_lots > 0 else -1
    closing = min(abs(signed_lots), abs(book.lots)) if book.lots * sign < 0 else 0
    opening = abs(signed_lots) - closing
    if sign < 0 and not account.rules.allow_short:
        opening = 0
    if opening:
        opening = _room_to_open(account, book, opening, is_flat=bool(closing))
    return tuple(sign * each for each in (closing, opening) if each)


def _room_to_open(account: Account, book: Book, lots: int, *, is_flat: bool) -> int:
    how = account.rules
    if is_flat:
        return rules.affordable(lots, book.mark, _ANY, book.terms, how)
    return positions.room_for(book, lots, book.mark, _ANY, how)


def order(account: Account, symbol: str, signed_lots: int, now_ns: int, order_id: str) -> Order:
    """Return the engine's order that one side of a crossing is the fill of."""
    book = account.books[symbol]
    return Order(
        symbol=symbol,
        side=Side.BUY if signed_lots > 0 else Side.SELL,
        lots=abs(signed_lots),
        opens=book.lots * signed_lots >= 0,
        decided_ns=now_ns,
        cause=Cause.HANDOVER,
        stop_loss_ppb=account.rules.stop_loss_ppb,
        take_profit_ppb=account.rules.take_profit_ppb,
        order_id=order_id,
    )


def cross(account: Account, placed: Order) -> Fill:
    """Fill one side of a crossing at the mark; what is taken over is protected from there."""
    book = account.books[placed.symbol]
    fee = pnl = 0
    if placed.opens:
        if not book.lots:
            book.stop_ppb, book.target_ppb = placed.stop_loss_ppb, placed.take_profit_ppb
        signed = placed.lots if placed.side is Side.BUY else -placed.lots
        change, fee = book.enlarge(signed, book.mark, FREE_OF_CHARGE, placed.decided_ns)
    else:
        change, fee, pnl = book.reduce(placed.lots, book.mark, FREE_OF_CHARGE)
    account.cash += change
    book.last_target = None
    _protect(book, is_new=placed.opens)
    return Fill(
        symbol=placed.symbol,
        side=placed.side,
        lots=placed.lots,
        price_ticks=book.mark,
        fee_nanos=fee,
        pnl_nanos=pnl,
        ts_ns=placed.decided_ns,
        cause=placed.cause,
        opens=placed.opens,
        lots_after=book.lots,
        order_id=placed.order_id,
        round_trip=None if book.lots else book.round_trip(placed.decided_ns),
    )


def _protect(book: Book, *, is_new: bool) -> None:
    if not book.lots:
        book.stop = book.target = None
    elif is_new:
        book.stop, book.target = rules.protection(
            book.entry_tick_lots, book.lots, book.stop_ppb, book.target_ppb
        )
