//! The metadata of a committed offset, from any writer.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use fuzz::Input;
use kafka::commit_metadata::{CommitMetadata, MAX_LEN};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let base = input.number() & i64::MAX;
    let text = input.rest();
    let Some(metadata) = CommitMetadata::decode(base, text) else { return };
    let Some(window) = &metadata.window else { return };
    assert!(window.end >= base);
    assert!(window.unfinished.keys().all(|offset| (base..window.end).contains(offset)));

    // The next commit has the same completed offsets, or fewer if they do not fit.
    for base in [base, base.saturating_add(1)] {
        let written = metadata.encode(base);
        assert!(written.is_ascii() && written.len() <= MAX_LEN.max(text.len() + 60), "{written}");
        let again = CommitMetadata::decode(base, written.as_bytes()).expect("the host's own metadata");
        assert_eq!((again.topic, again.initial_partitions), (metadata.topic, metadata.initial_partitions));
        let has_window = again.window.is_some();
        let read = again.window.unwrap_or_default();
        assert!(read.end <= window.end.max(base));
        for (offset, past) in &read.unfinished {
            assert_eq!(window.unfinished.get(offset), Some(past));
        }
        for offset in window.unfinished.keys().filter(|offset| **offset >= base) {
            assert!(!read.is_finished(*offset), "{offset} is not completed");
        }
        if written.len() < MAX_LEN - 100 && has_window && base < window.end {
            assert_eq!(read.end, window.end);
        }
    }
});
