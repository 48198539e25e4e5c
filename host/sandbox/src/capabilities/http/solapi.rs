//! Signatures in Solapi's form.

use std::time::SystemTime;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Signs requests. Neither half is ever shown.
#[derive(Clone)]
pub struct Solapi {
    /// The API key.
    pub key: String,
    /// What signs.
    pub secret: String,
}

impl Solapi {
    /// The value of `authorization` for a request that is sent now.
    pub fn authorization(&self) -> String {
        let now = humantime_serde::re::humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        self.signed(&now, &format!("{:032x}", fastrand::u128(..)))
    }

    fn signed(&self, date: &str, salt: &str) -> String {
        let mut signature = String::with_capacity(64);
        // HMAC takes keys of any length.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()) {
            mac.update(date.as_bytes());
            mac.update(salt.as_bytes());
            signature.push_str(&hex::encode(mac.finalize().into_bytes()));
        }
        format!("HMAC-SHA256 apiKey={}, date={date}, salt={salt}, signature={signature}", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_and_salt_are_signed() {
        let solapi = Solapi { key: "k".into(), secret: "s".into() };
        let expected = "HMAC-SHA256 apiKey=k, date=2026-01-02T03:04:05.678Z, salt=00ff, \
                        signature=a1c473e7d7ab9bf9d616bcdb12561c6fbab91e0dd8fb4b06be8f11bbf0d62ebe";
        assert_eq!(solapi.signed("2026-01-02T03:04:05.678Z", "00ff"), expected);
        assert_ne!(solapi.authorization(), solapi.authorization());
    }
}
