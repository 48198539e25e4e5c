//! Orders as they come in and as they go out, and the customers of the service.

use kafka_host_plugin::{OrFail, Result, reject};
use serde::{Deserialize, Serialize};

/// The maximum number of items that an order may have.
const MAX_ITEMS: usize = 1_000;

/// An order, as the topic `orders` has it.
#[derive(Debug, Deserialize)]
pub struct Order {
    /// Its number.
    pub id: String,
    /// The customer's number in the service.
    pub customer: String,
    /// At least one.
    pub items: Vec<Item>,
}

/// A line of an order.
#[derive(Debug, Deserialize, Serialize)]
pub struct Item {
    /// The product.
    pub sku: String,
    /// 1 or more.
    pub quantity: u32,
    /// The price of one, in cents.
    pub price: u64,
}

/// A customer, as the service answers. What else it answers is ignored.
#[derive(Debug, Deserialize, Serialize)]
pub struct Customer {
    /// The name on the invoice.
    pub name: String,
    /// Such as `gold`.
    #[serde(default)]
    pub tier: Option<String>,
}

/// An order with its customer, as it is published.
#[derive(Debug, Serialize)]
pub struct Enriched<'a> {
    /// The number of the order.
    pub id: &'a str,
    /// The number of the customer.
    pub customer: &'a str,
    /// The customer.
    #[serde(flatten)]
    pub details: Customer,
    /// The items of the order.
    pub items: &'a [Item],
    /// The price of all items, in cents.
    pub total: u64,
}

impl Order {
    /// The price of all items, in cents.
    ///
    /// # Errors
    /// The order has no or too many items, or one without a quantity, or a total that nobody can pay.
    pub fn total(&self) -> Result<u64> {
        if self.items.is_empty() || self.items.len() > MAX_ITEMS {
            let detail = format!("it has {} items; from 1 to {MAX_ITEMS} are possible", self.items.len());
            return Err(reject("invalid-order", detail));
        }
        if let Some(item) = self.items.iter().find(|item| item.quantity == 0) {
            return Err(reject("invalid-order", format!("the quantity of {:?} is 0", item.sku)));
        }
        let price = |item: &Item| item.price.checked_mul(item.quantity.into());
        let total = self.items.iter().try_fold(0_u64, |total, item| total.checked_add(price(item)?));
        total.ok_or("its total is more than 64 bits have").or_reject("invalid-order")
    }
}
