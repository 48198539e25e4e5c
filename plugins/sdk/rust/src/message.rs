//! A message.

use serde::Deserialize;

use crate::{Header, Message, Result, invalid, reject};

impl Message {
    /// The value, which may borrow from the message.
    ///
    /// # Errors
    /// A rejection: `tombstone` if the message has no value, `invalid-message` if the value is not the JSON of a `T`. The
    /// detail names the field.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let value = self.value.as_deref().ok_or_else(|| reject("tombstone", "the message has no value"))?;
        serde_json::from_slice(value)
            .map_err(|error| reject("invalid-message", invalid::detail(value, &error)))
    }

    /// The key as text; `None` if it is null or not UTF-8.
    #[must_use]
    pub fn key_text(&self) -> Option<&str> {
        self.key.as_deref().and_then(|key| str::from_utf8(key).ok())
    }

    /// The value of the last header with this name; `None` if there is none, or it is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rfind(|header| header.key == name)?.value.as_deref()
    }

    /// [`header`](Self::header) as text; `None` also if it is not UTF-8.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// Whether the retry policy has no further delivery of this message.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.max_attempts
    }
}

impl Header {
    /// A header with this value.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: name.into(), value: Some(value.into()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::message;
    use crate::{Header, reject};

    #[test]
    fn a_message_without_a_value_is_rejected() {
        let mut message = message(&17);
        assert_eq!(message.json(), Ok(17));
        message.value = None;
        assert_eq!(message.json::<u8>(), Err(reject("tombstone", "the message has no value")));
        message.value = Some(b"{\"name\":\"Kim\"}".to_vec());
        // Values borrow from the message.
        let value: std::collections::BTreeMap<&str, &str> = message.json().expect("an object of texts");
        assert_eq!(value["name"], "Kim");
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let mut message = message(&0);
        message.headers = vec![Header::new("a", "1"), Header::new("a", "2"), Header::new("b", [0xff])];
        message.headers.push(Header { key: "c".into(), value: None });
        assert_eq!((message.header("a"), message.header_text("a")), (Some(&b"2"[..]), Some("2")));
        assert_eq!((message.header("b"), message.header_text("b")), (Some(&[0xff][..]), None));
        assert_eq!((message.header("c"), message.header("d")), (None, None));
        message.key = Some(b"k".to_vec());
        assert_eq!(message.key_text(), Some("k"));
        assert!(!message.is_last_attempt());
        message.attempt = message.max_attempts;
        assert!(message.is_last_attempt());
    }
}
