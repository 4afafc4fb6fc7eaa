"""A tour on any store: nothing but the URL changes.

python examples/quickstart.py [URL]        sqlite:// by default; memory://, postgresql://…, mongodb://…
"""

from __future__ import annotations

import sys
from decimal import Decimal

from dbkit import DuplicateKey, Entity, Mapped, Transaction, connect, field


class Account(Entity, name="example_accounts"):
    """An account; its owner is unique."""

    owner: Mapped[str] = field(unique=True)
    balance: Mapped[Decimal] = field(default=Decimal(0), max_digits=14, decimal_places=2)
    note: Mapped[str | None] = field(default=None)


def main(url: str = "sqlite://") -> list[str]:
    """Run the tour on *url*; return what it printed."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        print(line)

    with connect(url, entities=[Account]) as db:
        db.drop_schema()
        db.create_schema()
        accounts = db.store(Account)
        ada = accounts.create(Account(owner="ada", balance=Decimal("100.00")))
        bob = accounts.create(Account(owner="bob"))

        def transfer(tx: Transaction) -> None:
            inside = tx.store(Account)
            amount = Decimal("30.50")
            inside.update(
                ada.id, Account.balance.set(Account.balance - amount), where=Account.balance >= amount
            )
            inside.update(bob.id, Account.balance.set(Account.balance + amount))

        db.run_in_transaction(transfer)
        for account in accounts.find(order_by=Account.balance.desc()):
            say(f"{account.owner}: {account.balance}")

        try:
            accounts.create(Account(owner="ada"))
        except DuplicateKey as error:
            say(f"refused: {error.entity}.{error.field} is taken")

        say(f"without a note: {accounts.count(Account.note != 'vip')} of {accounts.count()}")
        first = accounts.page(order_by=Account.owner, limit=1)
        rest = accounts.page(order_by=Account.owner, limit=1, after=first.next_cursor)
        say(f"two pages: {[a.owner for a in (*first.items, *rest.items)]}")
        db.drop_schema()
    return said


if __name__ == "__main__":
    main(*sys.argv[1:2])
