//! A plugin that attempts actions which the sandbox must prevent. `do` in the value of a message names the
//! action.
//!
//! An attempt to reach a resource is rejected with the code `denied` if it failed and `reached` if it
//! succeeded.

use contract::exports::kafka_host::plugin::handler::{self, Message, Outcome};
use contract::exports::kafka_host::plugin::lifecycle::{self, Description, RetryPolicy, Subscription};
use contract::kafka_host::plugin::log::{self, Level};
use contract::kafka_host::plugin::messages::Failure;
use serde::Deserialize;

mod http;
mod mail;
mod produce;
mod reach;
mod waste;

#[allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated, and values cross the component's boundary as raw pointers"
)]
mod contract {
    wit_bindgen::generate!({ path: "../../../../wit", world: "plugin" });

    use super::Hostile;
    export!(Hostile);
}

struct Hostile;

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "do")]
    action: String,
    /// The target of the action: a path, an address or a number.
    #[serde(default)]
    at: String,
}

impl handler::Guest for Hostile {
    fn handle(batch: Vec<Message>) -> Vec<Outcome> {
        batch.iter().flat_map(handle_one).collect()
    }
}

impl lifecycle::Guest for Hostile {
    fn describe() -> Description {
        Description {
            name: "hostile".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Tries what a plugin must not be able to".into(),
            subscription: Subscription {
                topic: "hostile".into(),
                group: "hostile-group".into(),
                dead_letter_topic: "hostile.dlt".into(),
                retry: RetryPolicy {
                    retries: 0,
                    delay_ms: 1000,
                    multiplier: 1.0,
                    max_delay_ms: 1000,
                    jitter: 0.0,
                    max_age_ms: 60_000,
                },
            },
            attributes: vec![],
        }
    }
}

fn handle_one(message: &Message) -> Vec<Outcome> {
    let request: Request = match serde_json::from_slice(message.value.as_deref().unwrap_or_default()) {
        Ok(request) => request,
        Err(error) => return vec![reject("invalid-message", &error.to_string())],
    };
    let id = String::from_utf8_lossy(message.key.as_deref().unwrap_or_default());
    log::write(Level::Info, &format!("handled id={id} attempt={} end", message.attempt), &[]);
    let Request { action, at } = request;
    match action.as_str() {
        "done" => vec![done()],
        "no-outcomes" => vec![],
        "two-outcomes" => vec![done(), done()],
        "many-outcomes" => (0..100_000).map(|_| done()).collect(),
        "giant-receipt" => vec![Outcome::Done("x".repeat(1 << 20))],
        "giant-failure" => vec![reject("giant", &"x".repeat(1 << 20))],
        "keep" => vec![http::post(true, &at, message.attempt)],
        "forget" => vec![http::post(false, &at, message.attempt)],
        action => match action.split_once('-') {
            Some(("http", action)) => vec![http::attempt(action, &at)],
            Some(("mail", action)) => vec![mail::attempt(action)],
            Some(("produce", action)) => vec![produce::attempt(action, &at)],
            Some(("reach", action)) => vec![reach::attempt(action, &at)],
            _ => {
                waste::attempt(action, &at);
                vec![done()]
            }
        },
    }
}

fn done() -> Outcome {
    Outcome::Done(String::new())
}

fn reject(code: &str, detail: &str) -> Outcome {
    Outcome::Reject(Failure { code: code.into(), detail: detail.into() })
}
