//! Sends the messages of `email.send`.

use contract::consumer::plugin::log::{self, Level};
use contract::consumer::plugin::mail::{self, Address, Email, Receipt};
use contract::consumer::plugin::types::{Failure, RetryLater};
use contract::exports::consumer::plugin::handler::{self, Message, Outcome};
use contract::exports::consumer::plugin::lifecycle::{self, Description, RetryPolicy, Subscription};
use messages::EmailSendMessage;

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
        batch.iter().map(|message| deliver(message, write_log, send)).collect()
    }
}

impl lifecycle::Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: "email".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends the messages of email.send".into(),
            subscription: Subscription {
                topic: "email.send".into(),
                group: "email-send-group".into(),
                dead_letter_topic: "email.send.dlt".into(),
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

fn send(email: Email<'_>) -> Option<Result<Receipt, mail::Error>> {
    mail::send(&[email]).pop()
}

fn deliver(
    message: &Message,
    log: impl FnOnce(&str),
    send: impl FnOnce(Email<'_>) -> Option<Result<Receipt, mail::Error>>,
) -> Outcome {
    let Some(value) = &message.value else {
        return reject("tombstone", "the message has no value".into());
    };
    let EmailSendMessage { from, to, subject, body } = match EmailSendMessage::from_json(value) {
        Ok(message) => message,
        Err(invalid) => return reject(invalid.code(), invalid.to_string()),
    };
    log(&format!("이메일 발송: from={from}, to={to}, subject={subject}"));
    outcome(send(Email {
        sender: Address { name: None, email: &from },
        to: &[Address { name: None, email: &to }],
        cc: &[],
        bcc: &[],
        reply_to: None,
        subject: &subject,
        text: Some(&body),
        html: None,
        headers: &[],
        attachments: &[],
    }))
}

fn outcome(sent: Option<Result<Receipt, mail::Error>>) -> Outcome {
    match sent {
        Some(Ok(receipt)) => Outcome::Done(receipt.response),
        Some(Err(mail::Error::Transient(detail))) => retry(detail),
        Some(Err(mail::Error::Permanent(detail))) => reject("smtp-permanent", detail),
        Some(Err(mail::Error::Denied(detail))) => reject("mail-denied", detail),
        None => retry("the host returned no result for the e-mail".into()),
    }
}

fn retry(detail: String) -> Outcome {
    let failure = Failure { code: "smtp-transient".into(), detail };
    Outcome::Retry(RetryLater { failure, after_ms: None })
}

fn reject(code: &str, detail: String) -> Outcome {
    Outcome::Reject(Failure { code: code.into(), detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"from":"a@example.com","to":"b@example.com","subject":"제목","body":"본문"}"#;

    fn message(value: Option<&str>) -> Message {
        Message {
            id: "1".into(),
            topic: "email.send".into(),
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

    fn after_sending(sent: Option<Result<Receipt, mail::Error>>) -> Outcome {
        deliver(&message(Some(JSON)), |_| (), |_| sent)
    }

    fn assert_rejected(outcome: Outcome, code: &str, detail: &str) {
        let Outcome::Reject(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!((&*failure.code, &*failure.detail), (code, detail));
    }

    #[test]
    fn a_message_is_logged_and_then_sent() {
        let mut lines = vec![];
        let mut mails = 0;
        let outcome = deliver(
            &message(Some(JSON)),
            |line| lines.push(line.to_owned()),
            |email| {
                mails += 1;
                assert_eq!((email.sender.email, email.sender.name), ("a@example.com", None));
                let to: Vec<_> = email.to.iter().map(|address| (address.email, address.name)).collect();
                assert_eq!(to, [("b@example.com", None)]);
                assert_eq!((email.subject, email.text, email.html), ("제목", Some("본문"), None));
                Some(Ok(Receipt { id: "x".into(), response: "250 queued".into(), refused: vec![] }))
            },
        );
        assert!(matches!(outcome, Outcome::Done(receipt) if receipt == "250 queued"));
        assert_eq!(lines, ["이메일 발송: from=a@example.com, to=b@example.com, subject=제목"]);
        assert_eq!(mails, 1);
    }

    #[test]
    fn invalid_messages_are_rejected_unsent() {
        let refuse = |value| deliver(&message(value), |_| panic!("logged"), |_| panic!("sent"));
        assert_rejected(refuse(None), "tombstone", "the message has no value");
        assert_rejected(refuse(Some("hello")), "invalid-message", "expected a JSON object");
        assert_rejected(refuse(Some(r#"{"to":"b"}"#)), "missing-from", "발신자는 필수입니다");
        assert_rejected(refuse(Some(r#"{"from":"a","to":" "}"#)), "missing-to", "수신자는 필수입니다");
    }

    #[test]
    fn a_transient_failure_is_retried_by_the_policy() {
        for sent in [Some(Err(mail::Error::Transient("451 busy".into()))), None] {
            let outcome = after_sending(sent);
            let Outcome::Retry(RetryLater { failure, after_ms: None }) = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(failure.code, "smtp-transient");
        }
    }

    #[test]
    fn a_permanent_failure_is_rejected() {
        let permanent = Some(Err(mail::Error::Permanent("550 no such user".into())));
        assert_rejected(after_sending(permanent), "smtp-permanent", "550 no such user");
        let denied = Some(Err(mail::Error::Denied("mail is not granted".into())));
        assert_rejected(after_sending(denied), "mail-denied", "mail is not granted");
    }
}
