//! Tests of handlers by `cargo test`, without a host.
//!
//! ```
//! use kafka_host_plugin::testing::{Host, message};
//! use kafka_host_plugin::{Outcome, Result, config, info};
//!
//! fn greet(name: String) -> Result {
//!     info!("{}, {name}!", config::require("greeting")?);
//!     Ok(Outcome::done("greeted"))
//! }
//!
//! let mut host = Host::new().config("greeting", "Hello");
//! assert_eq!(host.handle(greet, &message("Kim")), Ok(Outcome::done("greeted")));
//! assert_eq!(host.log[0].text, "Hello, Kim!");
//! ```
//!
//! A [`Host`] records what a handler logs, sends and publishes. It answers as a dry run does (every e-mail is accepted, every
//! record published, every HTTP request answered with `200 {}`), or as the test says. Without a `Host`, the functions of this
//! crate answer the same, and record nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::mem;

use serde::Serialize;

#[cfg(feature = "http")]
use crate::http::{HttpError, Request, Response};
use crate::log::Level;
use crate::mail::{Email, MailError, Receipt};
use crate::produce::{Position, ProduceError, Record};
use crate::{Handler, Message, Result};

type Answers<Q, A, E> = Box<dyn FnMut(&Q) -> Result<A, E>>;

/// A message whose value is the JSON of `value`, in its first attempt of six.
///
/// # Panics
/// The value has no JSON.
#[must_use]
pub fn message(value: &(impl Serialize + ?Sized)) -> Message {
    Message {
        id: "id-1".into(),
        topic: "topic".into(),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: None,
        value: Some(serde_json::to_vec(value).expect("the value can be written as JSON")),
        headers: vec![],
        attempt: 1,
        max_attempts: 6,
        attributes: vec![],
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its level.
    pub level: Level,
    /// Its text.
    pub text: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// A host for one test.
#[derive(Default)]
#[non_exhaustive]
pub struct Host {
    /// The lines that handlers logged.
    pub log: Vec<Line>,
    /// The e-mails that handlers sent.
    pub emails: Vec<Email>,
    /// The records that handlers published.
    pub records: Vec<Record>,
    /// The HTTP requests that handlers sent.
    #[cfg(feature = "http")]
    pub requests: Vec<Request>,
    /// The number of calls of [`effects::keep`](crate::effects::keep).
    pub kept: usize,
    config: BTreeMap<String, String>,
    mail: Option<Answers<Email, Receipt, MailError>>,
    publish: Option<Answers<Record, Position, ProduceError>>,
    #[cfg(feature = "http")]
    http: Option<Answers<Request, Response, HttpError>>,
}

impl Host {
    /// A host without configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value of the plugin's configuration.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    /// Answers e-mails.
    #[must_use]
    pub fn on_mail(self, answer: impl FnMut(&Email) -> Result<Receipt, MailError> + 'static) -> Self {
        Self { mail: Some(Box::new(answer)), ..self }
    }

    /// Answers records.
    #[must_use]
    pub fn on_publish(self, answer: impl FnMut(&Record) -> Result<Position, ProduceError> + 'static) -> Self {
        Self { publish: Some(Box::new(answer)), ..self }
    }

    /// Answers HTTP requests.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn on_http(self, answer: impl FnMut(&Request) -> Result<Response, HttpError> + 'static) -> Self {
        Self { http: Some(Box::new(answer)), ..self }
    }

    /// Calls a handler with a message.
    ///
    /// # Errors
    /// The message failed.
    pub fn handle<F: Handler<Input>, Input>(&mut self, handler: F, message: &Message) -> Result {
        self.run(|| handler.handle(message))
    }

    /// Calls a function that uses the host.
    pub fn run<T>(&mut self, call: impl FnOnce() -> T) -> T {
        /// Puts the host back, also after a panic.
        struct Back<'a>(&'a mut Host);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                HOST.with(|host| mem::swap(&mut *host.borrow_mut(), self.0));
            }
        }
        HOST.with(|host| mem::swap(&mut *host.borrow_mut(), self));
        let _back = Back(self);
        call()
    }
}

impl Debug for Host {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("log", &self.log).finish_non_exhaustive()
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// What the host's functions are outside of a host.
pub(crate) mod imports {
    use super::*;

    fn host<T>(act: impl FnOnce(&mut Host) -> T) -> T {
        HOST.with(|host| act(&mut host.borrow_mut()))
    }

    pub(crate) fn config(key: &str) -> Option<String> {
        host(|host| host.config.get(key).cloned())
    }

    pub(crate) fn keep() {
        host(|host| host.kept += 1);
    }

    pub(crate) fn log(level: Level, text: &str, fields: &[(String, String)]) {
        let line = Line { level, text: text.to_owned(), fields: fields.to_vec() };
        host(|host| host.log.push(line));
    }

    pub(crate) fn mail(emails: &[Email]) -> Vec<Result<Receipt, MailError>> {
        let receipt = |number| Receipt {
            id: format!("mail-{number}"),
            response: "250 captured, not sent".into(),
            refused: vec![],
        };
        emails
            .iter()
            .map(|email| {
                host(|host| {
                    host.emails.push(email.clone());
                    let number = host.emails.len();
                    host.mail.as_mut().map_or_else(|| Ok(receipt(number)), |answer| answer(email))
                })
            })
            .collect()
    }

    pub(crate) fn publish(records: &[Record]) -> Vec<Result<Position, ProduceError>> {
        records
            .iter()
            .map(|record| {
                host(|host| {
                    let offset = host.records.len() as u64;
                    host.records.push(record.clone());
                    host.publish
                        .as_mut()
                        .map_or_else(|| Ok(Position { partition: 0, offset }), |answer| answer(record))
                })
            })
            .collect()
    }

    #[cfg(feature = "http")]
    pub(crate) fn http(request: &Request) -> Result<Response, HttpError> {
        host(|host| {
            host.requests.push(request.clone());
            host.http.as_mut().map_or_else(|| Ok(Response::new(200, "{}")), |answer| answer(request))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, config, effects, info, log, mail, produce};

    #[test]
    fn a_host_records_what_a_handler_does() {
        let mut host = Host::new().config("a", "b").config("n", "7");
        let result = host.run(|| {
            effects::keep();
            info!("plain");
            log::write(Level::Warn, "fields", &[("a", "b")]);
            let receipt = mail::send(&Email::new("a@x", "b@x", "s")).expect("a receipt");
            let position = produce::publish(&Record::new("t", "v")).expect("a position");
            assert_eq!(config::parse("n"), Ok(Some(7)));
            assert_eq!(config::parse::<u8>("a").unwrap_err().code(), "config");
            assert_eq!((config::get("z"), config::parse::<u8>("z")), (None, Ok(None)));
            assert_eq!(config::require("z").unwrap_err().code(), "config");
            (receipt.id, position.offset, config::require("a"))
        });
        assert_eq!(result, ("mail-1".into(), 0, Ok("b".into())));
        assert_eq!((host.emails.len(), host.records.len(), host.kept), (1, 1, 1));
        let lines: Vec<_> =
            host.log.iter().map(|line| (line.level, line.text.as_str(), line.fields.len())).collect();
        assert_eq!(lines, [(Level::Info, "plain", 0), (Level::Warn, "fields", 1)]);
        host.run(|| info!("more"));
        assert_eq!(host.log.len(), 3);
    }

    #[test]
    fn a_panic_leaves_no_host_behind() {
        let panicking = || Host::new().config("a", "b").handle(|_: u8| -> () { panic!("bad") }, &message(&1));
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert_eq!(config::get("a"), None);
        assert_eq!(Host::new().handle(|_: u8| (), &message(&1)), Ok(Outcome::done("")));
    }
}
