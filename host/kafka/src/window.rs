//! The window of a commit: which messages after the committed offset are finished, and the retry state of those that
//! are retried in place.
//!
//! The text is `<length> <earliest> <hole>,<hole>…`. It covers `length` offsets, starting at the committed one, and all
//! of them are finished except the holes. A hole is the number of finished offsets before it, `+n` if n more unfinished
//! offsets follow directly, and `:attempt:due:first failure` if the message has failed before. Both times are
//! milliseconds after the earliest of all. Numbers have base 36. Earlier versions wrote
//! held keys after the holes, each after a space.

use std::collections::BTreeMap;

/// The maximum length of the text in bytes.
pub const MAX_LEN: usize = 3430;
/// The maximum length in bytes of a hole whose message has failed before, after a gap of less than [`MAX_GAP`] offsets.
pub const FAILED_HOLE: usize = 26;
/// The maximum length in bytes of a hole whose message has not failed, under the same condition.
pub const HOLE: usize = 8;
/// The maximum distance of two unfinished offsets for which the lengths of holes hold.
pub const MAX_GAP: i64 = 36_i64.pow(6);

/// The maximum length of the parts before the holes: two numbers, each with a space.
const PREFIX: usize = 28;
const RADIX: u32 = 36;
/// The maximum number of covered offsets. A text that exceeds it was written by another program.
const MAX_COVERED: i64 = 1 << 40;

/// The state of a message that is retried in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryState {
    /// The number of the next delivery: from 2, or 1 if the plugin chose the delay of the first retry.
    pub attempt: u32,
    /// The due time in milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// The time of the first failure in milliseconds since the Unix epoch.
    pub first_failed_ms: i64,
}

/// The state of the messages after a committed offset.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Window {
    /// The first of the covered offsets, which is the committed one.
    pub start: i64,
    /// The end of the covered offsets, exclusive.
    pub end: i64,
    /// The covered offsets that are not finished, with the state of those that have failed.
    pub unfinished: BTreeMap<i64, Option<RetryState>>,
    /// The leader epoch of the last record before `end`, if it is known. Not part of the text.
    pub epoch: Option<i32>,
}

impl Window {
    /// Whether the message at this offset is finished.
    pub fn is_finished(&self, offset: i64) -> bool {
        (self.start..self.end).contains(&offset) && !self.unfinished.contains_key(&offset)
    }

    /// Whether a record with this leader epoch was appended after the window was committed: the log was cut, and the
    /// record is not the one that was finished.
    pub fn is_older_than(&self, epoch: Option<i32>) -> bool {
        matches!((self.epoch, epoch), (Some(ours), Some(epoch)) if epoch > ours)
    }

    /// The part before `offset`.
    #[must_use]
    pub fn before(mut self, offset: i64) -> Self {
        self.unfinished.split_off(&offset);
        (self.start, self.end) = (self.start.min(offset), self.end.min(offset));
        self
    }

    /// The retry state of the message at this offset, if it has failed before.
    pub fn retry_state(&self, offset: i64) -> Option<RetryState> {
        self.unfinished.get(&offset).copied().flatten()
    }

    /// The number of messages from `offset` to `end` that are not known to be finished.
    pub fn unfinished_between(&self, offset: i64, end: i64) -> i64 {
        let covered = (self.start.max(offset), self.end.min(end));
        let holes =
            if covered.0 < covered.1 { self.unfinished.range(covered.0..covered.1).count() } else { 0 };
        (end - offset).max(0) - (covered.1 - covered.0).max(0) + holes as i64
    }

    /// The text for a commit of `base`; empty if the offset alone is sufficient. If the text would be too long, the
    /// highest offsets are left out and would be repeated.
    pub fn encode(&self, base: i64) -> String {
        // If the clock was set back, the due time can be earlier than the first failure.
        let times =
            self.unfinished.values().flatten().flat_map(|state| [state.first_failed_ms, state.due_ms]);
        let first_ms = times.min().unwrap_or(0);
        let room = MAX_LEN.saturating_sub(PREFIX);
        let (mut holes, mut end, mut next) = (String::new(), self.end, base);
        let mut unfinished = self.unfinished.iter().filter(|(offset, _)| **offset >= base).peekable();
        while let Some((&offset, state)) = unfinished.next() {
            let mut hole = number(offset - next);
            next = offset + 1;
            if let Some(RetryState { attempt, due_ms, first_failed_ms }) = state {
                let (due, failed) = (number(due_ms - first_ms), number(first_failed_ms - first_ms));
                hole = format!("{hole}:{}:{due}:{failed}", digits(u128::from(*attempt)));
            } else {
                let mut more = 0;
                while unfinished.next_if(|(offset, state)| **offset == next && state.is_none()).is_some() {
                    (more, next) = (more + 1, next + 1);
                }
                if more > 0 {
                    hole = format!("{hole}+{}", number(more));
                }
            }
            if holes.len() + hole.len() + 1 > room {
                end = offset;
                break;
            }
            if !holes.is_empty() {
                holes.push(',');
            }
            holes.push_str(&hole);
        }
        // If all covered offsets are unfinished and have not failed, the offset alone is sufficient.
        let is_plain = self.unfinished.values().all(Option::is_none)
            && end - base == i64::try_from(self.unfinished.len()).unwrap_or(i64::MAX);
        if end <= base || is_plain {
            return String::new();
        }
        format!("{} {} {holes}", number(end - base), number(first_ms))
    }

    /// Parses the text of a commit of `base`. None if another program wrote it.
    pub fn decode(base: i64, text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let length = parse(words.next()?).filter(|length| *length <= MAX_COVERED)?;
        let first_ms = parse(words.next()?)?;
        let end = base.checked_add(length)?;
        let mut unfinished = BTreeMap::new();
        let mut next = base;
        for hole in words.next()?.split(',').filter(|hole| !hole.is_empty()) {
            let (gap, state) = match hole.split_once(':') {
                Some((gap, state)) => (gap, Some(parse_retry_state(state, first_ms)?)),
                None => (hole, None),
            };
            let (gap, more) = gap.split_once('+').unwrap_or((gap, "0"));
            let (offset, more) = (next.checked_add(parse(gap)?)?, parse(more)?);
            next = offset.checked_add(more)?.checked_add(1)?;
            // Also bounds the allocation for an untrusted text.
            if next > end || unfinished.len() as i64 + more > MAX_LEN as i64 * 10 {
                return None;
            }
            unfinished.extend((offset..next).map(|offset| (offset, state)));
        }
        words.all(|key| parse_digits(key).is_some()).then_some(Self {
            start: base,
            end,
            unfinished,
            epoch: None,
        })
    }
}

fn parse_retry_state(text: &str, first_ms: i64) -> Option<RetryState> {
    let mut fields = text.split(':');
    let attempt = u32::try_from(parse(fields.next()?)?).ok()?;
    let due_ms = first_ms.checked_add(parse(fields.next()?)?)?;
    let first_failed_ms = first_ms.checked_add(parse(fields.next()?)?)?;
    (fields.next().is_none() && attempt > 0).then_some(RetryState { attempt, due_ms, first_failed_ms })
}

/// Negative numbers do not occur.
fn number(value: i64) -> String {
    digits(u128::from(value.max(0).unsigned_abs()))
}

/// The digits of a number of base 36.
pub(super) fn digits(mut value: u128) -> String {
    let mut text = Vec::new();
    loop {
        // The remainder is less than the radix.
        text.push(char::from_digit((value % u128::from(RADIX)) as u32, RADIX).unwrap_or('0'));
        value /= u128::from(RADIX);
        if value == 0 {
            return text.into_iter().rev().collect();
        }
    }
}

/// The number with these digits.
pub(super) fn parse_digits(text: &str) -> Option<u128> {
    // `from_str_radix` also accepts a sign.
    u128::from_str_radix(text, RADIX).ok().filter(|_| !text.starts_with('+'))
}

fn parse(text: &str) -> Option<i64> {
    parse_digits(text).and_then(|value| i64::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_795_000_000_000;

    fn retry_state() -> impl Strategy<Value = RetryState> {
        (1..1002_u32, 0..86_400_000_i64, 0..86_400_000_i64).prop_map(|(attempt, due, failed)| RetryState {
            attempt,
            due_ms: NOW + failed + due,
            first_failed_ms: NOW + failed,
        })
    }

    fn window(holes: usize) -> impl Strategy<Value = (i64, Window)> {
        let holes = prop::collection::vec((1..50_i64, prop::option::weighted(0.3, retry_state())), 0..holes);
        (0..1_000_000_i64, holes, 0..100_i64).prop_map(|(base, holes, rest)| {
            let mut offset = base - 1;
            let unfinished: BTreeMap<_, _> = holes
                .into_iter()
                .map(|(gap, state)| {
                    offset += gap;
                    (offset, state)
                })
                .collect();
            (base, Window { start: base, end: offset + 1 + rest, unfinished, epoch: None })
        })
    }

    #[test]
    fn metadata_is_empty_if_the_offset_is_sufficient() {
        let plain =
            Window { start: 5, end: 7, unfinished: (5..7).map(|o| (o, None)).collect(), ..Window::default() };
        assert_eq!(plain.encode(5), "");
        assert_eq!(Window { start: 5, end: 5, ..Window::default() }.encode(5), "");
    }

    #[test]
    fn the_text_has_the_documented_form() {
        let state = RetryState { attempt: 3, due_ms: NOW + 1036, first_failed_ms: NOW };
        let unfinished = BTreeMap::from([(10, Some(state)), (12, None), (13, None), (14, None)]);
        let window = Window { start: 10, end: 20, unfinished, epoch: None };
        assert_eq!(window.encode(10), "a mwm0nk74 0:3:ss:0,1+2");
        assert_eq!(Window::decode(10, "a mwm0nk74 0:3:ss:0,1+2 z"), Some(window), "with a held key");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_change_due_times() {
        let state = RetryState { attempt: 2, due_ms: NOW - 5000, first_failed_ms: NOW };
        let unfinished = BTreeMap::from([(10, Some(state))]);
        let window = Window { start: 10, end: 20, unfinished, ..Window::default() };
        assert_eq!(Window::decode(10, &window.encode(10)), Some(window));
    }

    #[test]
    fn other_texts_are_ignored() {
        for text in [
            "",
            "5 0",
            "5 0 9",
            "5 0 -1",
            "5 0 0+9",
            "5 0 0 +1",
            "zzzzzzzzzzzz 0 0",
            "5 0 0:0:0:0",
            "5 0 0:1:0:0:0",
            "5 0 0 ?",
        ] {
            assert_eq!(Window::decode(10, text), None, "{text}");
        }
        assert_eq!(Window::decode(i64::MAX, "5 0 0"), None);
    }

    #[test]
    fn only_covered_offsets_are_finished() {
        let unfinished = BTreeMap::from([(12, None)]);
        let window = Window { start: 10, end: 15, unfinished, ..Window::default() };
        assert_eq!([9, 10, 12, 14, 15].map(|o| window.is_finished(o)), [false, true, false, true, false]);
        let counts = [(0, 10), (10, 15), (13, 15), (8, 20), (15, 18), (12, 13)];
        assert_eq!(counts.map(|(from, to)| window.unfinished_between(from, to)), [10, 1, 0, 8, 3, 1]);
    }

    proptest! {
        #[test]
        fn metadata_round_trips((base, window) in window(60)) {
            let text = window.encode(base);
            prop_assert!(text.is_ascii() && text.len() <= MAX_LEN);
            match Window::decode(base, &text) {
                Some(read) => prop_assert_eq!(read, window),
                None => {
                    prop_assert_eq!(text, "");
                    prop_assert!((base..window.end).all(|offset| !window.is_finished(offset)));
                    prop_assert!(window.unfinished.values().all(Option::is_none));
                }
            }
        }

        /// Offsets that do not fit are repeated, never skipped.
        #[test]
        fn a_long_window_is_truncated_at_its_end((base, window) in window(3000)) {
            let text = window.encode(base);
            prop_assert!(text.len() <= MAX_LEN);
            let read = Window::decode(base, &text).unwrap_or_default();
            prop_assert!(read.end <= window.end.max(0));
            for offset in base..window.end {
                prop_assert!(!read.is_finished(offset) || window.is_finished(offset));
            }
            for (offset, state) in &read.unfinished {
                prop_assert_eq!(window.unfinished.get(offset), Some(state));
            }
        }

        #[test]
        fn arbitrary_text_does_not_panic(base in any::<i64>(), text in "[0-9a-z:,+ -]{0,100}") {
            Window::decode(base, &text);
        }

        /// The sizes that the admission of messages relies on.
        #[test]
        fn no_hole_exceeds_its_documented_length(state in retry_state(), gap in 0..MAX_GAP) {
            let bare = Window { start: 0, end: gap + 3, unfinished: BTreeMap::from([(gap + 1, None)]), ..Window::default() };
            let with = Window {
                start: 0,
                end: gap + 3,
                unfinished: BTreeMap::from([(0, Some(RetryState { first_failed_ms: NOW, ..state })), (gap + 1, Some(state))]),
                ..Window::default()
            };
            let holes = |window: &Window| window.encode(0).rsplit(' ').next().map(str::to_owned).unwrap_or_default();
            prop_assert!(holes(&bare).len() < HOLE);
            prop_assert!(holes(&with).split(',').all(|hole| hole.len() < FAILED_HOLE));
        }
    }
}
