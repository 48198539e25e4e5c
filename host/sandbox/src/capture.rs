//! What a plugin would do to the outside world and what it says, written down instead of done.

use std::str::FromStr;

use base::bytes::Bytes as Written;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing::Level;

use crate::capabilities::http::client::Answer;
use crate::capabilities::mail::mailer::{Address, Email};

/// How much of one call's effects is kept, in bytes; what is beyond it is only counted.
const KEPT: usize = 16 << 20;

/// One thing that a plugin would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Captured {
    /// An e-mail.
    Mail(CapturedMail),
    /// An HTTP request.
    Http(CapturedRequest),
}

/// An e-mail as the plugin asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedMail {
    /// The `Message-ID` that it would have.
    pub id: String,
    /// `user@domain`, or `name <user@domain>`; the recipients too.
    pub sender: String,
    /// `To`.
    pub to: Vec<String>,
    /// `Cc`.
    pub cc: Vec<String>,
    /// Recipients the others do not see.
    pub bcc: Vec<String>,
    /// The one address that it would go to instead, by the configuration.
    pub redirected_to: Option<String>,
    /// Where answers would go.
    pub reply_to: Option<String>,
    /// One line.
    pub subject: String,
    /// The plain text body.
    pub text: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Its files, without their content.
    pub attachments: Vec<CapturedFile>,
}

/// A file that would travel with an e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedFile {
    /// The name it is offered under.
    pub name: String,
    /// A media type.
    pub content_type: String,
    /// In bytes.
    pub size: usize,
}

/// A request as the plugin asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedRequest {
    /// In capitals.
    pub method: String,
    /// Where to.
    pub url: String,
    /// What the plugin set; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The names of the headers that the host would set in place of the plugin's own: credentials.
    pub host_headers: Vec<String>,
    /// None where the method is not an effect, and the plugin gave none.
    pub idempotency_key: Option<String>,
    /// All of it.
    #[serde(serialize_with = "as_json", deserialize_with = "from_json")]
    pub body: Bytes,
}

fn as_json<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    Written(body.to_vec()).serialize(serializer)
}

fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    Written::deserialize(deserializer).map(|body| body.0.into())
}

/// A line that a plugin logged or printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// How it is logged.
    #[serde(serialize_with = "name")]
    pub level: Level,
    /// Without control characters.
    pub text: String,
}

fn name<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&level.as_str().to_ascii_lowercase())
}

/// What one call would have done, and what it said.
#[derive(Debug, Default)]
pub struct Capture(Mutex<Seen>);

/// What was captured of a call.
#[derive(Debug, Default)]
pub struct Seen {
    /// In the order in which they were asked for.
    pub effects: Vec<Captured>,
    /// How many effects there were no room for.
    pub left_out: usize,
    /// In order.
    pub log: Vec<Line>,
    /// What the instance held at the end, in bytes.
    pub memory: usize,
    /// Bytes of effects.
    held: usize,
    mails: u32,
}

impl Capture {
    /// All of it so far; nothing is left.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut self.0.lock())
    }

    /// How many e-mails there were.
    pub(super) fn mails(&self) -> u32 {
        self.0.lock().mails
    }

    pub(super) fn mail(&self, id: String, email: &Email, redirected_to: Option<String>) {
        let all = |list: &[Address]| list.iter().map(shown).collect();
        let attachments = email.attachments.iter().map(|file| CapturedFile {
            name: file.filename.clone(),
            content_type: file.content_type.clone(),
            size: file.content.len(),
        });
        self.0.lock().mails += 1;
        self.keep(Captured::Mail(CapturedMail {
            id,
            sender: shown(&email.sender),
            to: all(&email.to),
            cc: all(&email.cc),
            bcc: all(&email.bcc),
            redirected_to,
            reply_to: email.reply_to.as_ref().map(shown),
            subject: email.subject.clone(),
            text: email.text.clone(),
            html: email.html.clone(),
            headers: email.headers.clone(),
            attachments: attachments.collect(),
        }));
    }

    pub(super) fn request(&self, request: CapturedRequest) {
        self.keep(Captured::Http(request));
    }

    pub(super) fn line(&self, level: Level, text: &str) {
        self.0.lock().log.push(Line { level, text: text.to_owned() });
    }

    pub(super) fn holds(&self, memory: usize) {
        self.0.lock().memory = memory;
    }

    fn keep(&self, effect: Captured) {
        let seen = &mut *self.0.lock();
        let held = seen.held.saturating_add(effect.size());
        if held > KEPT {
            seen.left_out += 1;
            return;
        }
        seen.held = held;
        seen.effects.push(effect);
    }
}

impl Captured {
    /// What it takes to keep it, in bytes, about.
    pub fn size(&self) -> usize {
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| name.len() + value.len() + 64).sum::<usize>()
        };
        let texts = |texts: &[String]| texts.iter().map(|text| text.len() + 32).sum::<usize>();
        match self {
            Self::Mail(mail) => {
                let bodies = mail.text.iter().chain(&mail.html).map(String::len).sum::<usize>();
                let files = mail.attachments.iter();
                let files = files.map(|file| file.name.len() + file.content_type.len() + 64).sum::<usize>();
                let lists = [&mail.to, &mail.cc, &mail.bcc].map(|list| texts(list)).iter().sum::<usize>();
                mail.subject.len() + bodies + files + lists + pairs(&mail.headers) + 512
            }
            Self::Http(request) => request.url.len() + request.body.len() + pairs(&request.headers) + 512,
        }
    }
}

fn shown(address: &Address) -> String {
    match &address.name {
        Some(name) => format!("{name} <{}>", address.email),
        None => address.email.clone(),
    }
}

/// What every captured request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canned {
    status: StatusCode,
    body: Bytes,
}

impl Default for Canned {
    fn default() -> Self {
        Self { status: StatusCode::OK, body: Bytes::from_static(b"{}") }
    }
}

impl FromStr for Canned {
    type Err = String;

    /// Reads `STATUS[:BODY]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (status, body) = text.split_once(':').map_or((text, None), |(status, body)| (status, Some(body)));
        let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        let status = status.parse().ok().filter(|status| digits && (200..=599).contains(status));
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or("expected STATUS[:BODY] with a status from 200 to 599, as in 429")?;
        let body = body.map_or(Self::default().body, |body| Bytes::copy_from_slice(body.as_bytes()));
        Ok(Self { status, body })
    }
}

impl Canned {
    /// As a server would give it; JSON is called so.
    pub(super) fn answer(&self) -> Answer {
        let mut headers = HeaderMap::new();
        if serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_ok() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Answer { status: self.status, headers, body: Some(self.body.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(size: usize) -> CapturedRequest {
        CapturedRequest {
            method: "POST".into(),
            url: "https://h/".into(),
            headers: vec![],
            host_headers: vec![],
            idempotency_key: None,
            body: vec![b'x'; size].into(),
        }
    }

    #[test]
    fn what_is_kept_of_a_call_has_a_bound() {
        let capture = Capture::default();
        for _ in 0..100 {
            capture.request(request(1 << 20));
        }
        let seen = capture.take();
        assert_eq!((seen.effects.len(), seen.left_out), (15, 85));
        assert_eq!(capture.take().effects, []);
    }

    #[test]
    fn an_answer_is_a_status_and_perhaps_a_body() {
        let canned = |text: &str| text.parse::<Canned>();
        assert_eq!(canned("200"), Ok(Canned::default()));
        let slow = canned("429:slow: down").expect("possible").answer();
        assert_eq!((slow.status, slow.body), (StatusCode::TOO_MANY_REQUESTS, Some("slow: down".into())));
        assert!(slow.headers.is_empty());
        assert_eq!(canned("200:").expect("possible").answer().body, Some(Bytes::new()));
        assert_eq!(Canned::default().answer().headers["content-type"], "application/json");
        for wrong in ["", "20", "2000", "+20", "99", "100", "600", ":x", "ok"] {
            assert!(canned(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bodies_are_text_or_hex() {
        let json = |body: &'static [u8]| {
            let request = CapturedRequest { body: Bytes::from_static(body), ..request(0) };
            serde_json::to_value(Captured::Http(request)).expect("JSON")
        };
        assert_eq!((&json(b"a")["body"], &json(b"a")["kind"]), (&"a".into(), &"http".into()));
        assert_eq!(json(b"\xff")["body"]["hex"], "ff");
    }
}
