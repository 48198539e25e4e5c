//! Sends the messages of `sms.send` through the configured gateway. Without a gateway it only logs them.
//!
//! The plugin has no credentials: the host adds them to requests to the gateway.

mod answer;
mod gateway;
mod http;
mod solapi;
mod twilio;

use contract::exports::kafka_host::plugin::handler::{self, Message, Outcome};
use contract::exports::kafka_host::plugin::lifecycle::{self, Description, RetryPolicy, Subscription};
use contract::kafka_host::plugin::config;
use contract::kafka_host::plugin::log::{self, Level};
use contract::kafka_host::plugin::messages::{Failure, RetryLater};
use messages::SmsSendMessage;

use self::answer::{Answer, Verdict};
use self::gateway::Gateway;
use self::http::{Request, SendError};

#[allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated, and values cross the component's boundary as raw pointers"
)]
mod contract {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: false },
    });

    use super::Plugin;
    export!(Plugin);
}

struct Plugin;

impl handler::Guest for Plugin {
    fn handle(batch: Vec<Message>) -> Vec<Outcome> {
        batch.iter().map(|message| deliver(message, config::get, write_log, http::send)).collect()
    }
}

impl lifecycle::Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: "sms".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends the messages of sms.send; only logs them without a configured gateway".into(),
            subscription: Subscription {
                topic: "sms.send".into(),
                group: "sms-send-group".into(),
                dead_letter_topic: "sms.send.dlt".into(),
                retry: RetryPolicy {
                    retries: 5,
                    delay_ms: 1000,
                    multiplier: 2.0,
                    max_delay_ms: 3_600_000,
                    jitter: 0.0,
                    max_age_ms: 86_400_000,
                },
            },
            attributes: vec![],
        }
    }
}

/// The line has personal data: it is not logged unless somebody asks for it (`RUST_LOG=info,plugin=debug`).
fn write_log(line: &str) {
    log::write(Level::Debug, line, &[]);
}

fn deliver(
    message: &Message,
    config: impl Fn(&str) -> Option<String>,
    log: impl FnOnce(&str),
    send: impl FnOnce(&Request) -> Result<Answer, SendError>,
) -> Outcome {
    let Some(value) = &message.value else {
        return reject("tombstone", "the message has no value".into());
    };
    let sms = match SmsSendMessage::from_json(value) {
        Ok(sms) => sms,
        Err(invalid) => return reject(invalid.code(), invalid.to_string()),
    };
    log(&format!("SMS 발송: from={}, to={}", sms.from, sms.to));
    let gateway = match Gateway::from_config(config) {
        Ok(Some(gateway)) => gateway,
        Ok(None) => return Outcome::Done("logged only".into()),
        // The configuration can be fixed before the retries are used up.
        Err(error) => return retry("gateway-config", error, None),
    };
    let verdict = match gateway.request(&sms) {
        Ok(request) => match send(&request) {
            Ok(answer) => gateway.judge(&answer, std::time::SystemTime::now()),
            Err(SendError::Denied(detail)) => Verdict::Reject("http-denied", detail),
            Err(SendError::Transient(detail)) => Verdict::Retry("sms-transient", detail, None),
        },
        Err(refused) => refused,
    };
    outcome(verdict)
}

fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Accepted(receipt) => Outcome::Done(receipt),
        Verdict::Retry(code, detail, after_ms) => retry(code, detail, after_ms),
        Verdict::Reject(code, detail) => reject(code, detail),
    }
}

fn retry(code: &str, detail: String, after_ms: Option<u64>) -> Outcome {
    Outcome::Retry(RetryLater { failure: Failure { code: code.into(), detail }, after_ms })
}

fn reject(code: &str, detail: String) -> Outcome {
    Outcome::Reject(Failure { code: code.into(), detail })
}

#[cfg(test)]
mod tests;
