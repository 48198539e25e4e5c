//! The capability `http`: requests through `wasi:http`, to the URLs that are granted.

pub mod address;
pub mod client;
pub mod credentials;
pub mod solapi;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use effects::{Calls, Content, Digest, Interrupted, Key, Performed};
use http::Method;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRAILER};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use settings::target::{Target, is_usable};
use tokio::sync::{Notify, Semaphore};
use url::Url;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::call::{Call, Outside, Services};
use crate::capabilities::http::client::{Answer, Bounds, Client, Error as ClientError, Request};
use crate::capabilities::http::credentials::Credentials;
use crate::capture::{Canned, Capture, CapturedRequest};
use crate::limits::{Exceeded, Limits};

/// The largest piece of a request's body that the guest hands over at once, in bytes.
const CHUNK: usize = 16 << 10;
/// How many requests of a call are under way at once; further ones wait.
const AT_ONCE: usize = 8;
/// What a server takes for the same request sent again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Links its imports.
///
/// # Errors
/// Two definitions of one of them.
pub fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// Where a plugin's requests may go.
#[derive(Debug)]
pub struct Outbound {
    targets: Vec<Target>,
    credentials: Vec<Credentials>,
}

impl Outbound {
    /// Requests to these targets, with what belongs to them.
    pub fn new(targets: Vec<Target>, credentials: Vec<Credentials>) -> Self {
        Self { targets, credentials }
    }

    /// The targets.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}

/// What a call is ended by from beside it.
#[derive(Debug, Clone)]
pub enum Ended {
    /// A limit.
    Limit(Exceeded),
    /// An effect that must not be tried.
    Effect(Interrupted),
}

/// Ends a call, also where the guest does not look at the answer that it waits for.
#[derive(Default)]
pub struct End {
    why: Mutex<Option<Ended>>,
    told: Notify,
}

impl End {
    fn tell(&self, why: Ended) {
        self.why.lock().get_or_insert(why);
        self.told.notify_one();
    }

    /// Completes when the call has to end.
    pub async fn wait(&self) -> Ended {
        loop {
            if let Some(why) = self.why.lock().clone() {
                return why;
            }
            self.told.notified().await;
        }
    }
}

/// What the requests of one call need.
#[derive(Clone)]
pub struct Session {
    /// Where they may go.
    pub outbound: Arc<Outbound>,
    /// Where they go.
    pub outside: Outside,
    /// What sends them; without it nothing is sent.
    pub client: Option<Client>,
    /// Where those of a dry run are written down.
    pub capture: Arc<Capture>,
    /// Bounds.
    pub limits: Limits,
    /// Whose effects they are.
    pub calls: Arc<Mutex<Calls>>,
    /// How they end the call.
    pub end: Arc<End>,
    /// What they have used up.
    pub used: Arc<Used>,
}

/// What the requests of one call have used up.
pub struct Used {
    /// Bytes of requests' bodies.
    sent: AtomicUsize,
    /// Bytes of responses.
    received: AtomicUsize,
    /// Those that may be under way at once.
    slots: Semaphore,
}

impl Default for Used {
    fn default() -> Self {
        Self { sent: AtomicUsize::new(0), received: AtomicUsize::new(0), slots: Semaphore::new(AT_ONCE) }
    }
}

/// The hooks of `wasi:http`; without a session every request is denied.
#[derive(Default)]
pub struct Hooks {
    /// Set for each call of a plugin with a grant.
    pub session: Option<Session>,
    /// Requests of this call.
    pub requests: u32,
}

impl WasiHttpHooks for Hooks {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Worker), Error>> + Send> {
        self.requests = self.requests.saturating_add(1);
        let (session, requests) = (self.session.clone(), self.requests);
        Box::new(async move {
            let session = session.ok_or(Error::HttpRequestDenied)?;
            if requests > session.limits.host_calls {
                session.end.tell(Ended::Limit(Exceeded::HostCalls));
                return std::future::pending().await;
            }
            match session.send(request, options.unwrap_or_default()).await {
                Ok(answer) => Ok((response(answer), Box::new(async { Ok(()) }) as Worker)),
                Err(Failed::Told(error)) => Err(error),
                // The call is cut off; its future must not go on with an answer.
                Err(Failed::Ended(why)) => {
                    session.end.tell(why);
                    std::future::pending().await
                }
            }
        })
    }
}

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Why there is no response for the guest.
enum Failed {
    /// The guest is told.
    Told(Error),
    /// The call ends.
    Ended(Ended),
}

/// Why a request was no success.
enum Refused {
    Status(Answer),
    None(ClientError),
}

impl Session {
    async fn send(
        &self,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Answer, Failed> {
        let (parts, body) = request.into_parts();
        let denied = || Failed::Told(Error::HttpRequestDenied);
        let url = requested(&parts.uri).ok_or_else(denied)?;
        if !self.outbound.targets.iter().any(|target| target.covers(&url)) {
            return Err(denied());
        }
        let name = parts.method.as_str();
        if name.eq_ignore_ascii_case("CONNECT") || name.eq_ignore_ascii_case("TRACE") {
            return Err(Failed::Told(Error::HttpRequestMethodInvalid));
        }
        let mut headers = parts.headers;
        // The client writes the first two; the others are for one connection.
        for name in [HOST, CONTENT_LENGTH, TE, TRAILER, EXPECT] {
            headers.remove(name);
        }
        let body = self.collect(body).await?;
        let request = Request { method: parts.method, url, headers, body };
        // Never closed.
        let _slot = self.used.slots.acquire().await;
        let answer = self.perform(request, self.bounds(options)).await?;
        let received = self.used.received.fetch_add(answer.size(), Ordering::Relaxed) + answer.size();
        if answer.body.is_none() || received > self.limits.http_response {
            return Err(Failed::Ended(Ended::Limit(Exceeded::HttpResponse)));
        }
        Ok(answer)
    }

    async fn perform(&self, mut request: Request, bounds: Bounds) -> Result<Answer, Failed> {
        let is_effect = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method);
        let key = is_effect.then(|| self.name(&mut request));
        match (&self.outside, &self.client) {
            (Outside::Captured(canned), _) => Ok(self.write_down(request, canned)),
            (Outside::Sent(services), Some(client)) => {
                self.outbound.credentials.iter().for_each(|credentials| credentials.add_to(&mut request));
                send_out(services, client.clone(), key, request, bounds).await
            }
            (Outside::Sent(_), None) => Err(Failed::Told(Error::HttpRequestDenied)),
        }
    }

    /// Tells this request from all others, and the server too.
    fn name(&self, request: &mut Request) -> Key {
        let key = self.calls.lock().next(digest(request));
        if !request.headers.contains_key(IDEMPOTENCY_KEY)
            && let Ok(id) = HeaderValue::try_from(key.id())
        {
            request.headers.insert(IDEMPOTENCY_KEY, id);
        }
        key
    }

    /// Writes it down instead of sending it. Credentials are not added, only named.
    fn write_down(&self, mut request: Request, canned: &Canned) -> Answer {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let idempotency_key = request.headers.remove(IDEMPOTENCY_KEY).as_ref().map(text);
        let credentials = self.outbound.credentials.iter().flat_map(|all| all.names(&request.url));
        let host_headers: BTreeSet<_> = credentials.map(|name| name.as_str().to_owned()).collect();
        let headers = request.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
        self.capture.request(CapturedRequest {
            method: request.method.as_str().to_owned(),
            url: request.url.to_string(),
            headers: headers.collect(),
            host_headers: host_headers.into_iter().collect(),
            idempotency_key,
            body: request.body,
        });
        canned.answer()
    }

    /// The whole body.
    async fn collect(&self, mut body: WasiBody) -> Result<Bytes, Failed> {
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            // Trailers are dropped.
            if let Ok(data) = frame.map_err(Failed::Told)?.into_data() {
                let sent = self.used.sent.fetch_add(data.len(), Ordering::Relaxed) + data.len();
                if sent > self.limits.http_request {
                    return Err(Failed::Ended(Ended::Limit(Exceeded::HttpRequest)));
                }
                all.extend_from_slice(&data);
            }
        }
        Ok(all.freeze())
    }

    /// What the guest asks for, within what a call may take.
    fn bounds(&self, options: RequestOptions) -> Bounds {
        let total = self.limits.call_time;
        let within = |asked: Option<Duration>| asked.unwrap_or(total).min(total);
        let head = within(options.connect_timeout).saturating_add(within(options.first_byte_timeout));
        let between = within(options.between_bytes_timeout);
        Bounds { head: head.min(total), between, total, response: self.limits.http_response }
    }
}

/// Sends a request; one with a key once for its message.
async fn send_out(
    services: &Services,
    client: Client,
    key: Option<Key>,
    request: Request,
    bounds: Bounds,
) -> Result<Answer, Failed> {
    let effects = &services.effects;
    let result = match key {
        None => {
            let task = effects.runtime().spawn(async move { client.send(request, bounds).await });
            let task = wasmtime_wasi::runtime::AbortOnDropJoinHandle::from(task);
            task.await.map_err(Refused::None)
        }
        Some(key) => {
            let performed =
                effects.once(key, async move { settle(client.send(request, bounds).await) }).await;
            performed.map_err(|interrupted| Failed::Ended(Ended::Effect(interrupted)))?
        }
    };
    match result {
        Ok(answer) | Err(Refused::Status(answer)) => Ok(answer),
        Err(Refused::None(error)) => Err(Failed::Told(told(error))),
    }
}

/// What is done is done, also where its answer is too large.
fn settle(result: Result<Answer, ClientError>) -> Performed<Answer, Refused> {
    match result {
        Ok(answer) if answer.status.is_success() => Performed::Done(answer),
        Ok(answer) => Performed::Failed(Refused::Status(answer)),
        Err(error) if error.may_have_arrived() => Performed::Unknown(Refused::None(error)),
        Err(error) => Performed::Failed(Refused::None(error)),
    }
}

/// A request's URL as it is checked and sent; None where it is odd.
pub fn requested(uri: &http::Uri) -> Option<Url> {
    let authority = uri.authority()?.as_str();
    if authority.contains(['@', '%']) {
        return None;
    }
    Url::parse(&uri.to_string()).ok().filter(is_usable)
}

fn told(error: ClientError) -> Error {
    match error {
        ClientError::Prohibited => Error::DestinationIpProhibited,
        ClientError::Dns => Error::DnsError { rcode: None, info_code: None },
        ClientError::Connect => Error::ConnectionRefused,
        ClientError::Timeout => Error::HttpResponseTimeout,
        ClientError::Broken => Error::ConnectionTerminated,
    }
}

fn response(answer: Answer) -> http::Response<WasiBody> {
    let body = Full::new(answer.body.unwrap_or_default()).map_err(|never| match never {}).boxed_unsync();
    let mut response = http::Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// Everything that the plugin said of the request; the order of different headers says nothing.
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
mod tests;
