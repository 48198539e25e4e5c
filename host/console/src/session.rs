//! Sessions of the console.
//!
//! A session is a signed cookie with its expiry, a CSRF token and the user's name; the server keeps no state. With a
//! token, a session starts with a login, and hosts with the same token accept each other's sessions. Without one,
//! every browser on this machine gets a session, which binds its forms.

use axum::http::HeaderMap;
use axum_extra::extract::cookie::{Cookie, Key, SameSite, SignedCookieJar};
use base::clock;
use desk_api::MAX_USER_CHARS;
use subtle::ConstantTimeEq as _;
use time::Duration;

use server::guard::AccessPolicy;

const COOKIE: &str = "host-session";
/// How long a session lasts.
const LIFETIME: Duration = Duration::hours(12);
/// The user's name if none is given.
pub const DEFAULT_USER: &str = "console";

/// Creates and verifies sessions.
#[derive(Clone)]
pub struct Sessions {
    key: Key,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The user's name. It is not authenticated.
    pub user: String,
    /// The token that each form carries.
    pub csrf: String,
    expires_s: i64,
}

impl Sessions {
    /// Sessions of the host with this policy.
    pub fn new(policy: &AccessPolicy) -> Self {
        Self { key: Key::derive_from(&policy.key("the console's sessions")) }
    }

    /// A new session.
    pub fn create(&self, user: &str) -> Session {
        let user: String = user.trim().chars().filter(|c| !c.is_control()).take(MAX_USER_CHARS).collect();
        let user = if user.is_empty() { DEFAULT_USER.to_owned() } else { user };
        let csrf = uuid::Uuid::new_v4().simple().to_string();
        Session { user, csrf, expires_s: clock::now_ms() / 1000 + LIFETIME.whole_seconds() }
    }

    /// The session of a request, if its cookie is valid and has not expired.
    pub fn find(&self, headers: &HeaderMap) -> Option<Session> {
        let cookie = SignedCookieJar::from_headers(headers, self.key.clone()).get(COOKIE)?;
        Session::parse(cookie.value()).filter(|session| session.expires_s > clock::now_ms() / 1000)
    }

    /// The `Set-Cookie` header of a session.
    pub fn set_cookie(&self, session: &Session, is_https: bool) -> SignedCookieJar {
        let mut cookie = cookie(session.to_string());
        cookie.set_secure(is_https);
        cookie.set_max_age(LIFETIME);
        SignedCookieJar::new(self.key.clone()).add(cookie)
    }

    /// The `Set-Cookie` header that ends the browser's session.
    pub fn remove_cookie(&self) -> SignedCookieJar {
        let mut cookie = cookie(String::new());
        cookie.set_max_age(Duration::ZERO);
        SignedCookieJar::new(self.key.clone()).add(cookie)
    }
}

fn cookie(value: String) -> Cookie<'static> {
    Cookie::build((COOKIE, value)).path("/").http_only(true).same_site(SameSite::Strict).build()
}

impl Session {
    fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split('.');
        let expires_s = parts.next()?.parse().ok()?;
        let csrf = parts.next()?.to_owned();
        let user = String::from_utf8(hex::decode(parts.next()?).ok()?).ok()?;
        Some(Self { user, csrf, expires_s })
    }

    /// Compares with the session's CSRF token, in constant time.
    pub fn is_csrf(&self, candidate: &str) -> bool {
        self.csrf.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl std::fmt::Display for Session {
    /// The cookie's value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.expires_s, self.csrf, hex::encode(self.user.as_bytes()))
    }
}

/// Whether a reverse proxy reports that the browser uses HTTPS.
pub fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};
    use axum::response::IntoResponse as _;

    use super::*;

    fn set_cookie(sessions: &Sessions, session: &Session, is_https: bool) -> String {
        let response = sessions.set_cookie(session, is_https).into_response();
        response.headers()[header::SET_COOKIE].to_str().expect("text").to_owned()
    }

    /// The headers of a request after this `Set-Cookie`.
    fn request(set_cookie: &str) -> HeaderMap {
        let pair = set_cookie.split(';').next().expect("a pair");
        let cookies = format!("other=1; {pair}; lang=ko");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(cookies).expect("a cookie"))])
    }

    #[test]
    fn only_cookies_signed_with_the_same_token_are_accepted() {
        let sessions = Sessions::new(&AccessPolicy::new(Some("0123456789abcdef")));
        let session = sessions.create(" 김철수\n ");
        assert_eq!(session.user, "김철수");
        let cookie = set_cookie(&sessions, &session, false);
        assert_eq!(sessions.find(&request(&cookie)), Some(session.clone()));
        let same_token = Sessions::new(&AccessPolicy::new(Some("0123456789abcdef")));
        assert_eq!(same_token.find(&request(&cookie)), Some(session.clone()));
        for other in [AccessPolicy::new(Some("0123456789abcdeg")), AccessPolicy::new(None)] {
            assert_eq!(Sessions::new(&other).find(&request(&cookie)), None);
        }
        let forged = cookie.replace(&session.csrf, &"0".repeat(32));
        assert_ne!(forged, cookie);
        let unsigned = format!("{COOKIE}={session}");
        for wrong in [&forged[..], &unsigned, &format!("{COOKIE}="), &format!("{COOKIE}=a.b.c.d")] {
            assert_eq!(sessions.find(&request(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn sessions_expire() {
        let sessions = Sessions::new(&AccessPolicy::new(None));
        let session = Session { expires_s: clock::now_ms() / 1000 - 1, ..sessions.create("kim") };
        assert_eq!(sessions.find(&request(&set_cookie(&sessions, &session, false))), None);
    }

    #[test]
    fn forms_are_bound_to_their_session() {
        let sessions = Sessions::new(&AccessPolicy::new(None));
        let (one, other) = (sessions.create("a"), sessions.create("a"));
        assert!(one.is_csrf(&one.csrf) && !one.is_csrf(&other.csrf) && !one.is_csrf(""));
        let cookie = set_cookie(&sessions, &one, true);
        assert!(cookie.contains("; HttpOnly; SameSite=Strict; Secure; Path=/"), "{cookie}");
        assert!(!set_cookie(&sessions, &one, false).contains("Secure"));
    }
}
