//! Phone numbers as people write them, and senders of SMS.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::text::{is_invisible, quoted, trimmed};

/// The lengths of an international number, its country code included (E.164, section 6).
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 7..=15;
/// The lengths of a national number, service numbers included.
const NATIONAL: std::ops::RangeInclusive<usize> = 3..=15;
/// The maximum length of a name in place of the sender's number.
const MAX_NAME: usize = 11;
/// The country code of the Republic of Korea.
const KOREA: &str = "82";

/// A phone number: its digits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PhoneNumber {
    /// With its country code (E.164).
    International(String),
    /// As it is dialled within a country, which the reader knows.
    National(String),
}

impl PhoneNumber {
    /// Reads a number with any hyphens, blanks, dots, slashes and parentheses, invisible characters, full-width digits
    /// and a `tel:` before it. A number that begins with `+` is international; a `(0)` in it is not dialled from abroad.
    ///
    /// # Errors
    /// It is not a number, or has an extension.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |reason: &str| format!("{} is not a phone number: {reason}", quoted(text));
        let plain = plain(without_scheme(trimmed(text))).map_err(|reason| wrong(&reason))?;
        let Some(international) = plain.strip_prefix('+') else {
            let digits: String = plain.chars().filter(char::is_ascii_digit).collect();
            return match (digits.starts_with("00"), NATIONAL.contains(&digits.len())) {
                (true, _) => Err(wrong("write an international number with `+` in place of `00`")),
                (_, true) => Ok(Self::National(digits)),
                _ => Err(wrong("expected 3 to 15 digits")),
            };
        };
        let mut digits: String = international.replacen("(0)", "", 1);
        digits.retain(|c| c.is_ascii_digit());
        // As in `+82 010`. No number in Korea begins with 0.
        if let Some(national) = digits.strip_prefix(KOREA) {
            let national = national.strip_prefix('0').unwrap_or(national);
            if national.starts_with('0') {
                return Err(wrong("a number in Korea does not begin with 00"));
            }
            digits = format!("{KOREA}{national}");
        }
        if digits.starts_with('0') || !INTERNATIONAL.contains(&digits.len()) {
            return Err(wrong("expected `+`, a country code, and 7 to 15 digits in all"));
        }
        Ok(Self::International(digits))
    }

    /// The country code of an international number, and the digits after it.
    #[must_use]
    pub fn country(&self) -> Option<(&str, &str)> {
        let Self::International(digits) = self else { return None };
        // Codes with one and two digits (ITU-T E.164, list of assigned codes). All others have three.
        let length = match digits.as_bytes() {
            [b'1' | b'7', ..] => 1,
            [b'2', b'0' | b'7', ..]
            | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
            | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
            | [b'5', b'1'..=b'8', ..]
            | [b'6', b'0'..=b'6', ..]
            | [b'8', b'1' | b'2' | b'4' | b'6', ..]
            | [b'9', b'0'..=b'5' | b'8', ..] => 2,
            _ => 3,
        };
        Some(digits.split_at(length))
    }

    /// The number as it is dialled in the Republic of Korea; `None` if it belongs to another country.
    #[must_use]
    pub fn in_korea(&self) -> Option<String> {
        match (self, self.country()) {
            (Self::National(digits), _) => Some(digits.clone()),
            // 15xx-xxxx, 16xx-xxxx and 18xx-xxxx have no area code.
            (_, Some((KOREA, digits))) if digits.len() == 8 && digits.starts_with(['1']) => {
                Some(digits.to_owned())
            }
            (_, Some((KOREA, digits))) => Some(format!("0{digits}")),
            _ => None,
        }
    }
}

/// `+` and digits for an international number, digits for a national one.
impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::International(digits) => write!(f, "+{digits}"),
            Self::National(digits) => f.write_str(digits),
        }
    }
}

/// The sender of an SMS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SmsSender {
    /// A phone number.
    Number(PhoneNumber),
    /// An alphanumeric sender id: up to 11 ASCII letters, digits, spaces, `+`, `-`, `_` and `&`, with a letter.
    Name(String),
    /// The SID of one of Twilio's messaging services: `MG` and 32 hexadecimal digits.
    Service(String),
}

impl SmsSender {
    /// Reads a sender.
    ///
    /// # Errors
    /// It is none of the three.
    pub fn parse(text: &str) -> Result<Self, String> {
        let sender = trimmed(text);
        if let Some(hex) = sender.strip_prefix("MG")
            && hex.len() == 32
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Ok(Self::Service(sender.to_owned()));
        }
        let refused = match PhoneNumber::parse(sender) {
            Ok(number) => return Ok(Self::Number(number)),
            Err(refused) => refused,
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '+' | '-' | '_' | '&');
        if !sender.contains(|c: char| c.is_ascii_alphabetic()) {
            return Err(refused);
        }
        if sender.len() <= MAX_NAME && sender.chars().all(is_name) {
            return Ok(Self::Name(sender.to_owned()));
        }
        Err(format!(
            "{refused}; a name has at most {MAX_NAME} ASCII letters, digits, spaces, `+`, `-`, `_` and `&`"
        ))
    }
}

/// Without the scheme of a URI (RFC 3966).
fn without_scheme(text: &str) -> &str {
    match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => trimmed(&text[4..]),
        _ => text,
    }
}

/// The digits, with a leading `+` and with `(` and `)`, which mark a digit that is not always dialled.
fn plain(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '+' | '\u{ff0b}' if !plain.contains(|c: char| c == '+' || c.is_ascii_digit()) => {
                plain = "+".to_owned()
            }
            '(' | '\u{ff08}' => plain.push('('),
            ')' | '\u{ff09}' => plain.push(')'),
            c if is_separator(c) => {}
            c => plain.push(digit(c).ok_or_else(|| match plain.is_empty() {
                true => format!("unexpected {}", quoted(&c.to_string())),
                false => format!("unexpected {}; an extension cannot get an SMS", quoted(&c.to_string())),
            })?),
        }
    }
    Ok(plain)
}

fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || is_invisible(c)
        || matches!(
            c,
            '-' | '.' | '/' | '[' | ']' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{30fb}'
        )
        || matches!(c, '\u{30fc}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | '\u{ff0e}' | '\u{ff0f}' | '\u{b7}')
}

/// The ASCII digit of a digit: ASCII, full-width, Arabic-Indic or extended Arabic-Indic.
fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => '0',
        '\u{ff10}'..='\u{ff19}' => '\u{ff10}',
        '\u{660}'..='\u{669}' => '\u{660}',
        '\u{6f0}'..='\u{6f9}' => '\u{6f0}',
        _ => return None,
    };
    char::from_digit(u32::from(c) - u32::from(zero), 10)
}
