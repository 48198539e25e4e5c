//! Who sits in front of the console.
//!
//! A session is a cookie that holds when it ends, a random number and a name, and a MAC over them: nothing
//! of it is kept here. With a token it is given to whoever shows the token, and hosts that share the token
//! share their sessions; without one, to every browser on this machine, so that forms are bound to it.

use axum::http::{HeaderMap, HeaderValue, header};
use base::clock;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::guard::Access;

/// The cookie's name.
const COOKIE: &str = "host-session";
/// How long a session lasts, in seconds.
const LASTS: i64 = 12 * 3600;
/// The longest name, in characters.
const LONGEST_NAME: usize = 64;
/// Who it is where nobody says.
pub const NOBODY: &str = "console";

/// Makes sessions and knows them again.
#[derive(Clone)]
pub struct Sessions {
    key: [u8; 32],
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who, in words of their own.
    pub who: String,
    /// What each of its forms carries.
    pub csrf: String,
    /// The cookie's value.
    value: String,
}

impl Sessions {
    /// For those whom `access` lets in.
    pub fn new(access: &Access) -> Self {
        Self { key: access.key("the console's sessions") }
    }

    /// A new one.
    pub fn begin(&self, who: &str) -> Session {
        let name: String = who.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        let name = if name.is_empty() { NOBODY.to_owned() } else { name };
        let ends = clock::now_ms() / 1000 + LASTS;
        let number = uuid::Uuid::new_v4().simple();
        let said = format!("{ends:x}.{number}.{}", hex::encode(name.as_bytes()));
        let value = format!("{said}.{}", self.mac("session", &said));
        self.session(value, name)
    }

    /// The one whose cookie this request carries, unless it has ended.
    pub fn find(&self, headers: &HeaderMap) -> Option<Session> {
        cookies(headers, COOKIE).find_map(|value| self.read(value))
    }

    fn read(&self, value: &str) -> Option<Session> {
        let (said, mac) = value.rsplit_once('.')?;
        if !bool::from(self.mac("session", said).as_bytes().ct_eq(mac.as_bytes())) {
            return None;
        }
        let mut parts = said.split('.');
        let ends = i64::from_str_radix(parts.next()?, 16).ok()?;
        let name = String::from_utf8(hex::decode(parts.nth(1)?).ok()?).ok()?;
        (ends > clock::now_ms() / 1000).then(|| self.session(value.to_owned(), name))
    }

    fn session(&self, value: String, who: String) -> Session {
        Session { who, csrf: self.mac("csrf", &value), value }
    }

    fn mac(&self, purpose: &str, text: &str) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        hex::encode(&mac.finalize().into_bytes())
    }
}

impl Session {
    /// Whether a form is one of this session's.
    pub fn sent(&self, csrf: &str) -> bool {
        self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into()
    }

    /// What gives the browser this session.
    pub fn cookie(&self, is_https: bool) -> HeaderValue {
        cookie(&self.value, LASTS, is_https)
    }
}

/// What takes the session away from the browser.
pub fn no_cookie() -> HeaderValue {
    cookie("", 0, false)
}

fn cookie(value: &str, seconds: i64, is_https: bool) -> HeaderValue {
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// The values of the cookies of this name.
pub fn cookies<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(known, _)| *known == name).map(|(_, value)| value)
}

/// Whether a proxy in front says that the browser came by HTTPS.
pub fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> HeaderMap {
        let cookie = format!("other=1; {COOKIE}={value}; lang=ko");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(cookie).expect("a cookie"))])
    }

    #[test]
    fn a_session_is_known_again_and_nobody_elses_is() {
        let sessions = Sessions::new(&Access::new(Some("0123456789abcdef")));
        let session = sessions.begin(" 김철수\n ");
        assert_eq!(session.who, "김철수");
        assert_eq!(sessions.find(&with(&session.value)), Some(session.clone()));
        let same_token = Sessions::new(&Access::new(Some("0123456789abcdef")));
        assert_eq!(same_token.find(&with(&session.value)), Some(session.clone()));
        for other in [Access::new(Some("0123456789abcdeg")), Access::new(None)] {
            assert_eq!(Sessions::new(&other).find(&with(&session.value)), None);
        }
        let end = session.value.len() - 1;
        let last = if session.value.ends_with('0') { "1" } else { "0" };
        for wrong in ["", ".", "a.b.c.d", &session.value[1..], &format!("{}{last}", &session.value[..end])] {
            assert_eq!(sessions.find(&with(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_session_ends() {
        let sessions = Sessions::new(&Access::new(None));
        let said = format!("{:x}.00.{}", clock::now_ms() / 1000 - 1, hex::encode(b"kim"));
        let value = format!("{said}.{}", sessions.mac("session", &said));
        assert_eq!(sessions.find(&with(&value)), None);
    }

    #[test]
    fn forms_are_bound_to_their_session() {
        let sessions = Sessions::new(&Access::new(None));
        let (one, other) = (sessions.begin("a"), sessions.begin("a"));
        assert!(one.sent(&one.csrf) && !one.sent(&other.csrf) && !one.sent(""));
        let cookie = one.cookie(true).to_str().expect("text").to_owned();
        assert!(cookie.contains("HttpOnly; SameSite=Strict") && cookie.ends_with("; Secure"), "{cookie}");
        assert!(!one.cookie(false).to_str().expect("text").contains("Secure"));
    }
}
