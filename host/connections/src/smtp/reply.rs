//! Replies of a server, read leniently: RFC 5321, section 4.2, lets the code alone decide.

use std::fmt;

/// The maximum length of a line that is kept. The rest of a longer line is ignored.
const MAX_LINE: usize = 2048;
/// The maximum length of a whole reply, in bytes.
const MAX_REPLY: usize = 64 << 10;
/// The maximum length of a reply as text, in characters.
pub const MAX_TEXT: usize = 300;

/// The meaning of a code, by its first digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 2xx: done.
    Positive,
    /// 3xx: continue.
    Intermediate,
    /// 4xx: not now.
    Transient,
    /// 5xx: not ever.
    Permanent,
}

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The text of each line, without the code. What is not UTF-8 is replaced.
    pub lines: Vec<String>,
}

/// The result of reading a reply from the bytes that have arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A reply, and the number of bytes that it takes.
    Reply(Reply, usize),
    /// The reply is not complete.
    More,
    /// This is not a reply.
    Invalid(String),
}

impl Reply {
    /// Reads a reply from the beginning of these bytes. A line ends with LF, with or without CR. Its text and the
    /// character before it may be missing.
    pub fn read(bytes: &[u8]) -> Read {
        let (mut lines, mut start) = (Vec::new(), 0);
        while let Some(length) = bytes[start..].iter().position(|&byte| byte == b'\n') {
            let line = &bytes[start..start + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            start += length + 1;
            let Some((code, continues, text)) = parts(line) else {
                // A blank or broken line within a reply says nothing; before it, this is something else.
                if lines.is_empty() && !line.iter().all(u8::is_ascii_whitespace) {
                    return Read::Invalid(shown(line));
                }
                continue;
            };
            lines.push(shown(text));
            if !continues {
                return Read::Reply(Self { code, lines }, start);
            }
        }
        if bytes.len() > MAX_REPLY {
            return Read::Invalid(format!("more than {MAX_REPLY} bytes"));
        }
        Read::More
    }

    /// The meaning of its code. Unknown codes count by their first digit.
    pub fn kind(&self) -> Kind {
        match self.code / 100 {
            2 => Kind::Positive,
            3 => Kind::Intermediate,
            4 => Kind::Transient,
            _ => Kind::Permanent,
        }
    }

    /// The subject and detail of the enhanced status code (RFC 3463) at the beginning of the text: `4.3.2` has (3, 2).
    pub fn enhanced(&self) -> Option<(u16, u16)> {
        let first = self.lines.iter().find(|line| !line.is_empty())?;
        let mut numbers = first.split_ascii_whitespace().next()?.split('.');
        numbers.next()?.parse().ok().filter(|class: &u16| *class == self.code / 100)?;
        let (subject, detail) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        numbers.next().is_none().then_some((subject, detail))
    }
}

/// The code of a line, whether another one follows, and the text.
fn parts(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !matches!(digits, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    Some(match rest {
        [b'-', text @ ..] => (code, true, text),
        text => (code, false, text),
    })
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_LINE)]);
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).collect()
}

/// In one line: the code, and the text of the first line that has one.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match self.lines.iter().find(|line| !line.is_empty()) {
            Some(text) => write!(f, " {}", text.chars().take(MAX_TEXT - 4).collect::<String>()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Reply {
        match Reply::read(bytes) {
            Read::Reply(reply, length) => {
                assert_eq!(length, bytes.len());
                reply
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_code_decides_with_any_text_or_none() {
        for (bytes, code, shown) in [
            (&b"250 OK\r\n"[..], 250, "250 OK"),
            (b"250\r\n", 250, "250"),
            (b"250\n", 250, "250"),
            (b"250 \r\n", 250, "250"),
            (b"250OK\n", 250, "250 OK"),
            (b"571 5.7.1 no\n", 571, "571 5.7.1 no"),
            (b"471\n", 471, "471"),
            (b"599 x\r\n", 599, "599 x"),
            (b"250-first\r\n250 second\r\n", 250, "250 first"),
            (b"250-\r\n250 second\r\n", 250, "250 second"),
            (b"250-first\r\n\r\nnoise\r\n250\r\n", 250, "250 first"),
            (b"\r\n250 OK\r\n", 250, "250 OK"),
            (b"550 \xc0\xfa\xc0\xda\r\n", 550, "550 \u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"250 a\x07b\r\n", 250, "250 a b"),
        ] {
            let reply = read(bytes);
            assert_eq!((reply.code, reply.to_string().as_str()), (code, shown), "{bytes:?}");
        }
        assert_eq!(read(b"471\n").kind(), Kind::Transient);
        assert_eq!(read(b"571\n").kind(), Kind::Permanent);
        assert_eq!(read(b"299\n").kind(), Kind::Positive);
    }

    #[test]
    fn incomplete_and_foreign_bytes_are_no_reply() {
        for bytes in [&b""[..], b"25", b"250 OK", b"250-a\r\n", b"250-a\r\n250 b"] {
            assert_eq!(Reply::read(bytes), Read::More, "{bytes:?}");
        }
        for bytes in
            [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"SSH-2.0-x\r\n", b"150 x\r\n", b"650 x\r\n", b"2x0 a\n"]
        {
            assert!(matches!(Reply::read(bytes), Read::Invalid(_)), "{bytes:?}");
        }
        assert!(matches!(Reply::read(&b"250-a\r\n".repeat(20_000)), Read::Invalid(_)));
    }

    #[test]
    fn enhanced_codes_are_read_from_the_first_text() {
        assert_eq!(read(b"432 4.3.2 too many\r\n").enhanced(), Some((3, 2)));
        assert_eq!(read(b"550-\r\n550 5.1.1 no\r\n").enhanced(), Some((1, 1)));
        for bytes in [&b"450 later\r\n"[..], b"450 5.1.1 of another class\r\n", b"450 4.1 x\r\n", b"450\r\n"]
        {
            assert_eq!(read(bytes).enhanced(), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_reply_is_read_the_same_however_it_arrives(
            code in 200u16..600, texts in prop::collection::vec("[ -~]{0,40}", 1..5), lf in any::<bool>(),
        ) {
            let end = if lf { "\n" } else { "\r\n" };
            let last = texts.len() - 1;
            let line = |(n, text): (usize, &String)| format!("{code}{}{text}{end}", if n == last { ' ' } else { '-' });
            let whole: String = texts.iter().enumerate().map(line).collect();
            for cut in 0..whole.len() {
                prop_assert_eq!(Reply::read(&whole.as_bytes()[..cut]), Read::More);
            }
            let Read::Reply(reply, length) = Reply::read(whole.as_bytes()) else { panic!("{whole:?}") };
            prop_assert_eq!((reply.code, length, reply.lines.len()), (code, whole.len(), texts.len()));
        }

        #[test]
        fn no_bytes_panic_and_texts_are_one_line(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Read::Reply(reply, length) = Reply::read(&bytes) {
                prop_assert!(length <= bytes.len() && !reply.to_string().contains(['\r', '\n', '\0']));
                prop_assert!(reply.to_string().chars().count() <= MAX_TEXT);
            }
        }
    }
}
