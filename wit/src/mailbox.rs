//! E-mail addresses, with display names and in lists (RFC 5322, section 3.4).

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use email_address::EmailAddress;

use crate::text::{is_invisible, one_line, quoted, trimmed};

/// The maximum number of recipients of an e-mail: what every mail server accepts (RFC 5321, section 4.5.3.1.8).
pub const MAX_RECIPIENTS: usize = 100;
/// The maximum length of the part before the `@`, in bytes (RFC 5321, section 4.5.3.1.1).
const MAX_USER: usize = 64;
/// The maximum length of a domain in DNS, in bytes.
const MAX_DOMAIN: usize = 253;
/// The maximum length of a part of a domain, in bytes.
const MAX_LABEL: usize = 63;

/// `user@domain`. The domain has the form of [`ascii_domain`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    address: String,
    at: usize,
}

impl Address {
    /// Parses `user@domain` or `"quoted user"@domain`. Blanks around it are ignored.
    ///
    /// # Errors
    /// It is not an address that SMTP can transmit.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |reason: &str| format!("{} is not an e-mail address: {reason}", quoted(text));
        let (user, domain) =
            trimmed(text).rsplit_once('@').ok_or_else(|| wrong("expected `user@example.com`"))?;
        // Some servers end an address at the first `>`, also within quotes.
        let is_odd = |c: char| c.is_control() || is_invisible(c) || matches!(c, '<' | '>');
        if let Some(c) = user.chars().find(|&c| is_odd(c) || (c.is_whitespace() && c != ' ')) {
            return Err(wrong(&format!("U+{:04X} before the `@`", u32::from(c))));
        }
        if !EmailAddress::is_valid_local_part(user) {
            return Err(wrong("what is before the `@` is not a name"));
        }
        let domain = ascii_domain(domain).map_err(|reason| wrong(&reason))?;
        Ok(Self { address: format!("{user}@{domain}"), at: user.len() })
    }

    /// An address of letters, digits and few other characters, as nearly all are: the rules need one look at each byte.
    fn plain(text: &str) -> Option<Self> {
        let (user, domain) = text.split_once('@')?;
        let is_atom = |atom: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+');
            !atom.is_empty() && atom.bytes().all(is_plain)
        };
        let is_plain = user.len() <= MAX_USER
            && user.split('.').all(is_atom)
            && domain.len() <= MAX_DOMAIN
            && domain
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'0'..=b'9' | b'-' | b'.'))
            && !domain.contains("--")
            && domain.split('.').all(is_label);
        is_plain.then(|| Self { address: text.to_owned(), at: user.len() })
    }

    /// What is before the `@`.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.address[..self.at]
    }

    /// The domain in the form of [`ascii_domain`].
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.address[self.at + 1..]
    }

    /// `user@domain`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.address
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// An address with an optional display name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mailbox {
    /// The display name, without quotes; not empty.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

impl Mailbox {
    /// Parses one mailbox: `user@example.com`, `<user@example.com>` or `"Display name" <user@example.com>`. Comments
    /// in parentheses are ignored.
    ///
    /// # Errors
    /// It is not exactly one mailbox.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::parse_list(text)?;
        match (all.pop(), all.is_empty()) {
            (Some(mailbox), true) => Ok(mailbox),
            _ => Err(format!("{} has more than one address", quoted(text))),
        }
    }

    /// Parses mailboxes that are separated by commas.
    ///
    /// # Errors
    /// One is not a mailbox, there is none, or there are more than [`MAX_RECIPIENTS`].
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        if let Some(address) = Address::plain(text) {
            return Ok(vec![Self { name: None, address }]);
        }
        Self::parse_any_list(text)
    }

    fn parse_any_list(text: &str) -> Result<Vec<Self>, String> {
        let text = text.trim();
        one_line(text).map_err(|reason| format!("{} {reason}", quoted(text)))?;
        let entries = entries(text).ok_or_else(|| {
            format!(
                "{} is not a list of e-mail addresses: a quote or a parenthesis is not closed",
                quoted(text)
            )
        })?;
        let entries: Vec<_> =
            entries.iter().map(|entry| trimmed(entry)).filter(|entry| !entry.is_empty()).collect();
        match entries.len() {
            0 => Err(format!("{} is not an e-mail address: expected `user@example.com`", quoted(text))),
            1..=MAX_RECIPIENTS => entries.into_iter().map(Self::entry).collect(),
            count => Err(format!("{count} addresses; the maximum is {MAX_RECIPIENTS}")),
        }
    }

    /// An entry of a list, without comments.
    fn entry(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_suffix('>') else {
            return Ok(Self { name: None, address: Address::parse(text)? });
        };
        let mut quotes = Quotes::default();
        let start = rest.char_indices().find(|&(_, c)| !quotes.holds(c) && c == '<');
        let (start, _) = start.ok_or_else(|| format!("{} has a `>` without a `<`", quoted(text)))?;
        let name = phrase(&rest[..start]).ok_or_else(|| {
            format!("{} has a display name that needs quotes: `\"Name\" <user@example.com>`", quoted(text))
        })?;
        Ok(Self {
            name: Some(name).filter(|name| !name.is_empty()),
            address: Address::parse(&rest[start + 1..])?,
        })
    }
}

/// The domain of an address in lower case and in ASCII, or an IP address in brackets: `bücher.de` is
/// `xn--bcher-kva.de` (RFC 5891). Without the feature `idna`, other characters than ASCII stay as they are.
///
/// # Errors
/// It is neither; the reason.
pub fn ascii_domain(domain: &str) -> Result<String, String> {
    if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let v6 = literal.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map(|_| &literal[5..]);
        return match (literal.parse::<Ipv4Addr>(), v6.and_then(|v6| v6.parse::<Ipv6Addr>().ok())) {
            (Ok(v4), _) => Ok(format!("[{v4}]")),
            (_, Some(v6)) => Ok(format!("[IPv6:{v6}]")),
            _ => Err(format!("{} is neither `[127.0.0.1]` nor `[IPv6:::1]`", quoted(domain))),
        };
    }
    let wrong = || format!("{} is not a domain", quoted(domain));
    let ascii = to_ascii(domain).ok_or_else(wrong)?;
    let is_domain = match ascii.is_ascii() {
        true => ascii.len() <= MAX_DOMAIN && ascii.split('.').all(is_label),
        false => {
            !ascii.contains(|c: char| c.is_control() || c.is_whitespace() || (c.is_ascii() && !is_part(c)))
        }
    };
    if is_domain { Ok(ascii) } else { Err(wrong()) }
}

#[cfg(feature = "idna")]
fn to_ascii(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::URL).ok()?;
    Some(ascii.into_owned())
}

#[cfg(not(feature = "idna"))]
#[allow(clippy::unnecessary_wraps, reason = "as with the feature")]
fn to_ascii(domain: &str) -> Option<String> {
    Some(domain.to_ascii_lowercase())
}

/// Whether an ASCII character may be in a domain.
fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_label(label: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = label.as_bytes();
    (1..=MAX_LABEL).contains(&bytes.len())
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|&byte| is_part(char::from(byte)))
}

/// Follows quoted strings and their escapes through a text.
#[derive(Default)]
struct Quotes {
    is_open: bool,
    is_escaped: bool,
}

impl Quotes {
    /// Whether the next character belongs to a quoted string, its quotes included.
    fn holds(&mut self, c: char) -> bool {
        let was_open = self.is_open;
        match c {
            _ if self.is_escaped => self.is_escaped = false,
            '\\' if self.is_open => self.is_escaped = true,
            '"' => self.is_open = !self.is_open,
            _ => {}
        }
        was_open || self.is_open
    }
}

/// The entries of a list, without comments. `None` if a quoted string or a comment does not end.
fn entries(text: &str) -> Option<Vec<String>> {
    let (mut entries, mut entry) = (Vec::new(), String::new());
    let (mut quotes, mut depth, mut is_escaped) = (Quotes::default(), 0_usize, false);
    for c in text.chars() {
        if depth > 0 {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
        } else if quotes.holds(c) {
            entry.push(c);
        } else if c == '(' {
            depth = 1;
            entry.push(' ');
        } else if c == ',' {
            entries.push(std::mem::take(&mut entry));
        } else {
            entry.push(c);
        }
    }
    entries.push(entry);
    (depth == 0 && !quotes.is_open).then_some(entries)
}

/// The value of a display name: atoms and quoted strings, joined by spaces. `None` if a character needs quotes.
fn phrase(text: &str) -> Option<String> {
    let mut name = String::new();
    let (mut quotes, mut is_escape) = (Quotes::default(), false);
    for c in text.chars() {
        let was_open = quotes.is_open;
        if quotes.holds(c) {
            // The quotes themselves and the backslash of an escape are not part of the name.
            let is_syntax = !is_escape && (matches!(c, '\\' if was_open) || c == '"');
            is_escape = is_syntax && c == '\\';
            if !is_syntax {
                name.push(c);
            }
        } else if c.is_whitespace() {
            if !name.ends_with(' ') {
                name.push(' ');
            }
        } else if matches!(c, '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '@' | '\\' | ',') {
            return None;
        } else {
            name.push(c);
        }
    }
    Some(trimmed(&name).to_owned())
}
