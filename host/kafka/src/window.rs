//! What is committed beside an offset: which of the messages behind it are finished already, and how
//! far those that are tried again in place have come.
//!
//! It goes into the commit's metadata, as text: `host1 <length> <earliest> <hole>,<hole>…`. From
//! the offset on, `length` offsets are covered, and all of them are finished but the holes. A hole
//! is the number of finished offsets before it, `+n` where n more unfinished ones follow it at once,
//! and `:attempt:due:first failure` where the message failed before; both times count from the
//! earliest of all, in milliseconds. After the holes come the keys that are held, each
//! after a space. Numbers have base 36.

use std::collections::{BTreeMap, BTreeSet};
use std::str;

/// The longest text; the broker's default limit (`offset.metadata.max.bytes`) is 4096 bytes.
pub const MAX_LEN: usize = 3500;
/// What a hole takes at most, after a gap of less than 36^4 offsets, where the message failed before.
pub const FAILED_HOLE: usize = 24;
/// What one takes that was not tried yet.
pub const HOLE: usize = 6;
/// What a held key takes at most.
pub const HELD_KEY: usize = 14;

const VERSION: &str = "host1";
const RADIX: u32 = 36;
/// More offsets than that are never covered; a text that says so is not ours.
const MAX_COVERED: i64 = 1 << 40;

/// How far a message has come that is tried again in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The number of the coming delivery, from 2; or 1 where the plugin chose the delay.
    pub attempt: u32,
    /// When it is due, in milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// When it failed first, in milliseconds since the Unix epoch.
    pub first_failed_ms: i64,
}

/// What lies behind a committed offset.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Window {
    /// The first offset that is not covered.
    pub end: i64,
    /// What is covered and not finished.
    pub unfinished: BTreeMap<i64, Option<Past>>,
    /// Keys whose messages follow a dead letter.
    pub held_keys: BTreeSet<u64>,
}

impl Window {
    /// Whether the message at this offset was finished.
    pub fn is_finished(&self, offset: i64) -> bool {
        offset < self.end && !self.unfinished.contains_key(&offset)
    }

    /// How far the message at this offset has come, where it failed before.
    pub fn past(&self, offset: i64) -> Option<Past> {
        self.unfinished.get(&offset).copied().flatten()
    }

    /// The text beside a commit of `base`: empty where there is nothing to say. What does not fit is
    /// left out from the far end; it would be repeated.
    pub fn encode(&self, base: i64) -> String {
        // A clock that was set back can make a message due before it failed first.
        let times = self.unfinished.values().flatten().flat_map(|past| [past.first_failed_ms, past.due_ms]);
        let first_ms = times.min().unwrap_or(0);
        let held: String =
            self.held_keys.iter().map(|key| format!(" {}", digits(u128::from(*key)))).collect();
        let room = MAX_LEN.saturating_sub(VERSION.len() + 30 + held.len());
        let (mut holes, mut end, mut next) = (String::new(), self.end, base);
        let mut unfinished = self.unfinished.iter().filter(|(offset, _)| **offset >= base).peekable();
        while let Some((&offset, past)) = unfinished.next() {
            let mut hole = number(offset - next);
            next = offset + 1;
            if let Some(Past { attempt, due_ms, first_failed_ms }) = past {
                let (due, failed) = (number(due_ms - first_ms), number(first_failed_ms - first_ms));
                hole = format!("{hole}:{}:{due}:{failed}", digits(u128::from(*attempt)));
            } else {
                let mut more = 0;
                while unfinished.next_if(|(offset, past)| **offset == next && past.is_none()).is_some() {
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
        // All that is covered is unfinished and was never tried: the offset alone says so.
        let is_plain = self.unfinished.values().all(Option::is_none)
            && end - base == i64::try_from(self.unfinished.len()).unwrap_or(i64::MAX);
        if held.is_empty() && (end <= base || is_plain) {
            return String::new();
        }
        format!("{VERSION} {} {} {holes}{held}", number(end - base), number(first_ms))
    }

    /// Reads the text beside a commit of `base`. None where somebody else wrote it.
    pub fn decode(base: i64, text: &[u8]) -> Option<Self> {
        let mut words = str::from_utf8(text).ok()?.split(' ');
        if words.next()? != VERSION {
            return None;
        }
        let length = parse(words.next()?).filter(|length| *length <= MAX_COVERED)?;
        let first_ms = parse(words.next()?)?;
        let end = base.checked_add(length)?;
        let mut unfinished = BTreeMap::new();
        let mut next = base;
        for hole in words.next()?.split(',').filter(|hole| !hole.is_empty()) {
            let (gap, past) = match hole.split_once(':') {
                Some((gap, past)) => (gap, Some(self::past(past, first_ms)?)),
                None => (hole, None),
            };
            let (gap, more) = gap.split_once('+').unwrap_or((gap, "0"));
            let (offset, more) = (next.checked_add(parse(gap)?)?, parse(more)?);
            next = offset.checked_add(more)?.checked_add(1)?;
            // Also bounds what a foreign text can make us allocate.
            if next > end || unfinished.len() as i64 + more > MAX_LEN as i64 * 10 {
                return None;
            }
            unfinished.extend((offset..next).map(|offset| (offset, past)));
        }
        let held_keys = words.map(|key| u64::from_str_radix(key, RADIX).ok()).collect::<Option<_>>()?;
        Some(Self { end, unfinished, held_keys })
    }
}

fn past(text: &str, first_ms: i64) -> Option<Past> {
    let mut fields = text.split(':');
    let attempt = u32::try_from(parse(fields.next()?)?).ok()?;
    let due_ms = first_ms.checked_add(parse(fields.next()?)?)?;
    let first_failed_ms = first_ms.checked_add(parse(fields.next()?)?)?;
    (fields.next().is_none() && attempt > 0).then_some(Past { attempt, due_ms, first_failed_ms })
}

/// Never negative in a text of ours.
fn number(value: i64) -> String {
    digits(u128::from(value.max(0).unsigned_abs()))
}

fn digits(mut value: u128) -> String {
    let mut text = Vec::new();
    loop {
        // Less than the radix.
        text.push(char::from_digit((value % u128::from(RADIX)) as u32, RADIX).unwrap_or('0'));
        value /= u128::from(RADIX);
        if value == 0 {
            return text.into_iter().rev().collect();
        }
    }
}

fn parse(text: &str) -> Option<i64> {
    // `from_str_radix` takes a sign too.
    i64::from_str_radix(text, RADIX).ok().filter(|_| !text.starts_with(['+', '-']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_795_000_000_000;

    fn past() -> impl Strategy<Value = Past> {
        (1..1002_u32, 0..86_400_000_i64, 0..86_400_000_i64).prop_map(|(attempt, due, failed)| Past {
            attempt,
            due_ms: NOW + failed + due,
            first_failed_ms: NOW + failed,
        })
    }

    fn window(holes: usize) -> impl Strategy<Value = (i64, Window)> {
        let holes = prop::collection::vec((1..50_i64, prop::option::weighted(0.3, past())), 0..holes);
        let held = prop::collection::btree_set(any::<u64>(), 0..5);
        (0..1_000_000_i64, holes, held, 0..100_i64).prop_map(|(base, holes, held_keys, rest)| {
            let mut offset = base - 1;
            let unfinished: BTreeMap<_, _> = holes
                .into_iter()
                .map(|(gap, past)| {
                    offset += gap;
                    (offset, past)
                })
                .collect();
            (base, Window { end: offset + 1 + rest, unfinished, held_keys })
        })
    }

    #[test]
    fn nothing_to_say_is_an_empty_text() {
        let plain = Window { end: 7, unfinished: (5..7).map(|o| (o, None)).collect(), ..Window::default() };
        assert_eq!(plain.encode(5), "");
        assert_eq!(Window { end: 5, ..Window::default() }.encode(5), "");
    }

    #[test]
    fn it_reads_as_described() {
        let past = Past { attempt: 3, due_ms: NOW + 1036, first_failed_ms: NOW };
        let unfinished = BTreeMap::from([(10, Some(past)), (12, None), (13, None), (14, None)]);
        let window = Window { end: 20, unfinished, held_keys: BTreeSet::from([35]) };
        assert_eq!(window.encode(10), "host1 a mwm0nk74 0:3:ss:0,1+2 z");
    }

    #[test]
    fn a_clock_that_was_set_back_changes_no_due_time() {
        let past = Past { attempt: 2, due_ms: NOW - 5000, first_failed_ms: NOW };
        let window = Window { end: 20, unfinished: BTreeMap::from([(10, Some(past))]), ..Window::default() };
        assert_eq!(Window::decode(10, window.encode(10).as_bytes()), Some(window));
    }

    #[test]
    fn what_others_wrote_is_none_of_ours() {
        for text in [
            &b""[..],
            b"host2 1 0 0",
            b"host1",
            b"host1 5 0",
            b"host1 5 0 9",
            b"host1 5 0 -1",
            b"host1 5 0 0+9",
            b"host1 zzzzzzzzzzzz 0 0",
            b"host1 5 0 0:0:0:0",
            b"host1 5 0 0:1:0:0:0",
            b"host1 5 0 0 ?",
            b"\xff",
        ] {
            assert_eq!(Window::decode(10, text), None, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(Window::decode(i64::MAX, b"host1 5 0 0"), None);
    }

    proptest! {
        #[test]
        fn it_comes_back_as_it_went((base, window) in window(60)) {
            let text = window.encode(base);
            prop_assert!(text.is_ascii() && text.len() <= MAX_LEN);
            match Window::decode(base, text.as_bytes()) {
                Some(read) => prop_assert_eq!(read, window),
                None => {
                    prop_assert_eq!(text, "");
                    prop_assert!((base..window.end).all(|offset| !window.is_finished(offset)));
                    prop_assert!(window.unfinished.values().all(Option::is_none));
                }
            }
        }

        /// What does not fit is repeated, never skipped.
        #[test]
        fn too_much_is_cut_at_the_far_end((base, window) in window(3000)) {
            let text = window.encode(base);
            prop_assert!(text.len() <= MAX_LEN);
            let read = Window::decode(base, text.as_bytes()).unwrap_or_default();
            prop_assert!(read.end <= window.end.max(0));
            for offset in base..window.end {
                prop_assert!(!read.is_finished(offset) || window.is_finished(offset));
            }
            for (offset, past) in &read.unfinished {
                prop_assert_eq!(window.unfinished.get(offset), Some(past));
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(base in any::<i64>(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            Window::decode(base, &bytes);
            let text = [b"host1 ".as_slice(), &bytes].concat();
            Window::decode(base, &text);
        }

        /// The sizes that admission counts with.
        #[test]
        fn no_hole_is_larger_than_what_is_counted_for_it(past in past(), gap in 0..1_679_616_i64) {
            let bare = Window { end: gap + 3, unfinished: BTreeMap::from([(gap + 1, None)]), ..Window::default() };
            let with = Window {
                end: gap + 3,
                unfinished: BTreeMap::from([(0, Some(Past { first_failed_ms: NOW, ..past })), (gap + 1, Some(past))]),
                ..Window::default()
            };
            let holes = |window: &Window| window.encode(0).rsplit(' ').next().map(str::to_owned).unwrap_or_default();
            prop_assert!(holes(&bare).len() < HOLE);
            prop_assert!(holes(&with).split(',').all(|hole| hole.len() < FAILED_HOLE));
        }
    }
}
