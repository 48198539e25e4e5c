//! What the details of a failure have in common.

/// Maximum length of a cause, in characters.
const MAX_CHARS: usize = 200;
/// Digits and letters from which on a word with both is taken for an id.
const MIN_ID: usize = 6;
/// The address of a machine, with its numbers replaced.
const HOST: &str = "<n>.<n>.<n>.<n>";
const HOST_AND_PORT: &str = "<n>.<n>.<n>.<n>:<n>";

/// The detail of a failure without what differs between messages: quoted values, addresses, ids and numbers are
/// replaced by `<value>`, `<address>`, `<id>` and `<n>`. A status code at the beginning or after a colon is kept, and
/// so is the enhanced one that follows it: `550 5.1.1 no such user <address>`.
pub fn cause(detail: &str) -> String {
    let unquoted = without_quoted(detail);
    let (mut words, mut is_status) = (Vec::new(), true);
    for word in unquoted.split_whitespace() {
        let kept = is_status && is_status_code(word);
        words.push(if kept { word.to_owned() } else { normalised(word) });
        is_status = kept || word.ends_with(':') || word == "answered";
    }
    words.join(" ").chars().take(MAX_CHARS).collect()
}

/// Replaces texts in quotation marks. An apostrophe within a word is none, and backticks enclose names of code.
fn without_quoted(text: &str) -> String {
    let (mut result, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(['"', '\'', '“', '‘']) {
        let (before, quoted) = rest.split_at(start);
        let mut chars = quoted.chars();
        let open = chars.next().unwrap_or('"');
        let close = match open {
            '“' => '”',
            '‘' => '’',
            same => same,
        };
        let is_inside_word = open == '\'' && before.ends_with(char::is_alphanumeric);
        result.push_str(before);
        match chars.as_str().find(close).filter(|_| !is_inside_word) {
            Some(end) => {
                result.push_str("<value>");
                rest = &chars.as_str()[end + close.len_utf8()..];
            }
            None => {
                result.push(open);
                rest = chars.as_str();
            }
        }
    }
    result + rest
}

/// `550`, or `5.1.1`, with or without a colon or a dash.
fn is_status_code(word: &str) -> bool {
    let word = word.trim_end_matches([':', '-', ',']);
    let parts: Vec<&str> = word.split('.').collect();
    let is_number =
        |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.iter().all(is_number) && matches!((parts.len(), parts[0].len()), (1, 3) | (3, 1))
}

fn normalised(word: &str) -> String {
    let is_edge = |c: char| !c.is_alphanumeric() && !matches!(c, '<' | '>');
    let core = word.trim_matches(|c: char| is_edge(c) || matches!(c, '<' | '>'));
    if matches!(core, "value") && word.contains("<value>") {
        return word.to_owned();
    }
    let replacement = match core {
        address if is_address(address) => "<address>".to_owned(),
        id if is_id(id) => "<id>".to_owned(),
        other => without_numbers(other).replace(HOST_AND_PORT, "<address>").replace(HOST, "<address>"),
    };
    // An address often has angle brackets already.
    let word = if replacement == "<address>" { word.replace(['<', '>'], "") } else { word.to_owned() };
    word.replacen(core, &replacement, usize::from(!core.is_empty()))
}

fn is_address(word: &str) -> bool {
    word.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty())
}

/// A word of letters and digits, such as a UUID or the number of a queue.
fn is_id(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let has = |kind: fn(&u8) -> bool| word.bytes().any(|byte| kind(&byte));
    word.len() >= MIN_ID
        && word.bytes().all(is_part)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
}

fn without_numbers(word: &str) -> String {
    let (mut result, mut in_number) = (String::with_capacity(word.len()), false);
    for c in word.chars() {
        if c.is_ascii_digit() {
            if !in_number {
                result.push_str("<n>");
            }
            in_number = true;
        } else {
            result.push(c);
            in_number = false;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_that_differ_in_values_have_one_cause() {
        for (one, other, expected) in [
            (
                "550 5.1.1 no such user: kim@example.com",
                "550 5.1.1 no such user: lee@example.org",
                "550 5.1.1 no such user: <address>",
            ),
            ("550 <kim@a.b>: rejected", "550 <lee@c.d>: rejected", "550 <address>: rejected"),
            (
                "to: \"nobody\" is not an address",
                "to: \"a b\" is not an address",
                "to: <value> is not an address",
            ),
            ("order 17 took 300 ms", "order 4711 took 21 ms", "order <n> took <n> ms"),
            ("queued as 3F9A01BC", "queued as AB12CD34", "queued as <id>"),
            (
                "smtp://10.0.0.7:25 answered 550 no",
                "smtp://10.0.0.8:2525 answered 550 no",
                "smtp://<address> answered 550 no",
            ),
            ("b@x: 554 refused", "c@y: 554 refused", "<address>: 554 refused"),
            (
                "id 019a2190-b7c1-737f-9b1e-0c6d5a4f3e21 gone",
                "id 119a2190-b7c1-737f-9b1e-0c6d5a4f3e21 gone",
                "id <id> gone",
            ),
        ] {
            assert_eq!((&cause(one)[..], &cause(other)[..]), (expected, expected));
        }
    }

    #[test]
    fn what_differs_in_kind_has_another_cause() {
        assert_ne!(cause("550 5.1.1 refused"), cause("554 5.7.1 refused"));
        assert_ne!(cause("smtp://a:25 answered 550 no"), cause("smtp://a:25 answered 554 no"));
        assert_ne!(cause("no mailbox"), cause("no domain"));
        assert_eq!(cause("it doesn't fit, isn't it"), "it doesn't fit, isn't it");
        assert_eq!(cause("발신자는 필수입니다"), "발신자는 필수입니다");
        assert_eq!(cause("wasm `unreachable` executed"), "wasm `unreachable` executed");
        assert_eq!(cause(""), "");
        assert_eq!(cause("an \"open quote"), "an \"open quote");
        assert_eq!(cause(&"x ".repeat(500)).chars().count(), MAX_CHARS);
    }

    #[test]
    fn a_cause_is_its_own_cause() {
        for text in [
            "550 5.1.1 no such user: kim@example.com",
            "http://10.0.0.7:80/a is away",
            "to: \"x\" is 5",
            "queued as 3F9A01BC, 7",
        ] {
            assert_eq!(cause(&cause(text)), cause(text));
        }
    }
}
