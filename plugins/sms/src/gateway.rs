//! The configured gateway.

use std::time::SystemTime;

use messages::SmsSendMessage;

use crate::answer::{Answer, Verdict};
use crate::http::{Address, Request};
use crate::{solapi, twilio};

/// A configured gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// <https://solapi.com>, in the Republic of Korea.
    Solapi(Address),
    /// <https://twilio.com>, with the account's SID.
    Twilio(Address, String),
}

impl Gateway {
    /// The gateway from the plugin's configuration; None if there is none.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn from_config(config: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let Some(name) = config("gateway") else { return Ok(None) };
        let address = |default: &str| {
            let url = config("url").unwrap_or_else(|| default.to_owned());
            Address::parse(&url)
                .ok_or_else(|| format!("config.url {url:?} is not http(s)://host[:port][/path]"))
        };
        match name.as_str() {
            "solapi" => Ok(Some(Self::Solapi(address("https://api.solapi.com")?))),
            "twilio" => {
                let account = config("account").filter(|sid| is_sid(sid));
                let account = account.ok_or("config.account must be Twilio's account SID (AC…)")?;
                Ok(Some(Self::Twilio(address("https://api.twilio.com")?, account)))
            }
            _ => Err(format!("config.gateway {name:?} is neither `solapi` nor `twilio`")),
        }
    }

    /// The request for a message.
    ///
    /// # Errors
    /// The gateway does not support the message.
    pub fn request(&self, sms: &SmsSendMessage) -> Result<Request, Verdict> {
        match self {
            Self::Solapi(address) => solapi::request(address, sms),
            Self::Twilio(address, account) => twilio::request(address, account, sms),
        }
    }

    /// The outcome for a response.
    pub fn judge(&self, answer: &Answer, now: SystemTime) -> Verdict {
        match self {
            Self::Solapi(_) => solapi::judge(answer, now),
            Self::Twilio(..) => twilio::judge(answer, now),
        }
    }
}

/// An SID becomes part of a path, so that its characters are restricted.
fn is_sid(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(entries: &[(&str, &str)]) -> Result<Option<Gateway>, String> {
        Gateway::from_config(|key| {
            entries.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_gateway_is_configurable() {
        assert_eq!(from(&[]), Ok(None));
        assert_eq!(from(&[("url", "http://x")]), Ok(None));
        let address = |url: &str| Address::parse(url).expect("an address");
        assert_eq!(
            from(&[("gateway", "solapi")]),
            Ok(Some(Gateway::Solapi(address("https://api.solapi.com"))))
        );
        assert_eq!(
            from(&[("gateway", "twilio"), ("account", "AC1"), ("url", "http://127.0.0.1:1")]),
            Ok(Some(Gateway::Twilio(address("http://127.0.0.1:1"), "AC1".into())))
        );
        for (wrong, named) in [
            (&[("gateway", "smoke")][..], "config.gateway"),
            (&[("gateway", "twilio")][..], "config.account"),
            (&[("gateway", "twilio"), ("account", "../x")][..], "config.account"),
            (&[("gateway", "solapi"), ("url", "ftp://x")][..], "config.url"),
        ] {
            assert!(from(wrong).expect_err(named).contains(named));
        }
    }
}
