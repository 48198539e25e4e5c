"""Sends an invoice for each order: an e-mail with a text, HTML and an attached file."""

import logging

import invoice
from kafka_host_plugin import Done, config, mail, plugin
from orders import Order


@plugin(name="invoice-mail", version="0.1.0", summary="Sends an invoice for each order", topic="orders")
def send_invoice(order: Order) -> Done:
    """Handles a message. An order that is not valid, or an e-mail that fails, ends it before its return."""
    shop = config.get("shop") or "Example Shop"
    receipt = mail.send(
        mail.Email(
            sender=mail.Address(config.require("sender"), shop),
            to=[mail.Address(order.customer.email, order.customer.name)],
            subject=f"Invoice {order.number} of {shop}",
            text=invoice.text(order, shop),
            html=invoice.page(order, shop),
            attachments=[
                mail.Attachment(f"invoice-{order.number}.csv", "text/csv; charset=utf-8", invoice.table(order)),
            ],
        )
    )
    logging.info("invoice sent", extra={"order": order.number})
    return Done(receipt.response)
