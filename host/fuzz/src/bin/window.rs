//! The metadata of a committed offset, from any writer.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use fuzz::Input;
use kafka::window::{MAX_LEN, Window};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let base = input.number() & i64::MAX;
    let text = input.rest();
    let Some(window) = Window::decode(base, text) else { return };
    assert!(window.end >= base);
    assert!(window.unfinished.keys().all(|offset| (base..window.end).contains(offset)));

    // The next commit has the same completed offsets, or fewer if they do not fit.
    for base in [base, base.saturating_add(1)] {
        let written = window.encode(base);
        assert!(written.is_ascii() && written.len() <= MAX_LEN.max(text.len() + 30), "{written}");
        let read = Window::decode(base, written.as_bytes());
        assert_eq!(read.is_none(), written.is_empty(), "{written}");
        let read = read.unwrap_or_default();
        assert!(read.end <= window.end.max(base));
        for (offset, past) in &read.unfinished {
            assert_eq!(window.unfinished.get(offset), Some(past));
        }
        for offset in window.unfinished.keys().filter(|offset| **offset >= base) {
            assert!(!read.is_finished(*offset), "{offset} is not completed");
        }
        if !written.is_empty() {
            assert_eq!(read.held_keys, window.held_keys);
        }
        if written.len() < MAX_LEN - 100 && !written.is_empty() && base < window.end {
            assert_eq!(read.end, window.end);
        }
    }
});
