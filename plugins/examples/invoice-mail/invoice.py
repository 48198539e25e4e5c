"""The invoice of an order: as a text, as HTML, and as a file for a spreadsheet."""

import codecs
import csv
import html
import io
from decimal import Decimal
from pathlib import Path
from string import Template

from orders import Order

# Files are read while the plugin is built; the component has their content.
_TEMPLATES = Path(__file__).parent / "templates"
_TEXT = Template((_TEMPLATES / "invoice.txt").read_text())
_HTML = Template((_TEMPLATES / "invoice.html").read_text())


def text(order: Order, shop: str) -> str:
    """The plain text of the e-mail."""
    lines = [f"{item.quantity:>5} x {item.name}: {money(order, item.price)}" for item in order.items]
    return _TEXT.substitute(_values(order, shop), items="\n".join(lines))


def page(order: Order, shop: str) -> str:
    """The HTML of the e-mail. Everything from the message is escaped."""
    rows = [
        f"<tr><td>{item.quantity}</td><td>{html.escape(item.name)}</td><td>{money(order, item.price)}</td></tr>"
        for item in order.items
    ]
    values = {name: html.escape(value) for name, value in _values(order, shop).items()}
    return _HTML.substitute(values, items="\n".join(rows))


def table(order: Order) -> bytes:
    """The file, which spreadsheets open as UTF-8."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["quantity", "item", "unit price", "price", "currency"])
    for item in order.items:
        prices = [f"{item.unit_price:.2f}", f"{item.price:.2f}"]
        writer.writerow([item.quantity, _cell(item.name), *prices, order.currency])
    writer.writerow(["", "total", "", f"{order.total:.2f}", order.currency])
    # The codec "utf-8-sig" is a module, which a component would import too late.
    return codecs.BOM_UTF8 + file.getvalue().encode()


def money(order: Order, amount: Decimal) -> str:
    """An amount in the currency of the order."""
    return f"{amount:,.2f} {order.currency}"


def _values(order: Order, shop: str) -> dict[str, str]:
    return {
        "name": order.customer.name,
        "number": order.number,
        "ordered": f"{order.ordered:%Y-%m-%d}",
        "shop": shop,
        "total": money(order, order.total),
    }


def _cell(text: str) -> str:
    """A spreadsheet would take some texts for formulas, and run them."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
