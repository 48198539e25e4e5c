//! Attempts HTTP requests to servers without a grant, and requests that a granted server delays.

use std::hint::black_box;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::contract::exports::kafka_host::plugin::handler::Outcome;
use crate::contract::kafka_host::plugin::effects;
use crate::contract::kafka_host::plugin::messages::{Failure, RetryLater};
use crate::{done, reject};

/// Ends a line of the request if the host does not check it.
const SMUGGLED: &str = "x\r\nX-Smuggled: yes\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// More requests than an instance may have handles.
const MANY: usize = 1100;

/// `at` is a URL.
pub fn attempt(action: &str, at: &str) -> Outcome {
    let smuggled = || SMUGGLED.as_bytes().to_vec();
    let result = match action {
        "get" => get(at, &[]).map(|response| response.status()),
        "read" => get(at, &[]).and_then(|response| read(&response)),
        "follow" => get(at, &[]).and_then(follow),
        "header-value" => get(at, &[("x-mine".into(), smuggled())]).map(|response| response.status()),
        "header-name" => get(at, &[(SMUGGLED.into(), b"x".to_vec())]).map(|response| response.status()),
        "host-header" => get(at, &[("host".into(), b"victim".to_vec())]).map(|response| response.status()),
        "proxy-header" => {
            get(at, &[("proxy-authorization".into(), b"x".to_vec())]).map(|response| response.status())
        }
        "path" => get(&format!("{at}{SMUGGLED}"), &[]).map(|response| response.status()),
        "headers" => {
            let many: Vec<_> = (0..20_000).map(|number| (format!("x-{number}"), vec![b'x'; 64])).collect();
            get(at, &many).map(|response| response.status())
        }
        "options" => {
            let send = || request(&Method::Get, at, &[], Some(RequestOptions::new()));
            for _ in 0..MANY {
                let _ = black_box(send());
            }
            send().map(|response| response.status())
        }
        "flood" => loop {
            let _ = black_box(get(at, &[]));
        },
        action => panic!("unknown HTTP action {action}"),
    };
    match result {
        Ok(status) => reject("reached", &status.to_string()),
        Err((code, detail)) => reject(code, &detail),
    }
}

type Failed = (&'static str, String);

/// Posts to `at`, the same on every attempt. The first attempt then requests a retry, after it has kept the request or
/// has not.
pub fn post(keeps: bool, at: &str, attempt: u32) -> Outcome {
    if let Err((code, detail)) = request(&Method::Post, at, &[], None) {
        return reject(code, &detail);
    }
    if keeps {
        effects::keep();
    }
    match attempt {
        1 => {
            let failure = Failure { code: "again".into(), detail: String::new() };
            Outcome::Retry(RetryLater { failure, after_ms: None })
        }
        _ => done(),
    }
}

fn get(url: &str, headers: &[(String, Vec<u8>)]) -> Result<IncomingResponse, Failed> {
    request(&Method::Get, url, headers, None)
}

fn request(
    method: &Method,
    url: &str,
    headers: &[(String, Vec<u8>)],
    options: Option<RequestOptions>,
) -> Result<IncomingResponse, Failed> {
    let refused = |what: &str| ("refused", what.to_owned());
    let rest = url.strip_prefix("http://").ok_or_else(|| refused("not http"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let fields = Fields::from_list(headers).map_err(|error| refused(&error.to_string()))?;
    let request = OutgoingRequest::new(fields);
    request.set_method(method).map_err(|()| refused("method"))?;
    request.set_scheme(Some(&Scheme::Http)).map_err(|()| refused("scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| refused("authority"))?;
    request.set_path_with_query(Some(path)).map_err(|()| refused("path"))?;
    let body = request.body().map_err(|()| refused("body"))?;
    let future = outgoing_handler::handle(request, options).map_err(failed)?;
    let _ = OutgoingBody::finish(body, None);
    future.subscribe().block();
    match future.get() {
        Some(Ok(result)) => result.map_err(failed),
        _ => Err(("failed", "no answer".to_owned())),
    }
}

/// Reads the whole body and discards it.
fn read(response: &IncomingResponse) -> Result<u16, Failed> {
    let body = response.consume().map_err(|()| ("failed", "no body".to_owned()))?;
    let stream = body.stream().map_err(|()| ("failed", "no body".to_owned()))?;
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(bytes) => drop(black_box(bytes)),
            Err(StreamError::Closed) => return Ok(response.status()),
            Err(StreamError::LastOperationFailed(error)) => return Err(("failed", error.to_debug_string())),
        }
    }
}

fn follow(response: IncomingResponse) -> Result<u16, Failed> {
    let location = response.headers().get("location").pop().unwrap_or_default();
    let location = String::from_utf8(location).map_err(|error| ("failed", error.to_string()))?;
    get(&location, &[]).map(|response| response.status())
}

fn failed(error: ErrorCode) -> Failed {
    let code = match error {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => "denied",
        _ => "failed",
    };
    (code, error.to_string())
}
