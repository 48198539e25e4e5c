//! HTTP POST requests through `wasi:http`.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

use crate::answer::Answer;

/// The timeout of a connection, in nanoseconds.
const CONNECT_TIMEOUT: u64 = 3_000_000_000;
/// The timeout of a response, in nanoseconds. The host adds both; together they are less than the time limit of a call.
const RESPONSE_TIMEOUT: u64 = 5_000_000_000;
/// The maximum size of a response that is read, in bytes.
const MAX_BODY: usize = 32 << 10;
/// The size of a read or write, in bytes.
const CHUNK: usize = 4 << 10;

/// The address of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    is_https: bool,
    authority: String,
    /// The prefix of paths, without a trailing `/`.
    prefix: String,
}

/// An HTTP POST request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whether it uses HTTPS.
    pub is_https: bool,
    /// The host and port.
    pub authority: String,
    /// The complete path.
    pub path: String,
    /// The content type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// The reason why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The host does not allow the request.
    Denied(String),
    /// Any other failure: no connection, or no response in time.
    Transient(String),
}

impl Address {
    /// Parses `http(s)://host[:port][/path]`.
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
    /// A request to a path of the gateway.
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

/// Sends a request and reads the response. The host adds credentials and the idempotency key.
///
/// # Errors
/// There is no response.
pub fn send(request: &Request) -> Result<Answer, SendError> {
    let (outgoing, body) = outgoing(request).ok_or_else(|| transient("the request is invalid"))?;
    let future = outgoing_handler::handle(outgoing, Some(options())).map_err(|error| failed(&error))?;
    // A gateway may refuse a request before it has read the body, so that the response matters even if
    // writing failed.
    let written = write(body, &request.body);
    let ready = future.subscribe();
    ready.block();
    drop(ready);
    match future.get() {
        Some(Ok(Ok(response))) => read(&response),
        Some(Ok(Err(error))) => Err(failed(&error)),
        _ => Err(transient(if written { "no response" } else { "the request could not be written" })),
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

/// A host that does not support a timeout uses its own.
fn options() -> RequestOptions {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let _ = options.set_first_byte_timeout(Some(RESPONSE_TIMEOUT));
    let _ = options.set_between_bytes_timeout(Some(RESPONSE_TIMEOUT));
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
    let incoming = response.consume().map_err(|()| transient("the response has no body"))?;
    let stream = incoming.stream().map_err(|()| transient("the response has no body"))?;
    Ok(Answer { status: response.status(), retry_after, body: read_body(&stream)? })
}

/// The beginning of a response is sufficient to know the outcome, so that a truncated body is accepted.
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
    fn addresses_are_parsed() {
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
    fn only_refusals_of_the_host_are_denied() {
        assert!(matches!(failed(&ErrorCode::HttpRequestDenied), SendError::Denied(_)));
        assert!(matches!(failed(&ErrorCode::DestinationIpProhibited), SendError::Denied(_)));
        for error in [ErrorCode::ConnectionRefused, ErrorCode::HttpResponseTimeout, ErrorCode::DnsTimeout] {
            assert!(matches!(failed(&error), SendError::Transient(_)), "{error:?}");
        }
    }
}
