//! Requests through `wasi:http`.

use std::time::Duration;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

use super::{HttpError, Request, Response, shown, split};

/// The size of a write, in bytes: the most that a stream takes at once.
const WRITE: usize = 4 << 10;
/// The size of a read, in bytes.
const READ: u64 = 32 << 10;

pub(crate) fn send(request: &Request) -> Result<Response, HttpError> {
    let (outgoing, body) = outgoing(request)?;
    let future =
        outgoing_handler::handle(outgoing, Some(options(request.timeout))).map_err(|error| failed(&error))?;
    // A server may refuse a request before it has read the body, so that the response matters even if writing failed.
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

fn outgoing(request: &Request) -> Result<(OutgoingRequest, OutgoingBody), HttpError> {
    let invalid = |what: &str| HttpError::Invalid(format!("{what} is invalid"));
    let url = |()| invalid(&format!("the URL {:?}", shown(&request.url)));
    let (is_https, authority, path) = split(&request.url).ok_or_else(|| url(()))?;
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
    let mut headers: Vec<_> = headers.collect();
    // A request without a body has no length, unless a body is usual.
    if !request.body.is_empty() || matches!(&*request.method, "POST" | "PUT" | "PATCH") {
        headers.push(("content-length".to_owned(), request.body.len().to_string().into_bytes()));
    }
    let headers = Fields::from_list(&headers).map_err(|_| invalid("a header"))?;
    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&method(&request.method)).map_err(|()| invalid("the method"))?;
    let scheme = if is_https { Scheme::Https } else { Scheme::Http };
    outgoing.set_scheme(Some(&scheme)).map_err(url)?;
    outgoing.set_authority(Some(authority)).map_err(url)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    outgoing.set_path_with_query(Some(&path)).map_err(url)?;
    let body = outgoing.body().map_err(|()| invalid("the body"))?;
    Ok((outgoing, body))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// A host that does not support a timeout uses its own. This one adds those of the connection and of the first byte.
fn options(timeout: Duration) -> RequestOptions {
    let nanoseconds = |time: Duration| time.as_nanos().try_into().ok();
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(nanoseconds(timeout / 2));
    let _ = options.set_first_byte_timeout(nanoseconds(timeout / 2));
    let _ = options.set_between_bytes_timeout(nanoseconds(timeout));
    options
}

fn write(body: OutgoingBody, bytes: &[u8]) -> bool {
    let written = body
        .write()
        .is_ok_and(|stream| bytes.chunks(WRITE).all(|chunk| stream.blocking_write_and_flush(chunk).is_ok()));
    written && OutgoingBody::finish(body, None).is_ok()
}

fn read(response: &IncomingResponse) -> Result<Response, HttpError> {
    let headers = response.headers().entries().into_iter();
    let headers =
        headers.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), String::from_utf8(value).ok()?)));
    let headers = headers.collect();
    let incoming = response.consume().map_err(|()| transient("the response has no body"))?;
    let stream = incoming.stream().map_err(|()| transient("the response has no body"))?;
    Ok(Response { status: response.status(), headers, body: read_body(&stream)? })
}

/// The host limits the size.
fn read_body(stream: &InputStream) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(bytes) => body.extend_from_slice(&bytes),
            Err(StreamError::Closed) => return Ok(body),
            Err(StreamError::LastOperationFailed(error)) => return Err(transient(&error.to_debug_string())),
        }
    }
}

fn failed(error: &ErrorCode) -> HttpError {
    let detail = error.to_string();
    match error {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => HttpError::Denied(detail),
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid => HttpError::Invalid(detail),
        _ => HttpError::Transient(detail),
    }
}

fn transient(detail: &str) -> HttpError {
    HttpError::Transient(detail.to_owned())
}
