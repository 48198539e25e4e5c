//! Reads the fields of an e-mail from JSON and discards them: the guest of the benchmarks. Its peer in Spring does the same;
//! neither checks addresses.

use contract::exports::kafka_host::plugin::handler::{self, Message, Outcome};
use contract::exports::kafka_host::plugin::lifecycle::{self, Description, RetryPolicy, Subscription};
use contract::kafka_host::plugin::messages::Failure;
use messages::EmailSendMessage;

#[allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated, and values cross the component's boundary as raw pointers"
)]
mod contract {
    wit_bindgen::generate!({ path: "../../../../wit", world: "plugin" });

    use super::Parse;
    export!(Parse);
}

struct Parse;

impl handler::Guest for Parse {
    fn handle(batch: Vec<Message>) -> Vec<Outcome> {
        batch.iter().map(|message| parse(message.value.as_deref().unwrap_or_default())).collect()
    }
}

impl lifecycle::Guest for Parse {
    fn describe() -> Description {
        Description {
            name: "parse".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Reads a message and is done".into(),
            subscription: Subscription {
                topic: "parse".into(),
                group: "parse-group".into(),
                dead_letter_topic: "parse.dlt".into(),
                retry: RetryPolicy {
                    retries: 5,
                    delay_ms: 1000,
                    multiplier: 2.0,
                    max_delay_ms: 3_600_000,
                    jitter: 0.0,
                    max_age_ms: 86_400_000,
                },
            },
            attributes: vec![("max-batch".into(), "1000".into())],
        }
    }
}

fn parse(value: &[u8]) -> Outcome {
    match serde_json::from_slice::<EmailSendMessage<'_>>(value) {
        // Used, so that the compiler keeps the parsing.
        Ok(message) => {
            std::hint::black_box(&message);
            Outcome::Done(String::new())
        }
        Err(error) => Outcome::Reject(Failure { code: "invalid-message".into(), detail: error.to_string() }),
    }
}
