//! Takes the messages of `sms.send`: reads, validates and logs them. No gateway is behind it yet.

use contract::consumer::plugin::log::{self, Level};
use contract::consumer::plugin::types::Failure;
use contract::exports::consumer::plugin::handler::{self, Message, Outcome};
use contract::exports::consumer::plugin::lifecycle::{self, Description, RetryPolicy, Subscription};
use messages::SmsSendMessage;

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
        batch.iter().map(|message| deliver(message, write_log)).collect()
    }
}

impl lifecycle::Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: "sms".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Logs the messages of sms.send".into(),
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

fn write_log(line: &str) {
    log::write(Level::Info, line, &[]);
}

fn deliver(message: &Message, log: impl FnOnce(&str)) -> Outcome {
    let Some(value) = &message.value else {
        return reject("tombstone", "the message has no value".into());
    };
    let SmsSendMessage { from, to, .. } = match SmsSendMessage::from_json(value) {
        Ok(message) => message,
        Err(invalid) => return reject(invalid.code(), invalid.to_string()),
    };
    log(&format!("SMS 발송: from={from}, to={to}"));
    Outcome::Done(String::new())
}

fn reject(code: &str, detail: String) -> Outcome {
    Outcome::Reject(Failure { code: code.into(), detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(value: Option<&str>) -> Message {
        Message {
            id: "1".into(),
            topic: "sms.send".into(),
            partition: 0,
            offset: 0,
            timestamp_ms: 0,
            key: None,
            value: value.map(|text| text.as_bytes().to_vec()),
            headers: vec![],
            attempt: 1,
            max_attempts: 6,
            attributes: vec![],
        }
    }

    #[test]
    fn a_message_is_logged() {
        let mut lines = vec![];
        let json = r#"{"from":"01012345678","to":"01087654321","body":"본문"}"#;
        let outcome = deliver(&message(Some(json)), |line| lines.push(line.to_owned()));
        assert!(matches!(outcome, Outcome::Done(receipt) if receipt.is_empty()));
        assert_eq!(lines, ["SMS 발송: from=01012345678, to=01087654321"]);
    }

    #[test]
    fn what_the_producer_refuses_is_rejected_unlogged() {
        for (value, code, detail) in [
            (None, "tombstone", "the message has no value"),
            (Some("hello"), "invalid-message", "expected a JSON object"),
            (Some(r#"{"to":"b"}"#), "missing-from", "발신자는 필수입니다"),
            (Some(r#"{"from":"a","to":" "}"#), "missing-to", "수신자는 필수입니다"),
        ] {
            let outcome = deliver(&message(value), |_| panic!("logged"));
            let Outcome::Reject(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!((&*failure.code, &*failure.detail), (code, detail));
        }
    }
}
