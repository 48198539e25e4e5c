//! One request: checked, identified, and sent or captured.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use destinations::{Destination, Room};
use effects::{Content, Digest, Effects, Key, Performed};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, RETRY_AFTER, TE, TRAILER};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::client::{Answer, Bounds, Client, Error as ClientError, NoAnswer, Request};
use super::hooks::Session;
use super::target::is_usable;
use super::{Canned, CapturedRequest, MAX_REQUEST, MAX_RESPONSE, NAME};
use crate::call::Outside;
use crate::call_clock::CallClock;
use crate::call_end::CallEnd;
use crate::limits::Exceeded;

/// The header by which a server recognises a repeated request.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The reason why the guest gets no response.
pub(super) enum Failed {
    /// The guest gets this error.
    Answered(Error),
    /// The call ends.
    Ended(CallEnd),
}

/// The reason why a request did not succeed.
enum Refused {
    Status(Answer),
    NoAnswer(NoAnswer),
    /// The server stopped working before the request was sent.
    Outage,
}

impl Session {
    /// Sends a request of the guest.
    ///
    /// # Errors
    /// There is no response.
    pub(super) async fn send(
        &self,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Answer, Failed> {
        let (parts, body) = request.into_parts();
        let denied = || Failed::Answered(Error::HttpRequestDenied);
        let url = requested(&parts.uri).ok_or_else(denied)?;
        if !self.grant.targets.iter().any(|target| target.covers(&url)) {
            return Err(denied());
        }
        let name = parts.method.as_str();
        if name.eq_ignore_ascii_case("CONNECT") || name.eq_ignore_ascii_case("TRACE") {
            return Err(Failed::Answered(Error::HttpRequestMethodInvalid));
        }
        let mut headers = parts.headers;
        // The client writes the first two; the others concern one connection.
        for name in [HOST, CONTENT_LENGTH, TE, TRAILER, EXPECT] {
            headers.remove(name);
        }
        let body = self.collect(body).await?;
        let request = Request { method: parts.method, url, headers, body };
        // Never closed.
        let _slot = self.used.slots.acquire().await;
        let answer = self.perform(request, self.bounds(options)).await?;
        let received = self.used.received.fetch_add(answer.size(), Ordering::Relaxed) + answer.size();
        if answer.body.is_none() || received > self.context.grants.limits.size(MAX_RESPONSE) {
            return Err(Failed::Ended(CallEnd::Exceeded(Exceeded::Size(MAX_RESPONSE))));
        }
        Ok(answer)
    }

    async fn perform(&self, mut request: Request, bounds: Bounds) -> Result<Answer, Failed> {
        let is_effect = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method);
        let key = if is_effect { Some(self.identify(&mut request)?) } else { None };
        match (&self.context.outside, &self.grant.client) {
            (Some(Outside::Captured(answers)), _) => {
                self.capture(request);
                Ok(answers.get::<Canned>().cloned().unwrap_or_default().answer())
            }
            (Some(Outside::Sent(services)), Some(client)) => {
                self.grant.credentials.iter().for_each(|credentials| credentials.add_to(&mut request));
                let server = self.grant.server(&request.url);
                let server = server.ok_or(Failed::Answered(Error::HttpRequestDenied))?;
                Sending { session: self, effects: &services.effects, client, server, bounds }.run(key, request).await
            }
            _ => Err(Failed::Answered(Error::HttpRequestDenied)),
        }
    }

    /// The key of a request. The server receives it as the idempotency key, unless the plugin set one.
    fn identify(&self, request: &mut Request) -> Result<Key, Failed> {
        let key = self.context.effect(digest(request));
        let key = key.map_err(|_| Failed::Answered(Error::HttpRequestDenied))?;
        if !request.headers.contains_key(IDEMPOTENCY_KEY)
            && let Ok(id) = HeaderValue::try_from(key.id())
        {
            request.headers.insert(IDEMPOTENCY_KEY, id);
        }
        Ok(key)
    }

    /// Captures a request, with the names of credentials, but not their values.
    fn capture(&self, mut request: Request) {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let idempotency_key = request.headers.remove(IDEMPOTENCY_KEY).as_ref().map(text);
        let credentials = self.grant.credentials.iter().flat_map(|all| all.names(&request.url));
        let host_headers: BTreeSet<_> = credentials.map(|name| name.as_str().to_owned()).collect();
        let headers = request.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
        let captured = CapturedRequest {
            method: request.method.as_str().to_owned(),
            url: request.url.to_string(),
            headers: headers.collect(),
            host_headers: host_headers.into_iter().collect(),
            idempotency_key,
            body: request.body,
        };
        self.context.output.capture().effect(NAME, Arc::new(captured));
    }

    /// The whole body.
    async fn collect(&self, mut body: WasiBody) -> Result<Bytes, Failed> {
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            // Trailers are dropped.
            if let Ok(data) = frame.map_err(Failed::Answered)?.into_data() {
                let sent = self.used.sent.fetch_add(data.len(), Ordering::Relaxed) + data.len();
                if sent > self.context.grants.limits.size(MAX_REQUEST) {
                    return Err(Failed::Ended(CallEnd::Exceeded(Exceeded::Size(MAX_REQUEST))));
                }
                all.extend_from_slice(&data);
            }
        }
        Ok(all.freeze())
    }

    /// The timeouts of the guest, limited by those of the call.
    fn bounds(&self, options: RequestOptions) -> Bounds {
        let limits = &self.context.grants.limits;
        let total = limits.call_time;
        let within = |requested: Option<Duration>| requested.unwrap_or(total).min(total);
        let head = within(options.connect_timeout).saturating_add(within(options.first_byte_timeout));
        let between = within(options.between_bytes_timeout);
        Bounds { head: head.min(total), between, total, response: limits.size(MAX_RESPONSE) }
    }
}

/// A request on its way to its server.
struct Sending<'a> {
    session: &'a Session,
    effects: &'a Effects,
    client: &'a Client,
    server: &'a Arc<Destination>,
    bounds: Bounds,
}

impl Sending<'_> {
    /// Waits until the request may be sent and sends it, again and again while there is no connection. A request with a
    /// key is performed once for its message.
    async fn run(&self, key: Option<Key>, request: Request) -> Result<Answer, Failed> {
        let waits = self.server.options().breaker.is_some();
        loop {
            let sent = self.once(key.clone(), request.clone()).await?;
            if let Err(refused) = &sent
                && refused.is_of_server()
            {
                self.session.context.blame(self.server);
            }
            match sent {
                Ok(answer) => {
                    key.into_iter().for_each(|key| self.session.context.performed(key));
                    return Ok(answer);
                }
                Err(Refused::Status(answer)) => return Ok(answer),
                Err(Refused::Outage) => {}
                Err(Refused::NoAnswer(no_answer)) => match no_answer.error {
                    ClientError::Dns | ClientError::Connect | ClientError::Tls if waits => {}
                    error => return Err(Failed::Answered(error_code(error))),
                },
            }
        }
    }

    async fn once(&self, key: Option<Key>, request: Request) -> Result<Result<Answer, Refused>, Failed> {
        let waiting = self.session.context.clock().map(CallClock::wait);
        let reservation = self.server.reserve().await;
        let (client, bounds) = (self.client.clone(), self.bounds);
        let sending = async move {
            let Ok(room) = reservation.enter().await else { return Performed::Failed(Refused::Outage) };
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
            Self::Status(answer) => answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS,
            Self::NoAnswer(no_answer) => no_answer.error != ClientError::Prohibited,
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
                    room.refused(&reason());
                }
                StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => room.succeeded(),
                status if status.is_server_error() => room.failed(&reason()),
                _ => room.succeeded(),
            }
        }
        // A setting of the plugin, not the server.
        Err(NoAnswer { error: ClientError::Prohibited, .. }) => room.succeeded(),
        Err(no_answer) => room.failed(&no_answer.to_string()),
    }
}

/// The time of `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok(),
    }
}

/// A request with a success status has succeeded, even if its response is too large.
fn settle(result: Result<Answer, NoAnswer>) -> Performed<Answer, Refused> {
    match result {
        Ok(answer) if answer.status.is_success() => Performed::Done(answer),
        Ok(answer) => Performed::Failed(Refused::Status(answer)),
        Err(no_answer) if no_answer.error.may_have_arrived() => Performed::Unknown(Refused::NoAnswer(no_answer)),
        Err(no_answer) => Performed::Failed(Refused::NoAnswer(no_answer)),
    }
}

/// The URL of a request, for the check and for sending; None if it is ambiguous.
pub fn requested(uri: &http::Uri) -> Option<Url> {
    let authority = uri.authority()?.as_str();
    if authority.contains(['@', '%']) {
        return None;
    }
    Url::parse(&uri.to_string()).ok().filter(is_usable)
}

fn error_code(error: ClientError) -> Error {
    match error {
        ClientError::Prohibited => Error::DestinationIpProhibited,
        ClientError::Dns => Error::DnsError { rcode: None, info_code: None },
        ClientError::Connect => Error::ConnectionRefused,
        ClientError::Tls => Error::TlsProtocolError,
        ClientError::Timeout => Error::HttpResponseTimeout,
        ClientError::Broken => Error::ConnectionTerminated,
    }
}

/// Identifies a request by its content. The order of headers with different names has no meaning.
fn digest(request: &Request) -> Digest {
    let mut names: Vec<_> = request.headers.iter().collect();
    names.sort_by_key(|(name, _)| name.as_str());
    let content = Content::default()
        .field(b"http")
        .field(request.method.as_str().as_bytes())
        .field(request.url.as_str().as_bytes())
        .field(&(names.len() as u64).to_be_bytes());
    let content = names.into_iter().fold(content, |content, (name, value)| {
        content.field(name.as_str().as_bytes()).field(value.as_bytes())
    });
    content.field(&request.body).digest()
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
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
        for text in ["soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert_eq!(after(text), None, "{text}");
        }
    }

    fn covers(target: &str, uri: &str) -> bool {
        let target = Target::parse(target).expect(target);
        uri.parse().ok().and_then(|uri| requested(&uri)).is_some_and(|url| target.covers(&url))
    }

    #[test]
    fn a_target_covers_its_url_and_everything_below() {
        for (target, uri) in [
            ("https://api.example.com", "https://api.example.com/any/path?q=1"),
            ("https://API.example.com:443/a", "https://api.EXAMPLE.com/a"),
            ("https://h/a", "https://h/a/b"),
            ("https://h/a", "https://h/a?x"),
            ("https://h/a/", "https://h/a/b"),
            ("http://h:8080/", "http://h:8080/x//y"),
            ("http://[::1]:80/", "http://[0:0::1]/"),
            ("http://127.0.0.1/", "http://127.0.0.1/"),
        ] {
            assert!(covers(target, uri), "{target} {uri}");
        }
    }

    #[test]
    fn a_target_covers_nothing_else() {
        for uri in [
            "http://h/a",
            "https://h:444/a",
            "https://h./a",
            "https://x.h/a",
            "https://h.x/a",
            "https://h/ab",
            "https://h/",
            "https://h/A",
            "https://u@h/a",
            "https://u:p@h/a",
            "https://h@evil/a",
            "https://h/a/../b",
            "https://h/a/%2e%2e/b",
            "https://h/a/..%2fb",
            "https://h/a/%252e%252e/b",
            "https://h/a//b",
            "https://h//a",
            "https://h/a/..;/b",
            "https://h/a%2fb",
            "https://h/a/%00",
            "https://h/a/%c0%ae",
            "https://h/a/%u002e",
            "https://h/a/b%5c..",
            "https://%68/a",
            "https://h:0/a",
            "ftp://h/a",
        ] {
            assert!(!covers("https://h/a", uri), "{uri}");
        }
        assert!(!covers("https://h/a/", "https://h/a"));
        assert!(!covers("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/"));
    }
}
