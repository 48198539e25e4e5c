//! URLs that may be granted: scheme, host, port and the beginning of the path.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// A granted URL, with everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Reads `https://host[:port][/path]`.
    ///
    /// # Errors
    /// It is not a URL that can be allowed. The error never repeats a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL must not contain a user or a password; use [plugin.http]".to_owned());
        }
        let invalid = |reason: &str| Err(format!("{text:?} cannot be allowed: {reason}"));
        if !is_usable(&url) {
            return invalid(
                "it needs http or https, a host without a dot at its end, and a port other than 0",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return invalid("it has a query or a fragment");
        }
        if text.contains('*') {
            return invalid("wildcards are not supported; name each host");
        }
        if text.contains('\\') || !is_plain(url.path()) {
            return invalid("its path is ambiguous");
        }
        Ok(Self(url))
    }

    /// Whether a request to this URL is allowed.
    pub fn covers(&self, url: &Url) -> bool {
        self.is_origin_of(url) && is_below(self.0.path(), url.path())
    }

    /// Whether both cover a common URL.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(&other.0) || other.covers(&self.0)
    }

    /// The URL itself.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port, as text.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The length of its path.
    pub fn path_len(&self) -> usize {
        self.0.path().len()
    }

    /// Whether scheme, host and port are those of the URL.
    pub fn is_origin_of(&self, url: &Url) -> bool {
        self.0.scheme() == url.scheme()
            && self.0.host() == url.host()
            && self.0.port_or_known_default() == url.port_or_known_default()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a URL has the scheme, host and port that a request needs.
pub fn is_usable(url: &Url) -> bool {
    let has_host = match url.host() {
        Some(Host::Domain(name)) => !name.is_empty() && !name.ends_with('.'),
        Some(_) => true,
        None => false,
    };
    matches!(url.scheme(), "http" | "https") && has_host && url.port() != Some(0)
}

/// `/a` and `/a/b` are below `/a`, `/ab` is not; `/a/b` is below `/a/`.
fn is_below(prefix: &str, path: &str) -> bool {
    if prefix == "/" {
        return true;
    }
    let rest = path.strip_prefix(prefix);
    is_plain(path)
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

/// Whether every server interprets the path in the same way: no part may become a separator or a parent directory.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let hidden = ["%2e", "%2f", "%5c", "%25", "%3b", "//", "\\"].iter().any(|part| lower.contains(part));
    let climbs = lower.split('/').any(|segment| segment.starts_with("..") || segment == ".");
    let escapes_well = lower.match_indices('%').all(|(at, _)| {
        lower.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = percent_decode_str(&lower).decode_utf8();
    !hidden && !climbs && escapes_well && decoded.is_ok_and(|text| !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_urls_cannot_be_allowed() {
        for text in [
            "ftp://h/",
            "https://",
            "https://u:hush@h/",
            "https://h./",
            "https://h/a?x",
            "https://h/#x",
            "https://*.h/",
            "https://h/a//b",
            "https://h/%2e%2e%2fb",
            "https://h:0/",
            "h/a",
            "https://h/a\\b",
        ] {
            let error = Target::parse(text).expect_err(text);
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
