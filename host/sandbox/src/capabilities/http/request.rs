//! One request: checked, identified, and sent or captured.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use effects::{Content, Digest, Key};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER};
use http::{Method, Uri};
use http_body_util::BodyExt;
use tracing::Level;
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::client::{Answer, Bounds, Request};
use super::hooks::Session;
use super::sending::Sending;
use super::target::is_usable;
use super::{CapturedRequest, MAX_REQUEST, MAX_RESPONSE, NAME, Responses};
use crate::call::Outside;
use crate::call_end::CallEnd;
use crate::limits::Exceeded;
use crate::output::Output;

/// The header by which a server recognises a repeated request.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The reason why the guest gets no response.
pub(super) enum Failed {
    /// The guest gets this error.
    Answered(Error),
    /// The call ends.
    Ended(CallEnd),
}

/// The error of a request that is not granted. Not every guest can tell it from others, so it is logged too.
pub(super) fn denied(output: &Output, uri: &Uri) -> Error {
    let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    output
        .line(Level::WARN, &format!("request denied: {scheme}://{host}{port} is not in the plugin's allow"));
    Error::HttpRequestDenied
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
        // A guest that gets its answer before it has written the body may end itself, as StarlingMonkey does.
        let body = self.collect(body).await?;
        let is_granted = |url: &Url| self.grant.targets.iter().any(|target| target.covers(url));
        let Some(url) = requested(&parts.uri).filter(is_granted) else {
            return Err(Failed::Answered(denied(&self.context.output, &parts.uri)));
        };
        let name = parts.method.as_str();
        if name.eq_ignore_ascii_case("CONNECT") || name.eq_ignore_ascii_case("TRACE") {
            return Err(Failed::Answered(Error::HttpRequestMethodInvalid));
        }
        let mut headers = parts.headers;
        // The client writes the first two; the others concern one connection.
        for name in [HOST, CONTENT_LENGTH, TE, TRAILER, EXPECT, PROXY_AUTHORIZATION] {
            headers.remove(name);
        }
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
        match &self.context.outside {
            Some(Outside::Captured(answers)) => {
                self.capture(request);
                Ok(answers.get::<Responses>().cloned().unwrap_or_default().next())
            }
            Some(Outside::Sent(services)) => {
                self.grant.credentials.iter().for_each(|credentials| credentials.add_to(&mut request));
                let server = self.grant.server(&request.url);
                let server = server.ok_or(Failed::Answered(Error::HttpRequestDenied))?;
                Sending { session: self, effects: &services.effects, server, bounds }.run(key, request).await
            }
            None => Err(Failed::Answered(Error::HttpRequestDenied)),
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

/// The URL of a request, for the check and for sending; None if it is ambiguous.
pub fn requested(uri: &Uri) -> Option<Url> {
    let authority = uri.authority()?.as_str();
    if authority.contains(['@', '%']) {
        return None;
    }
    Url::parse(&uri.to_string()).ok().filter(is_usable)
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
