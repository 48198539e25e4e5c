//! Characters that do not belong into a line, an address or a number.

/// The maximum number of characters of a text that an error repeats.
const MAX_QUOTED: usize = 80;

/// Accepts a text that may become a header field: without line breaks, NUL and other control characters but the tab.
///
/// # Errors
/// The first control character.
pub fn one_line(text: &str) -> Result<(), String> {
    // Without these bytes there is no control character: 0xc2 begins U+0080 to U+00BF.
    if text.bytes().all(|byte| byte >= b' ' && byte != 0x7f && byte != 0xc2) {
        return Ok(());
    }
    match text.chars().find(|&c| c.is_control() && c != '\t') {
        Some(c) => Err(format!("contains the control character U+{:04X}", u32::from(c))),
        None => Ok(()),
    }
}

/// A text for an error message, escaped and shortened.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(MAX_QUOTED).collect::<String>())
}

/// Characters without a width or a shape, which come along when a text is copied from a page or a chat.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// A text without blanks and invisible characters around it.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c))
}
