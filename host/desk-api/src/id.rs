//! Ids: 32 hexadecimal digits, which users may abbreviate to a unique prefix.

/// Whether the text is a complete id: 32 lower-case hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the text can be an id or a prefix of one: 1 to 32 hexadecimal digits.
pub fn is_id_prefix(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_lower_case_digits_and_prefixes_may_be_shorter() {
        let id = "0123456789abcdef".repeat(2);
        assert!(is_id(&id) && is_id_prefix(&id));
        assert!(!is_id(&id[1..]) && !is_id(&id.to_uppercase()));
        assert!(is_id_prefix("A") && is_id_prefix("0f"));
        for text in ["", "g", "../", &format!("{id}0")] {
            assert!(!is_id_prefix(text), "{text}");
        }
    }
}
