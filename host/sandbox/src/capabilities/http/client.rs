//! HTTP clients: of a plugin, and of the host itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::error::UserError;
use bytes::{Bytes, BytesMut};
use effects::{Record, Recorded};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use url::Url;

use super::address;
use super::no_answer::{self, Error, NoAnswer, Refused};
use crate::outgoing::{Outgoing, Proxy};

/// The time for a connection: name resolution, TCP and TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// The maximum number of idle connections per host.
const MAX_IDLE: usize = 8;
/// The time after which an idle connection is closed.
const IDLE: Duration = Duration::from_secs(60);

/// A permitted request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Any method except CONNECT and TRACE.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// Headers except Host and Content-Length.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// The bounds of one request.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The time until the head of the response.
    pub head: Duration,
    /// The time between two parts of the response's body.
    pub between: Duration,
    /// The total time.
    pub total: Duration,
    /// The size of the response, head and body, in bytes.
    pub response: usize,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// None if the response is too large.
    pub body: Option<Bytes>,
}

impl Answer {
    /// The size of head and body, in bytes.
    pub fn size(&self) -> usize {
        size(&self.headers) + self.body.as_ref().map_or(0, Bytes::len)
    }
}

/// The approximate size in transmission.
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Sends requests to one server. Plugins never share a connection, because their grants differ.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    proxy: Option<Proxy>,
}

impl Client {
    /// A client of a plugin for the server of this URL. Without a proxy it connects only to public addresses and to those
    /// of `networks`.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn new(outgoing: &Outgoing, server: &Url, networks: &[IpNet]) -> Result<Self, UserError> {
        let checked = Checked { networks: networks.into() };
        Self::with(outgoing, server, |client| client.dns_resolver(Arc::new(checked)))
    }

    /// A client of the host itself for the server of this URL, at any address.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn of_host(outgoing: &Outgoing, server: &Url) -> Result<Self, UserError> {
        Self::with(outgoing, server, |client| client)
    }

    fn with(
        outgoing: &Outgoing,
        server: &Url,
        direct: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, UserError> {
        let proxy = outgoing.proxy(server);
        let client = outgoing.client(proxy.as_ref())?;
        let client = if proxy.is_some() { client } else { direct(client) };
        let client =
            client.connect_timeout(CONNECT).pool_max_idle_per_host(MAX_IDLE).pool_idle_timeout(IDLE).build();
        let http = client.map_err(|error| UserError::unavailable(format!("cannot set up HTTP: {error}")))?;
        Ok(Self { http, proxy })
    }

    /// The proxy that it uses.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// A POST to this URL, whose user and password become a header.
    pub fn post(&self, url: Url) -> RequestBuilder {
        self.http.post(url)
    }

    /// Sends a request; the response's body is still to be read.
    ///
    /// # Errors
    /// There is no response of the server.
    pub async fn execute(&self, request: reqwest::Request) -> Result<Response, NoAnswer> {
        let is_forwarded = request.url().scheme() == "http";
        let response = self.http.execute(request).await;
        let response = response.map_err(|error| no_answer::classify(&error, self.proxy.as_ref()))?;
        match &self.proxy {
            Some(proxy) if is_forwarded && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(NoAnswer { error: Error::Proxy, detail: proxy.wants_credentials() })
            }
            _ => Ok(response),
        }
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// There is no response.
    pub async fn send(&self, request: Request, bounds: Bounds) -> Result<Answer, NoAnswer> {
        let late = Err(Error::Timeout.into());
        timeout(bounds.total, self.converse(request, bounds)).await.unwrap_or(late)
    }

    async fn converse(&self, request: Request, bounds: Bounds) -> Result<Answer, NoAnswer> {
        let mut outgoing = reqwest::Request::new(request.method, request.url);
        *outgoing.headers_mut() = request.headers;
        if !request.body.is_empty() {
            *outgoing.body_mut() = Some(request.body.into());
        }
        let sent = timeout(bounds.head, self.execute(outgoing)).await;
        let mut response = sent.map_err(|_| Error::Timeout)??;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut size = size(&headers);
        let mut body = BytesMut::new();
        loop {
            let chunk = timeout(bounds.between, response.chunk()).await.map_err(|_| Error::Timeout)?;
            size = match chunk.map_err(|_| Error::Broken)? {
                Some(chunk) => {
                    body.extend_from_slice(&chunk);
                    size.saturating_add(chunk.len())
                }
                None if size <= bounds.response => {
                    return Ok(Answer { status, headers, body: Some(body.freeze()) });
                }
                None => size,
            };
            if size > bounds.response {
                return Ok(Answer { status, headers, body: None });
            }
        }
    }
}

/// Resolves names to addresses to which connections are allowed.
struct Checked {
    networks: Arc<[IpNet]>,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = Arc::clone(&self.networks);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses = checked(found, &networks)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn checked(found: impl Iterator<Item = SocketAddr>, networks: &[IpNet]) -> Result<Vec<SocketAddr>, Refused> {
    let permitted: Vec<_> = found.filter(|found| address::is_permitted(found.ip(), networks)).collect();
    if permitted.is_empty() { Err(Refused) } else { Ok(permitted) }
}

/// The recorded head of a response; bytes of headers as Latin-1.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    too_large: bool,
}

impl Recorded for Answer {
    fn record(&self) -> Record {
        let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        let headers = self.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
        let head =
            Head { status: self.status.as_u16(), headers: headers.collect(), too_large: self.body.is_none() };
        let body = self.body.as_ref().map(|body| body.to_vec()).unwrap_or_default();
        Record { head: serde_json::to_string(&head).unwrap_or_default(), body }
    }

    fn recall(record: Record) -> Option<Self> {
        let head: Head = serde_json::from_str(&record.head).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in head.headers {
            let value: Vec<u8> = value.chars().map(u8::try_from).collect::<Result<_, _>>().ok()?;
            let value = HeaderValue::from_bytes(&value).ok()?;
            headers.try_append(HeaderName::from_bytes(name.as_bytes()).ok()?, value).ok()?;
        }
        let body = (!head.too_large).then(|| record.body.into());
        Some(Self { status: StatusCode::from_u16(head.status).ok()?, headers, body })
    }
}

#[cfg(test)]
mod tests {
    use settings::OutgoingHttp;

    use super::*;

    #[test]
    fn only_allowed_addresses_are_used() {
        let found = ["127.0.0.1:0", "8.8.8.8:0"].map(|text| text.parse().expect(text));
        let names = |networks: &[IpNet]| checked(found.into_iter(), networks).expect("some").len();
        assert_eq!((names(&[]), names(&["127.0.0.0/8".parse().expect("a network")])), (1, 2));
        assert!(checked(found.into_iter().take(1), &[]).is_err());
    }

    #[tokio::test]
    async fn there_is_no_connection_to_a_name_of_this_machine() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let second = Duration::from_secs(5);
        let bounds = Bounds { head: second, between: second, total: second, response: 1000 };
        let url: Url = format!("http://localhost:{port}/").parse().expect("a URL");
        let request = Request {
            method: Method::POST,
            url: url.clone(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"x"),
        };
        let outgoing = Outgoing::new(&OutgoingHttp::default()).expect("possible");
        let client = Client::new(&outgoing, &url, &[]).expect("a client");
        assert_eq!(client.send(request, bounds).await, Err(Error::Prohibited.into()));
        let arrived = timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(arrived.is_err(), "something arrived");
    }

    #[test]
    fn a_recorded_answer_is_complete() {
        let mut headers = HeaderMap::new();
        headers.append("x", HeaderValue::from_bytes(b"a\xff").expect("a value"));
        headers.append("x", HeaderValue::from_static("b"));
        for body in [Some(Bytes::from_static(b"\0\xff")), None] {
            let answer = Answer { status: StatusCode::CREATED, headers: headers.clone(), body };
            assert_eq!(Answer::recall(answer.record()), Some(answer));
        }
    }
}
