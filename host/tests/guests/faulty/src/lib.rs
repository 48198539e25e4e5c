//! A guest whose messages request its actions, above all failures that a sandbox must contain.
//!
//! The body is `{"id": "…", "do": "…", "until": N, "ms": N, "after-ms": N}`; see [`Request`]. `faulty` and
//! `faulty-fast` share this source: topic, group and dead letters are named after the package, and the second
//! retries after milliseconds. `faulty-mended` is a later build of `faulty-fast` that handles messages which
//! the first build rejects.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use contract::exports::kafka_host::plugin::handler::{self, Message, Outcome};
use contract::exports::kafka_host::plugin::lifecycle::{self, Description, RetryPolicy, Subscription};
use contract::kafka_host::plugin::config;
use contract::kafka_host::plugin::log::{self, Level};
use contract::kafka_host::plugin::mail;
use contract::kafka_host::plugin::messages::{Failure, RetryLater};
use serde::Deserialize;

mod harm;
mod records;

#[allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated, and values cross the component's boundary as raw pointers"
)]
mod contract {
    wit_bindgen::generate!({ path: "../../../../wit", world: "plugin" });

    use super::Faulty;
    export!(Faulty);
}

const NAME: &str = if cfg!(feature = "mended") { "faulty-fast" } else { env!("CARGO_PKG_NAME") };

/// An attribute of the description. Tests patch it in the file to permit batches.
const ATTRIBUTE: &str = "max-batch=001";

/// The number of messages of this instance, 1 in a fresh one.
static HANDLED: AtomicU64 = AtomicU64::new(0);

struct Faulty;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Request {
    id: String,
    #[serde(rename = "do", default)]
    action: Action,
    /// The last attempt that performs the action. Later attempts are done.
    #[serde(default = "always")]
    until: u32,
    /// The duration of `sleep` in the host, in milliseconds.
    #[serde(default)]
    ms: u64,
    /// The delay that `retry` requests, in milliseconds.
    after_ms: Option<u64>,
    /// The file that `look` reads.
    #[serde(default)]
    path: String,
    /// The topics to which `produce` publishes a record each.
    #[serde(default)]
    to: Vec<String>,
    /// The additional size of these records, in bytes.
    #[serde(default)]
    bytes: usize,
    /// The name of a header of these records.
    header: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    Done,
    Skip,
    Retry,
    /// Requests a retry until the time `ms`, in milliseconds since the Unix epoch, whatever the attempt.
    Busy,
    Reject,
    /// An abort.
    Trap,
    Panic,
    /// An endless loop in the guest.
    Loop,
    /// A stack overflow.
    Recurse,
    /// Allocates and writes memory until it is exhausted.
    Memory,
    /// Blocks in a host call.
    Sleep,
    /// Logs `count=N` and is done, with N as the number of messages of this instance.
    Count,
    /// Ends the process.
    Exit,
    /// Writes many megabytes to standard output.
    Flood,
    /// Returns an empty list of outcomes.
    Outcomes,
    /// Logs a line at every level, and one that contains a forged line.
    Log,
    /// Logs its view: the value `greeting` of its configuration, the variable `GREETING`, and a file.
    Look,
    /// Returns an outcome of `ms` bytes.
    Talk,
    /// Sends an e-mail, the same on every attempt, and then sleeps for `ms`.
    Mail,
    /// Sends an e-mail and then requests a retry.
    MailRetry,
    /// Publishes records, the same on every attempt, and then sleeps for `ms`.
    Produce,
    /// Publishes records and then requests a retry.
    ProduceRetry,
}

fn always() -> u32 {
    u32::MAX
}

impl handler::Guest for Faulty {
    fn handle(batch: Vec<Message>) -> Vec<Outcome> {
        // An action without an outcome empties the whole result.
        batch.iter().map(handle_one).collect::<Option<_>>().unwrap_or_default()
    }
}

impl lifecycle::Guest for Faulty {
    fn describe() -> Description {
        let delay_ms = if NAME == "faulty-fast" { 10 } else { 1000 };
        Description {
            name: NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Fails as its messages ask it to".into(),
            subscription: Subscription {
                topic: NAME.into(),
                group: format!("{NAME}-group"),
                dead_letter_topic: format!("{NAME}.dlt"),
                retry: RetryPolicy {
                    retries: 5,
                    delay_ms,
                    multiplier: 2.0,
                    max_delay_ms: 3_600_000,
                    jitter: 0.0,
                    max_age_ms: 86_400_000,
                },
            },
            attributes: vec![attribute()],
        }
    }
}

fn attribute() -> (String, String) {
    let (name, value) = ATTRIBUTE.split_once('=').unwrap_or_default();
    (name.into(), value.into())
}

/// `None` if the message has no outcome.
fn handle_one(message: &Message) -> Option<Outcome> {
    let count = HANDLED.fetch_add(1, Ordering::Relaxed) + 1;
    let request = message.value.as_deref().map(serde_json::from_slice::<Request>);
    let id = match &request {
        Some(Ok(request)) => &request.id,
        _ => "-",
    };
    write_log(Level::Info, &format!("handled id={id} attempt={} message={}", message.attempt, message.id));
    match request {
        None => Some(done()),
        Some(Err(error)) => Some(Outcome::Reject(failure("invalid-message", &error.to_string()))),
        Some(Ok(request)) if message.attempt > request.until => Some(done()),
        Some(Ok(request)) => act(&request, count),
    }
}

fn act(request: &Request, count: u64) -> Option<Outcome> {
    match request.action {
        Action::Done => {}
        Action::Skip => return Some(Outcome::Skipped("asked to skip".into())),
        Action::Retry => return Some(asked_retry(request)),
        Action::Busy if now_ms() >= request.ms => {}
        Action::Busy => {
            let failure = failure("busy", "asked to retry until later");
            return Some(Outcome::Retry(RetryLater { failure, after_ms: None }));
        }
        Action::Reject if cfg!(feature = "mended") => {}
        Action::Reject => return Some(Outcome::Reject(failure("asked-reject", "asked to reject"))),
        Action::Trap => std::process::abort(),
        Action::Panic => panic!("asked to panic"),
        Action::Loop => harm::run_forever(),
        Action::Recurse => harm::overflow_the_stack(),
        Action::Memory => harm::exhaust_memory(),
        Action::Sleep => std::thread::sleep(std::time::Duration::from_millis(request.ms)),
        Action::Count => {
            write_log(Level::Info, &format!("count={count}"));
            return Some(Outcome::Done(count.to_string()));
        }
        Action::Exit => std::process::exit(3),
        Action::Flood => harm::flood_stdout(),
        Action::Outcomes => return None,
        Action::Log => log_at_every_level(),
        Action::Look => look(&request.path),
        Action::Mail => {
            send_mail(&request.id);
            std::thread::sleep(std::time::Duration::from_millis(request.ms));
        }
        Action::MailRetry => {
            send_mail(&request.id);
            return Some(asked_retry(request));
        }
        Action::Produce => {
            records::publish(request);
            std::thread::sleep(std::time::Duration::from_millis(request.ms));
        }
        Action::ProduceRetry => {
            records::publish(request);
            return Some(asked_retry(request));
        }
        Action::Talk => return Some(Outcome::Done("x".repeat(request.ms as usize))),
    }
    Some(done())
}

fn asked_retry(request: &Request) -> Outcome {
    let failure = failure("asked-retry", "asked to retry");
    Outcome::Retry(RetryLater { failure, after_ms: request.after_ms })
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn log_at_every_level() {
    write_log(Level::Trace, "log level=trace");
    write_log(Level::Debug, "log level=debug");
    write_log(Level::Info, "log level=info");
    write_log(Level::Warn, "log level=warn");
    write_log(Level::Error, "log level=error");
    write_log(Level::Info, "log first\nlog second \u{1b}[31mred");
}

fn look(path: &str) {
    let value = config::get("greeting").unwrap_or_else(|| "nothing".into());
    let variable = std::env::var("GREETING").unwrap_or_else(|_| "nothing".into());
    let file = std::fs::read_to_string(path).unwrap_or_else(|_| "nothing".into());
    let written = std::fs::write(format!("{path}.new"), "x").is_ok();
    write_log(Level::Info, &format!("saw config={value} env={variable} file={file} written={written}"));
}

/// Logs `mailed id=… answer=…`.
fn send_mail(id: &str) {
    let address = |email: &str| mail::Address { name: None, email: email.into() };
    let email = mail::Email {
        sender: address("from@example.com"),
        to: vec![address("to@example.com")],
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: id.into(),
        text: Some("Sent by a guest of the tests.".into()),
        html: None,
        headers: vec![],
        attachments: vec![],
    };
    let answer = match mail::send(&[email]).pop() {
        Some(Ok(receipt)) => receipt.id,
        Some(Err(error)) => format!("{error:?}"),
        None => "none".into(),
    };
    write_log(Level::Info, &format!("mailed id={id} answer={answer}"));
}

fn write_log(level: Level, text: &str) {
    log::write(level, text, &[]);
}

fn done() -> Outcome {
    Outcome::Done(String::new())
}

fn failure(code: &str, detail: &str) -> Failure {
    Failure { code: code.into(), detail: detail.into() }
}
