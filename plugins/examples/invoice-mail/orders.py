"""An order, as the shop publishes it."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

#: The maximum number of items of an order, and the maximum price of one.
MAX_ITEMS = 500
MAX_PRICE = 1_000_000


def check_line(what: str, text: str, longest: int) -> None:
    """Names are part of headers and of tables: one line, not too long, and nothing invisible."""
    if not text.strip():
        raise ValueError(f"{what} is empty")
    if len(text) > longest:
        raise ValueError(f"{what} has more than {longest} characters")
    # Control characters, and characters that change the direction of what follows.
    if not text.isprintable():
        raise ValueError(f"{what} must be one line of printable characters")


@dataclass(frozen=True)
class Customer:
    """Who gets the invoice."""

    name: str
    email: str

    def __post_init__(self) -> None:
        check_line("name", self.name, 100)
        check_line("email", self.email, 254)


@dataclass(frozen=True)
class Item:
    """A line of the invoice."""

    name: str
    quantity: int
    unit_price: Decimal

    def __post_init__(self) -> None:
        check_line("name", self.name, 200)
        if not 1 <= self.quantity <= 10_000:
            raise ValueError("quantity must be from 1 to 10000")
        if not 0 <= self.unit_price <= MAX_PRICE:
            raise ValueError(f"unit_price must be from 0 to {MAX_PRICE}")
        if self.unit_price != round(self.unit_price, 2):
            raise ValueError("unit_price must have at most two decimals")

    @property
    def price(self) -> Decimal:
        """The price of all of them."""
        return self.unit_price * self.quantity


@dataclass(frozen=True)
class Order:
    """The value of a message in the topic `orders`."""

    number: str
    ordered: datetime
    customer: Customer
    items: list[Item]
    currency: Literal["EUR", "USD", "KRW"] = "EUR"

    def __post_init__(self) -> None:
        # It is part of the name of a file.
        if re.fullmatch(r"[A-Za-z0-9-]{1,32}", self.number) is None:
            raise ValueError("number must be 1 to 32 letters, digits and hyphens")
        if not 1 <= len(self.items) <= MAX_ITEMS:
            raise ValueError(f"an order has 1 to {MAX_ITEMS} items, but this one has {len(self.items)}")

    @property
    def total(self) -> Decimal:
        """The price of all items."""
        return sum((item.price for item in self.items), Decimal(0))
