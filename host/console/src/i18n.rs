//! The console's texts, in English and Korean: [`texts!`] is the only way to define them, and a test refuses words in
//! templates.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

use super::format;

/// Defines texts in both languages: without one of the two, they do not compile. The braces after the type have groups
/// of texts that are defined elsewhere.
macro_rules! texts {
    ($(#[$doc:meta])* $type:ident { $($group:ident: $of:ty),* }
     $($name:ident: $english:literal, $korean:literal;)*) => {
        $(#[$doc])*
        pub struct $type { $(pub $group: $of,)* $(pub $name: &'static str,)* }

        impl $type {
            /// English.
            pub const ENGLISH: Self = Self { $($group: <$of>::ENGLISH,)* $($name: $english,)* };
            /// Korean.
            pub const KOREAN: Self = Self { $($group: <$of>::KOREAN,)* $($name: $korean,)* };

            #[cfg(test)]
            pub fn all(&self) -> Vec<(&'static str, &'static str)> {
                let all = vec![$((stringify!($name), self.$name),)*];
                [all, $(self.$group.all(),)*].concat()
            }
        }
    };
}

pub mod desk;
mod general;
mod remarks;
pub mod retries;
pub mod rooms;

pub use self::general::Texts;

/// English.
pub static ENGLISH: Texts = Texts::ENGLISH;
/// Korean.
pub static KOREAN: Texts = Texts::KOREAN;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A text with a number in place of `{}`. A text for one comes first, before a `|`.
pub fn counted(text: &str, count: u64) -> String {
    let (one, more) = text.split_once('|').unwrap_or((text, text));
    filled(if count == 1 { one } else { more }, &format::number(count))
}

fn filled(text: &str, number: &str) -> String {
    text.replace("{}", number)
}

impl Texts {
    /// The texts in this language, if it is supported.
    pub fn of(lang: &str) -> Option<&'static Self> {
        [&ENGLISH, &KOREAN].into_iter().find(|texts| texts.lang == lang)
    }

    /// The supported language with the highest weight in `Accept-Language`; English if there is none.
    pub fn accepted(headers: &HeaderMap) -> &'static Self {
        let ranges = headers.get_all(ACCEPT_LANGUAGE).into_iter().filter_map(|value| value.to_str().ok());
        let mut best = (0.0, &ENGLISH);
        for range in ranges.flat_map(|value| value.split(',')) {
            let (tag, weight) = range.split_once(";q=").unwrap_or((range, "1"));
            let weight = weight.trim().parse().unwrap_or(0.0);
            let tag = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            if let Some(texts) = Self::of(&tag).filter(|_| weight > best.0) {
                best = (weight, texts);
            }
        }
        best.1
    }

    /// An age, in one unit.
    pub fn ago(&self, seconds: i64) -> String {
        let (number, text) = match seconds.max(0) {
            0..10 => return self.now.to_owned(),
            seconds @ 10..MINUTE => (seconds, self.seconds_ago),
            seconds @ MINUTE..HOUR => (seconds / MINUTE, self.minutes_ago),
            seconds if seconds < 2 * DAY => (seconds / HOUR, self.hours_ago),
            seconds => (seconds / DAY, self.days_ago),
        };
        filled(text, &number.to_string())
    }

    /// The time until something is due, in one unit.
    pub fn ahead(&self, seconds: i64) -> String {
        let (number, text) = match seconds.max(0) {
            0 => return self.retries.now.to_owned(),
            seconds if seconds < 2 * MINUTE => (seconds, self.in_seconds),
            seconds if seconds < 2 * HOUR => (seconds / MINUTE, self.in_minutes),
            seconds => (seconds / HOUR, self.in_hours),
        };
        filled(text, &number.to_string())
    }

    /// A delay, in its largest unit that needs no decimals.
    pub fn delay(&self, ms: &u64) -> String {
        let units = [(3_600_000, self.hours), (60_000, self.minutes), (1000, self.seconds)];
        let whole = units.into_iter().find(|(unit, _)| *ms > 0 && ms.is_multiple_of(*unit));
        let (unit, text) = whole.unwrap_or((1, self.milliseconds));
        filled(text, &(ms / unit).to_string())
    }

    /// A duration, in one unit with at most one decimal.
    pub fn duration(&self, ms: u64) -> String {
        let (unit_s, text) = match ms / 1000 {
            0..60 => (1.0, self.seconds),
            60..7200 => (60.0, self.minutes),
            7200..172_800 => (3600.0, self.hours),
            _ => (86_400.0, self.days),
        };
        let number = (ms as f64 / 1000.0 / unit_s * 10.0).round() / 10.0;
        filled(text, &number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::http::HeaderValue;

    use super::*;

    /// Texts that are the same in Korean.
    const SAME: [&str; 5] = ["lang", "other_lang", "null", "kafka", "id"];

    #[test]
    fn every_text_is_translated() {
        let has_hangul = |text: &str| text.chars().any(|c| ('가'..='힣').contains(&c));
        for ((name, english), (_, korean)) in ENGLISH.all().into_iter().zip(KOREAN.all()) {
            assert!(!english.is_empty() && !korean.is_empty(), "{name}");
            assert_eq!(english.contains("{}"), korean.contains("{}"), "{name}: the number");
            if name == "other_lang_name" {
                continue;
            }
            assert!(!has_hangul(english), "{name}: {english}");
            let is_same = SAME.contains(&name) && english.chars().all(|c| c.is_ascii_alphabetic());
            assert!(is_same || has_hangul(korean) || name == "to_topic", "{name}: {korean}");
        }
    }

    #[test]
    fn templates_have_no_words_of_their_own() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/console");
        let mut read = 0;
        for entry in std::fs::read_dir(directory).expect("templates").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "html") {
                let template = std::fs::read_to_string(&path).expect("a template");
                let words = words(&template);
                assert!(words.is_empty(), "{}: texts belong into i18n: {words:?}", path.display());
                read += 1;
            }
        }
        assert!(read > 20, "{read} templates");
        assert_eq!(words(r#"<p class="x">{{ t.id }} Hello {# no #} &amp;</p>"#), ["Hello"]);
        assert_eq!(words(r#"<input placeholder="Search" aria-label="{{ t.search }}">"#), ["Search"]);
    }

    /// The words that a reader of a page sees and that come from the template itself.
    fn words(template: &str) -> Vec<String> {
        let mut text = template.to_owned();
        for (open, close) in [("{#", "#}"), ("{%", "%}"), ("{{", "}}")] {
            text = without(&text, open, close);
        }
        let spoken = ["aria-label=\"", "title=\"", "placeholder=\"", "alt=\""];
        let attributes = spoken.iter().flat_map(|name| text.split(name).skip(1));
        let attributes: Vec<&str> = attributes.filter_map(|rest| rest.split('"').next()).collect();
        let visible = format!("{} {}", without(&text, "<", ">"), attributes.join(" "));
        let words = visible.split(|c: char| !c.is_alphanumeric() && !"&;-*".contains(c));
        let is_word = |word: &&str| word.chars().any(char::is_alphabetic);
        let is_own = |word: &&str| !["host", "smtp-*"].contains(word) && !word.starts_with('&');
        words.filter(is_word).filter(is_own).map(str::to_owned).collect()
    }

    fn without(text: &str, open: &str, close: &str) -> String {
        let mut parts = text.split(open);
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            kept.push(' ');
            kept.push_str(part.split_once(close).map_or("", |(_, rest)| rest));
        }
        kept
    }

    #[test]
    fn the_browsers_language_is_used() {
        let of = |text: &'static str| {
            Texts::accepted(&HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(text))])).lang
        };
        assert_eq!(
            [of("ko-KR,ko;q=0.9,en;q=0.8"), of("en-GB"), of("fr, ko;q=0.3"), of("fr")],
            ["ko", "en", "ko", "en"]
        );
        assert_eq!(Texts::accepted(&HeaderMap::new()).lang, "en");
    }

    #[test]
    fn ages_counts_and_delays_have_one_unit() {
        assert_eq!(
            [ENGLISH.ago(3), ENGLISH.ago(59), ENGLISH.ago(125), ENGLISH.ago(7300)],
            ["just now", "59 s ago", "2 min ago", "2 h ago"]
        );
        assert_eq!([KOREAN.ago(-5), KOREAN.ago(200_000)], ["방금 전", "2일 전"]);
        assert_eq!(
            [ENGLISH.ahead(-5), ENGLISH.ahead(90), KOREAN.ahead(7200)],
            ["now", "in 90 s", "2시간 후"]
        );
        let texts = [ENGLISH.n_dead_letters, KOREAN.n_dead_letters];
        assert_eq!(texts.map(|text| counted(text, 1)), ["1 dead letter", "데드 레터 1건"]);
        assert_eq!(texts.map(|text| counted(text, 1200)), ["1,200 dead letters", "데드 레터 1,200건"]);
        let delays = [10, 1000, 90_000, 60_000, 7_200_000].map(|ms| ENGLISH.delay(&ms));
        assert_eq!(delays, ["10 ms", "1 s", "90 s", "1 min", "2 h"]);
        let hours = [1, 30, 24 * 10, 84].map(|hours| ENGLISH.duration(hours * 3_600_000));
        assert_eq!(hours, ["60 min", "30 h", "10 d", "3.5 d"]);
        assert_eq!([ENGLISH.duration(1500), KOREAN.duration(0)], ["1.5 s", "0초"]);
    }
}
