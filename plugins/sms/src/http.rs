//! One POST through `wasi:http`.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

use crate::answer::Answer;

/// How long connecting may take, in nanoseconds.
const CONNECT: u64 = 5_000_000_000;
/// How long the gateway may take to answer, in nanoseconds; below what a call may take in all.
const ANSWER: u64 = 8_000_000_000;
/// How much of an answer is read.
const MAX_BODY: usize = 32 << 10;
/// What a stream takes and gives at once.
const CHUNK: usize = 4 << 10;

/// Where a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    is_https: bool,
    authority: String,
    /// Before the path, without a `/` at its end.
    prefix: String,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Else plain HTTP.
    pub is_https: bool,
    /// Host and port.
    pub authority: String,
    /// The whole path.
    pub path: String,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The host does not let the plugin reach it.
    Denied(String),
    /// Anything else: no connection, no answer in time.
    Transient(String),
}

impl Address {
    /// `http(s)://host[:port][/path]`.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@' | '\\');
        if authority.is_empty() || !rest.chars().all(is_plain) {
            return None;
        }
        let prefix = path.trim_end_matches('/').to_owned();
        Some(Self { is_https, authority: authority.to_owned(), prefix })
    }
}

impl Request {
    /// A POST to a path of the gateway.
    pub fn post(address: &Address, path: &str, content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            is_https: address.is_https,
            authority: address.authority.clone(),
            path: format!("{}{path}", address.prefix),
            content_type,
            body,
        }
    }
}

/// Sends it and reads the answer. Credentials and the idempotency key are the host's to add.
///
/// # Errors
/// There is no answer.
pub fn send(request: &Request) -> Result<Answer, SendError> {
    let (outgoing, body) = outgoing(request).ok_or_else(|| transient("the request is not possible"))?;
    let future = outgoing_handler::handle(outgoing, Some(options())).map_err(|error| failed(&error))?;
    // Where writing fails the answer says why: a gateway may refuse before it has read it all.
    let written = write(body, &request.body);
    let ready = future.subscribe();
    ready.block();
    drop(ready);
    match future.get() {
        Some(Ok(Ok(response))) => read(&response),
        Some(Ok(Err(error))) => Err(failed(&error)),
        _ => Err(transient(if written { "no answer" } else { "the request could not be written" })),
    }
}

fn outgoing(request: &Request) -> Option<(OutgoingRequest, OutgoingBody)> {
    let headers = Fields::from_list(&[
        ("content-type".to_owned(), request.content_type.as_bytes().to_vec()),
        ("accept".to_owned(), b"application/json".to_vec()),
        ("content-length".to_owned(), request.body.len().to_string().into_bytes()),
    ])
    .ok()?;
    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&Method::Post).ok()?;
    let scheme = if request.is_https { Scheme::Https } else { Scheme::Http };
    outgoing.set_scheme(Some(&scheme)).ok()?;
    outgoing.set_authority(Some(&request.authority)).ok()?;
    outgoing.set_path_with_query(Some(&request.path)).ok()?;
    let body = outgoing.body().ok()?;
    Some((outgoing, body))
}

/// A host that does not know one of them keeps its own bounds.
fn options() -> RequestOptions {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(CONNECT));
    let _ = options.set_first_byte_timeout(Some(ANSWER));
    let _ = options.set_between_bytes_timeout(Some(ANSWER));
    options
}

fn write(body: OutgoingBody, bytes: &[u8]) -> bool {
    let written = body
        .write()
        .is_ok_and(|stream| bytes.chunks(CHUNK).all(|chunk| stream.blocking_write_and_flush(chunk).is_ok()));
    written && OutgoingBody::finish(body, None).is_ok()
}

fn read(response: &IncomingResponse) -> Result<Answer, SendError> {
    let retry_after = response.headers().get("retry-after").into_iter().next();
    let retry_after = retry_after.and_then(|value| String::from_utf8(value).ok());
    let incoming = response.consume().map_err(|()| transient("the answer has no body"))?;
    let stream = incoming.stream().map_err(|()| transient("the answer has no body"))?;
    Ok(Answer { status: response.status(), retry_after, body: read_body(&stream)? })
}

/// A beginning is enough to know what became of the message, so an answer that is cut off still counts.
fn read_body(stream: &InputStream) -> Result<Vec<u8>, SendError> {
    let mut body = Vec::new();
    while body.len() < MAX_BODY {
        match stream.blocking_read(CHUNK as u64) {
            Ok(bytes) => body.extend_from_slice(&bytes),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) if !body.is_empty() => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(transient(&error.to_debug_string())),
        }
    }
    Ok(body)
}

fn failed(error: &ErrorCode) -> SendError {
    let detail = error.to_string();
    match error {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => SendError::Denied(detail),
        _ => SendError::Transient(detail),
    }
}

fn transient(detail: &str) -> SendError {
    SendError::Transient(detail.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parsed = |url: &str| Address::parse(url).map(|a| (a.is_https, a.authority, a.prefix));
        assert_eq!(parsed("https://api.solapi.com"), Some((true, "api.solapi.com".into(), String::new())));
        assert_eq!(
            parsed("http://127.0.0.1:8080/solapi/"),
            Some((false, "127.0.0.1:8080".into(), "/solapi".into()))
        );
        for wrong in ["", "api.solapi.com", "ftp://a", "https://", "https:///a", "https://a/?x", "http://u@a"]
        {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_the_host_denies_is_denied() {
        assert!(matches!(failed(&ErrorCode::HttpRequestDenied), SendError::Denied(_)));
        assert!(matches!(failed(&ErrorCode::DestinationIpProhibited), SendError::Denied(_)));
        for error in [ErrorCode::ConnectionRefused, ErrorCode::HttpResponseTimeout, ErrorCode::DnsTimeout] {
            assert!(matches!(failed(&error), SendError::Transient(_)), "{error:?}");
        }
    }
}
