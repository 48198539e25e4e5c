//! A request on its way to its server: waiting, sending, and the meaning of the answer.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use destinations::Room;
use effects::{Effects, Key, Performed};
use futures_util::FutureExt as _;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;
use tokio::time::sleep;
use wasmtime_wasi_http::Error;

use super::client::{Answer, Bounds, Request};
use super::grant::Server;
use super::hooks::Session;
use super::no_answer::{Error as ClientError, NoAnswer};
use super::request::Failed;
use crate::call_clock::CallClock;
use crate::call_end::CallEnd;
use crate::shortage;

/// The number of recorded requests for each one in progress.
const AHEAD: usize = 2;

/// A request on its way to its server.
pub(super) struct Sending<'a> {
    pub session: &'a Session,
    pub effects: &'a Effects,
    pub server: &'a Server,
    pub bounds: Bounds,
}

/// The reason why a request did not succeed.
enum Refused {
    Status(Answer),
    NoAnswer(NoAnswer),
    /// The server stopped working before the request was sent.
    Outage,
}

impl Sending<'_> {
    /// Waits until the request may be sent and sends it, again and again while there is no connection. A request with a
    /// key is performed once for its message.
    pub async fn run(&self, key: Option<Key>, request: Request) -> Result<Answer, Failed> {
        let destination = &self.server.destination;
        let waits = destination.options().breaker.is_some();
        loop {
            let sent = self.once(key.clone(), request.clone()).await?;
            if let Err(refused) = &sent
                && refused.is_of_server()
            {
                self.session.context.blame(destination);
            }
            match sent {
                Ok(answer) => {
                    key.into_iter().for_each(|key| self.session.context.performed(key));
                    return Ok(answer);
                }
                Err(Refused::Status(answer)) => return Ok(answer),
                Err(Refused::Outage) => {}
                Err(Refused::NoAnswer(no_answer)) => match no_answer.error {
                    ClientError::Shortage => self.pause(&no_answer).await,
                    ClientError::Dns | ClientError::Connect | ClientError::Tls | ClientError::Proxy
                        if waits => {}
                    error => return Err(Failed::Answered(error_code(error))),
                },
            }
        }
    }

    /// Waits for the end of a shortage, which costs the call no time.
    async fn pause(&self, no_answer: &NoAnswer) {
        let _waiting = self.session.context.clock().map(CallClock::wait);
        shortage::report(&format!("{}: {no_answer}", self.server.destination.name()));
        sleep(shortage::PAUSE).await;
    }

    async fn once(&self, key: Option<Key>, request: Request) -> Result<Result<Answer, Refused>, Failed> {
        let waiting = self.session.context.clock().map(CallClock::wait);
        let reservation = self.server.destination.reserve(AHEAD).await;
        let (client, bounds) = (self.server.client.clone(), self.bounds);
        // A call that has ended begins nothing.
        let (_call, ended) = oneshot::channel::<Infallible>();
        let sending = async move {
            let Ok(room) = reservation.enter_unless(ended.map(drop)).await else {
                return Performed::Failed(Refused::Outage);
            };
            drop(waiting);
            let result = client.send(request, bounds).await;
            tell(room, &result);
            settle(result)
        };
        match key {
            None => {
                let task = self.effects.runtime().spawn(async move { sending.await.into() });
                Ok(wasmtime_wasi::runtime::AbortOnDropJoinHandle::from(task).await)
            }
            Some(key) => {
                let performed = self.effects.once(key, sending).await;
                performed.map_err(|interrupted| Failed::Ended(CallEnd::Effect(interrupted)))
            }
        }
    }
}

impl Refused {
    /// Whether it is a failure of the server, not of the request.
    fn is_of_server(&self) -> bool {
        match self {
            Self::Outage => true,
            Self::Status(answer) => {
                answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::NoAnswer(no_answer) => {
                !matches!(no_answer.error, ClientError::Prohibited | ClientError::Shortage)
            }
        }
    }
}

/// Tells the server's state what its answer means.
fn tell(room: Room, result: &Result<Answer, NoAnswer>) {
    match result {
        Ok(answer) => {
            let reason = || format!("it answered {}", answer.status);
            match answer.status {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    if let Some(time) = retry_after(&answer.headers) {
                        room.destination().rest(time);
                    }
                    room.throttled(&reason());
                }
                StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => room.succeeded(),
                status if status.is_server_error() => room.failed(&reason()),
                _ => room.succeeded(),
            }
        }
        // A setting of the plugin, not the server.
        Err(NoAnswer { error: ClientError::Prohibited, .. }) => room.succeeded(),
        // Nothing is known about the server.
        Err(NoAnswer { error: ClientError::Shortage, .. }) => drop(room),
        Err(no_answer) => room.failed(&no_answer.to_string()),
    }
}

/// The time of `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3). A date is read by the server's clock, if
/// the answer tells its time.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let now = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
            let until = httpdate::parse_http_date(text).ok()?;
            until.duration_since(now.unwrap_or_else(SystemTime::now)).ok()
        }
    }
}

/// A request with a success status has succeeded, even if its response is too large.
fn settle(result: Result<Answer, NoAnswer>) -> Performed<Answer, Refused> {
    match result {
        Ok(answer) if answer.status.is_success() => Performed::Done(answer),
        Ok(answer) => Performed::Failed(Refused::Status(answer)),
        Err(no_answer) if no_answer.error.may_have_arrived() => {
            Performed::Unknown(Refused::NoAnswer(no_answer))
        }
        Err(no_answer) => Performed::Failed(Refused::NoAnswer(no_answer)),
    }
}

fn error_code(error: ClientError) -> Error {
    match error {
        ClientError::Prohibited => Error::DestinationIpProhibited,
        ClientError::Dns => Error::DnsError { rcode: None, info_code: None },
        ClientError::Connect | ClientError::Shortage => Error::ConnectionRefused,
        ClientError::Tls => Error::TlsProtocolError,
        ClientError::Proxy => Error::DestinationUnavailable,
        ClientError::Timeout => Error::HttpResponseTimeout,
        ClientError::Broken => Error::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_whether_it_is_done() {
        let answer = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            Ok(Answer { status, headers: HeaderMap::new(), body: None })
        };
        assert!(matches!(settle(answer(201)), Performed::Done(_)));
        for status in [302, 404, 500] {
            assert!(matches!(settle(answer(status)), Performed::Failed(Refused::Status(_))));
        }
        for (error, unknown) in [
            (ClientError::Connect, false),
            (ClientError::Prohibited, false),
            (ClientError::Proxy, false),
            (ClientError::Shortage, false),
            (ClientError::Timeout, true),
            (ClientError::Broken, true),
        ] {
            let no_answer = NoAnswer { error, detail: String::new() };
            assert_eq!(matches!(settle(Err(no_answer)), Performed::Unknown(_)), unknown);
        }
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let after = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a value"));
            retry_after(&headers)
        };
        assert_eq!(after(" 120 "), Some(Duration::from_secs(120)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(after(&date).is_some_and(|time| (98..=100).contains(&time.as_secs())));
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "Sun, 06 Nov 1994 08:49:57 GMT".parse().expect("a value"));
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().expect("a value"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(20)), "the clocks differ");
        for text in ["soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert_eq!(after(text), None, "{text}");
        }
    }
}
