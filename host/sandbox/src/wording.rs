//! Captured effects for a person.

use base::text;

use crate::capture::{Captured, CapturedMail, CapturedRequest};

/// Characters of a text or a body that are shown.
const SHOWN: usize = 2000;

/// Lines: what it is, and what it holds.
pub fn lines(effect: &Captured) -> Vec<String> {
    match effect {
        Captured::Mail(mail) => of_mail(mail),
        Captured::Http(request) => of_request(request),
    }
}

fn of_mail(mail: &CapturedMail) -> Vec<String> {
    let mut lines = vec![format!("e-mail from {} to {}", line(&mail.sender), list(&mail.to))];
    for (what, addresses) in [("cc", &mail.cc), ("bcc", &mail.bcc)] {
        if !addresses.is_empty() {
            lines.push(format!("  {what} {}", list(addresses)));
        }
    }
    for (what, value) in [("goes to", &mail.redirected_to), ("reply to", &mail.reply_to)] {
        lines.extend(value.as_ref().map(|value| format!("  {what} {}", line(value))));
    }
    lines.push(format!("  subject {}", line(&mail.subject)));
    lines.push(format!("  Message-ID {}", line(&mail.id)));
    lines.extend(pairs(&mail.headers));
    lines.extend(mail.attachments.iter().map(|file| {
        format!("  attachment {} ({}, {} bytes)", line(&file.name), line(&file.content_type), file.size)
    }));
    for (what, body) in [("text", &mail.text), ("html", &mail.html)] {
        lines.extend(body.iter().flat_map(|body| content(what, body.as_bytes())));
    }
    lines
}

fn of_request(request: &CapturedRequest) -> Vec<String> {
    let mut lines = vec![format!("{} {}", line(&request.method), line(&request.url))];
    lines.extend(pairs(&request.headers));
    if let Some(key) = &request.idempotency_key {
        lines.push(format!("  idempotency-key: {}", line(key)));
    }
    lines.extend(request.host_headers.iter().map(|name| format!("  {name}: (added by the host)")));
    if !request.body.is_empty() {
        lines.extend(content("body", &request.body));
    }
    lines
}

fn content(what: &str, bytes: &[u8]) -> Vec<String> {
    let text = text::block(bytes);
    let shown = text.char_indices().nth(SHOWN).map_or(&*text, |(end, _)| text.get(..end).unwrap_or_default());
    let mut lines = vec![format!("  {what}, {} bytes", bytes.len())];
    lines.extend(shown.lines().map(|line| format!("    {line}")));
    if shown.len() < text.len() {
        lines.push("    … (all of it: -o json)".to_owned());
    }
    lines
}

fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = String> {
    pairs.iter().map(|(name, value)| format!("  {}: {}", line(name), line(value)))
}

fn list(addresses: &[String]) -> String {
    addresses.iter().map(|address| line(address)).collect::<Vec<_>>().join(", ")
}

fn line(text: &str) -> String {
    text::line(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_drive_the_terminal_or_fill_it() {
        let request = CapturedRequest {
            method: "POST".into(),
            url: "https://h/\u{1b}[2J".into(),
            headers: vec![("x".into(), "a\nb".into())],
            host_headers: vec!["authorization".into()],
            idempotency_key: Some("k".into()),
            body: "é\n".repeat(5000).into(),
        };
        let lines = lines(&Captured::Http(request));
        assert_eq!(lines[0], "POST https://h/\\u{1b}[2J");
        assert_eq!(
            lines[1..4],
            ["  x: a\\nb", "  idempotency-key: k", "  authorization: (added by the host)"]
        );
        assert_eq!((lines[4].as_str(), lines.len()), ("  body, 15000 bytes", 5 + SHOWN / 2 + 1));
    }
}
