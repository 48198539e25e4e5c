//! Access control: a token, if one is configured, and protection against cross-site requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base::error::UserError;
use problem::Problem;
use settings::{DeskSettings, RunArgs};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Who has access to the API and the console.
#[derive(Debug, Clone)]
pub struct AccessPolicy {
    /// Digest of the token. None if no token is required, which is possible on loopback addresses only.
    token: Option<Arc<[u8; 32]>>,
}

impl AccessPolicy {
    /// Requires this token; without one, grants access to every client on this machine.
    pub fn new(token: Option<&str>) -> Self {
        Self { token: token.map(|token| Arc::new(digest(token.as_bytes()))) }
    }

    /// Whether a token is required.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A key for this purpose: derived from the token, or random without one.
    pub fn key(&self, purpose: &str) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(purpose);
        match &self.token {
            Some(token) => hash.update(**token),
            None => [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].iter().for_each(|part| hash.update(part)),
        }
        hash.finalize().into()
    }

    /// Compares with the token, in constant time.
    pub fn is_token(&self, candidate: &[u8]) -> bool {
        self.token.as_ref().is_some_and(|token| token.ct_eq(&digest(candidate)).into())
    }

    /// Checks a request to the API.
    ///
    /// # Errors
    /// 421 for a host name that may be the target of DNS rebinding, 403 for a cross-site change, 401 without the
    /// token.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        self.check_origin(method, headers)?;
        if self.token.is_some() && !bearer(headers).is_some_and(|token| self.is_token(token)) {
            let detail = "the desk's token is required: Authorization: Bearer TOKEN";
            let challenge = HeaderValue::from_static("Bearer realm=\"host\"");
            return Err(
                Problem::new(StatusCode::UNAUTHORIZED, detail).header(header::WWW_AUTHENTICATE, challenge)
            );
        }
        Ok(())
    }

    /// Checks that a request does not originate from another site.
    ///
    /// # Errors
    /// 421 or 403, as in [`check`](Self::check).
    pub fn check_origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        if self.token.is_none() && !is_for_this_machine(headers) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "without a token only localhost and loopback addresses are served; set desk.token to use another host name",
            ));
        }
        if !method.is_safe() && !is_from_here(headers) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "cross-site requests cannot change anything"));
        }
        Ok(())
    }
}

/// Middleware of the API: checks access, and disables caching.
pub async fn guard(State(policy): State<AccessPolicy>, request: Request, next: Next) -> Response {
    let mut response = match policy.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// With DNS rebinding, a site's name resolves to this machine, but the browser still sends that name.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = host(headers) else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whether the request has the same origin. Browsers send one of these headers; other clients send none.
fn is_from_here(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| {
        origin.parse().is_ok_and(|origin: Authority| Some(origin) == host(headers))
    })
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

/// The access policy for this listen address; None without a desk.
///
/// # Errors
/// The token is invalid, or the address requires one.
pub fn access(args: &RunArgs, listen: SocketAddr) -> Result<Option<AccessPolicy>, UserError> {
    if !args.desk || args.store.is_none() {
        return Ok(None);
    }
    let token = match &args.found {
        Some(found) => found.file.desk.token(listen)?,
        None => DeskSettings::default().token(listen)?,
    };
    Ok(Some(AccessPolicy::new(token.as_deref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(policy: &AccessPolicy, method: Method, headers: &[(&'static str, &str)]) -> Option<StatusCode> {
        let headers = headers.iter().map(|(name, value)| {
            (name.parse().expect("a name"), HeaderValue::from_str(value).expect("a value"))
        });
        let answer = policy.check(&method, &headers.collect()).err();
        answer.map(|problem| problem.into_response().status())
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_are_served() {
        let open = AccessPolicy::new(None);
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081"] {
            assert_eq!(status(&open, Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "a b", ""]
        {
            let answer = status(&open, Method::GET, &[("host", host)]);
            assert_eq!(answer, Some(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        assert_eq!(status(&open, Method::GET, &[]), Some(StatusCode::MISDIRECTED_REQUEST));
    }

    #[test]
    fn only_the_token_grants_access() {
        let closed = AccessPolicy::new(Some("0123456789abcdef"));
        let sent =
            |value: &str| status(&closed, Method::GET, &[("host", "a.example"), ("authorization", value)]);
        assert_eq!(sent("Bearer 0123456789abcdef"), None);
        assert_eq!(sent("bearer  0123456789abcdef"), None);
        for wrong in
            ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeg", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            assert_eq!(sent(wrong), Some(StatusCode::UNAUTHORIZED), "{wrong}");
        }
        assert_eq!(status(&closed, Method::GET, &[]), Some(StatusCode::UNAUTHORIZED));
        assert!(!AccessPolicy::new(None).is_token(b""));
    }

    #[test]
    fn cross_site_requests_change_nothing() {
        let open = AccessPolicy::new(None);
        let post =
            |more: (&'static str, &str)| status(&open, Method::POST, &[("host", "localhost:8081"), more]);
        for good in
            [("accept", "*/*"), ("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8081")]
        {
            assert_eq!(post(good), None, "{good:?}");
        }
        for bad in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://localhost:3000"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
        ] {
            assert_eq!(post(bad), Some(StatusCode::FORBIDDEN), "{bad:?}");
        }
        let get = [("host", "localhost:8081"), ("sec-fetch-site", "cross-site")];
        assert_eq!(status(&open, Method::GET, &get), None, "browsers do not expose the answer");
    }
}
