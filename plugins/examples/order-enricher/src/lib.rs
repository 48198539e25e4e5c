//! Adds the customer and the total to each order, and publishes it to another topic.
//!
//! It asks a service for the customer: `GET {customers}/{number}`. Its configuration:
//!
//! ```toml
//! [[plugin]]
//! path = "order_enricher.wasm"
//! topic = "orders"
//! allow = ["https://crm.example.com/customers", "produce:orders.enriched"]
//! config = { customers = "https://crm.example.com/customers", topic = "orders.enriched" }
//! ```

mod order;

use kafka_host_plugin::http::{self, Request};
use kafka_host_plugin::produce::{self, Record};
use kafka_host_plugin::{Outcome, Result, config, debug, plugin, reject};

use self::order::{Customer, Enriched, Order};

/// The topic of enriched orders, unless the configuration names another.
const TOPIC: &str = "orders.enriched";

plugin! {
    topic: "orders",
    handler: enrich,
}

fn enrich(order: Order) -> Result {
    let total = order.total()?;
    let details = customer(&order.customer)?;
    let enriched = Enriched { id: &order.id, customer: &order.customer, details, items: &order.items, total };
    let topic = config::get("topic").unwrap_or_else(|| TOPIC.to_owned());
    let at = produce::publish(&Record::json(&*topic, &enriched).key(&*order.id))?;
    Ok(Outcome::done(format!("{topic}/{}/{}", at.partition, at.offset)))
}

/// The customer with this number.
fn customer(number: &str) -> Result<Customer> {
    // A segment `..` would be another path of the service. The host denies it too.
    if number.is_empty() || number.starts_with('.') {
        return Err(reject("unknown-customer", format!("{number:?} is no number of a customer")));
    }
    let url = format!("{}/{}", config::require("customers")?.trim_end_matches('/'), http::encode(number));
    debug!("asking for customer {number}");
    let response = Request::get(url).header("accept", "application/json").send()?;
    if response.status == 404 {
        return Err(reject("unknown-customer", format!("the service does not know customer {number:?}")));
    }
    response.success()?.json()
}

#[cfg(test)]
mod tests;
