//! Captured effects as text: parts of lines. Text of a message can neither control a terminal nor flood it.

use base::text;

/// The maximum number of characters shown of a content.
const MAX_SHOWN: usize = 2000;

/// A content, such as the body of a request, with its size.
pub fn content(name: &str, bytes: &[u8]) -> Vec<String> {
    let text = text::block(bytes);
    let end = text.char_indices().nth(MAX_SHOWN);
    let shown = end.map_or(&*text, |(end, _)| text.get(..end).unwrap_or_default());
    let mut lines = vec![format!("  {name}, {} bytes", bytes.len())];
    lines.extend(shown.lines().map(|line| format!("    {line}")));
    if shown.len() < text.len() {
        lines.push("    … (all of it: -o json)".to_owned());
    }
    lines
}

/// Names and values, such as headers.
pub fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = String> {
    pairs.iter().map(|(name, value)| format!("  {}: {}", line(name), line(value)))
}

/// Several texts in one line.
pub fn list(texts: &[String]) -> String {
    texts.iter().map(|text| line(text)).collect::<Vec<_>>().join(", ")
}

/// A text in one line.
pub fn line(text: &str) -> String {
    text::line(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_neither_controls_the_terminal_nor_fills_it() {
        assert_eq!(line("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
        let lines = content("body", "é\n".repeat(5000).as_bytes());
        assert_eq!((lines[0].as_str(), lines.len()), ("  body, 15000 bytes", 1 + MAX_SHOWN / 2 + 1));
    }
}
