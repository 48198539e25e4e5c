//! What has come of a trial so far.

use std::collections::{BTreeMap, HashMap};

use sandbox::capture::Captured;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Filter;

/// How many different codes and effects are told apart; what is beyond them is counted together.
const KINDS: usize = 200;
/// What is beyond them.
const OTHERS: &str = "others";
/// Of how many letters that pass, and of how many with one code, effects and log are kept.
const SHOWN: u64 = 20;
/// The most that is kept of effects and logs, in bytes, about.
const ROOM: usize = 8 << 20;
/// The longest detail that is kept of a failure, in bytes.
const DETAIL: usize = 500;

/// How a trial stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrialState {
    /// Letters are given to the build.
    #[default]
    Running,
    /// Each had its turn.
    Done,
    /// Somebody ended it, or the host stopped.
    Cancelled,
    /// It could not go on; `why` says it.
    Failed,
}

impl TrialState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// A trial. Moments are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trial {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The build, name@version.
    pub plugin: String,
    /// The build's digest.
    pub digest: String,
    /// Who began it.
    pub who: String,
    /// Whether the build has the settings of a plugin of the same name that runs here; else it has none.
    pub settings: bool,
    /// Which letters were asked for.
    pub filter: Filter,
    /// When it began.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// How it stands.
    pub state: TrialState,
    /// Why it could not go on, or empty.
    pub why: String,
    /// How many letters it is given.
    pub letters: u64,
    /// How many of them had their turn.
    pub tried: u64,
    /// How many would be finished now.
    pub pass: u64,
    /// How many cannot be tried: their value was cut out, or they are gone.
    pub skipped: u64,
    /// What still fails, the most frequent first.
    pub still: Vec<Still>,
    /// What would have been sent by all of them, the most frequent first.
    pub effects: Vec<Sent>,
}

/// A failure that is still one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Still {
    /// The failure's code.
    pub code: String,
    /// How many letters.
    pub letters: u64,
    /// The first one's detail.
    pub detail: String,
}

/// What would have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sent {
    /// `e-mail`, or a method and an origin, as in `POST https://api.example.com`.
    pub what: String,
    /// How often.
    pub times: u64,
}

/// What became of one letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tried {
    /// The letter's id.
    pub letter: String,
    /// Whether it would be finished now.
    pub passes: bool,
    /// The failure's code; empty where it passes.
    pub code: String,
    /// The failure's detail, or what the build said of the message. Kept of the first letters of each kind.
    pub detail: String,
    /// What it would have sent: e-mails and requests, as `host plugin invoke -o json` prints them. Kept of
    /// the first letters of each kind.
    #[schema(value_type = Vec<Object>)]
    pub effects: Vec<Captured>,
    /// What it logged; likewise.
    pub log: Vec<String>,
}

/// What came of one letter, in little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Waits,
    Passes,
    /// The number of its code.
    Fails(u16),
    Skipped,
}

/// What one call said and would have done.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// None: it passes.
    pub code: Option<String>,
    pub detail: String,
    pub effects: Vec<Captured>,
    pub log: Vec<String>,
}

/// A trial with what is known of its letters.
#[derive(Debug)]
pub(super) struct Progress {
    pub trial: Trial,
    letters: Vec<String>,
    verdicts: Vec<Verdict>,
    codes: Vec<Still>,
    sent: BTreeMap<String, u64>,
    seen: HashMap<usize, Seen>,
    room: usize,
}

impl Progress {
    pub fn new(trial: Trial) -> Self {
        Self {
            trial,
            letters: Vec::new(),
            verdicts: Vec::new(),
            codes: Vec::new(),
            sent: BTreeMap::new(),
            seen: HashMap::new(),
            room: ROOM,
        }
    }

    pub fn begin(&mut self, letters: Vec<String>) {
        self.verdicts = vec![Verdict::Waits; letters.len()];
        self.trial.letters = letters.len() as u64;
        self.letters = letters;
    }

    pub fn letters(&self) -> &[String] {
        &self.letters
    }

    /// This letter cannot be tried.
    pub fn skip(&mut self, number: usize) {
        self.trial.tried += 1;
        self.trial.skipped += 1;
        self.verdicts[number] = Verdict::Skipped;
    }

    /// This letter has had its turn.
    pub fn note(&mut self, number: usize, seen: Seen) {
        self.trial.tried += 1;
        for effect in &seen.effects {
            let what = effect.summary();
            let known = self.sent.len() < KINDS || self.sent.contains_key(&what);
            *self.sent.entry(if known { what } else { OTHERS.to_owned() }).or_default() += 1;
        }
        let before = match &seen.code {
            None => {
                self.verdicts[number] = Verdict::Passes;
                self.trial.pass += 1;
                self.trial.pass
            }
            Some(code) => {
                let code = self.code(code, &seen.detail);
                self.verdicts[number] = Verdict::Fails(code);
                let still = &mut self.codes[usize::from(code)];
                still.letters += 1;
                still.letters
            }
        };
        let size = size(&seen);
        if before <= SHOWN && size <= self.room {
            self.room -= size;
            self.seen.insert(number, seen);
        }
    }

    /// The number of a code.
    fn code(&mut self, code: &str, detail: &str) -> u16 {
        let place = |codes: &[Still], code: &str| codes.iter().position(|still| still.code == code);
        let code = if self.codes.len() < KINDS || place(&self.codes, code).is_some() { code } else { OTHERS };
        let number = place(&self.codes, code).unwrap_or_else(|| {
            let detail = detail[..detail.floor_char_boundary(DETAIL)].to_owned();
            self.codes.push(Still { code: code.to_owned(), letters: 0, detail });
            self.codes.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    pub fn snapshot(&self) -> Trial {
        let mut still = self.codes.clone();
        still.sort_by(|a, b| b.letters.cmp(&a.letters).then_with(|| a.code.cmp(&b.code)));
        let mut effects: Vec<Sent> =
            self.sent.iter().map(|(what, times)| Sent { what: what.clone(), times: *times }).collect();
        effects.sort_by(|a, b| b.times.cmp(&a.times).then_with(|| a.what.cmp(&b.what)));
        Trial { still, effects, ..self.trial.clone() }
    }

    pub fn tried(&self, passes: Option<bool>, from: usize, limit: usize) -> Vec<Tried> {
        let wanted = |verdict: &Verdict| match verdict {
            Verdict::Passes => passes != Some(false),
            Verdict::Fails(_) => passes != Some(true),
            Verdict::Waits | Verdict::Skipped => false,
        };
        let numbers = (0..self.verdicts.len()).filter(|number| wanted(&self.verdicts[*number]));
        numbers.skip(from).take(limit).map(|number| self.one(number)).collect()
    }

    fn one(&self, number: usize) -> Tried {
        let seen = self.seen.get(&number);
        let code = match self.verdicts[number] {
            Verdict::Fails(code) => self.codes[usize::from(code)].code.clone(),
            _ => String::new(),
        };
        Tried {
            letter: self.letters[number].clone(),
            passes: self.verdicts[number] == Verdict::Passes,
            code,
            detail: seen.map(|seen| seen.detail.clone()).unwrap_or_default(),
            effects: seen.map(|seen| seen.effects.clone()).unwrap_or_default(),
            log: seen.map(|seen| seen.log.clone()).unwrap_or_default(),
        }
    }

    pub fn passing(&self) -> Vec<String> {
        let all = self.letters.iter().zip(&self.verdicts);
        all.filter(|(_, verdict)| **verdict == Verdict::Passes).map(|(letter, _)| letter.clone()).collect()
    }
}

fn size(seen: &Seen) -> usize {
    let effects: usize = seen.effects.iter().map(Captured::size).sum();
    let log: usize = seen.log.iter().map(|line| line.len() + 32).sum();
    effects + log + seen.detail.len() + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(code: Option<&str>) -> Seen {
        Seen { code: code.map(str::to_owned), detail: "d".repeat(1000), ..Seen::default() }
    }

    fn of(count: usize) -> Progress {
        let mut progress = Progress::new(Trial::default());
        progress.begin((0..count).map(|number| format!("{number:032x}")).collect());
        progress
    }

    #[test]
    fn what_passes_and_what_still_fails_is_counted_by_code() {
        let mut progress = of(6);
        for (number, code) in [None, Some("b"), Some("a"), Some("b"), None].into_iter().enumerate() {
            progress.note(number, seen(code));
        }
        progress.skip(5);
        let trial = progress.snapshot();
        assert_eq!((trial.letters, trial.tried, trial.pass, trial.skipped), (6, 6, 2, 1));
        let still: Vec<_> = trial.still.iter().map(|still| (&still.code[..], still.letters)).collect();
        assert_eq!(still, [("b", 2), ("a", 1)]);
        assert_eq!(trial.still[0].detail.len(), DETAIL);
        assert_eq!(progress.passing(), [format!("{:032x}", 0), format!("{:032x}", 4)]);
        let failing = progress.tried(Some(false), 1, 1);
        assert_eq!((failing.len(), &failing[0].code[..]), (1, "a"));
        assert_eq!(progress.tried(None, 0, 100).len(), 5);
    }

    #[test]
    fn what_is_kept_has_bounds_whatever_a_build_says() {
        let mut progress = of(2000);
        for number in 0..1000 {
            progress.note(number, seen(Some(&format!("code-{number}"))));
        }
        for number in 1000..2000 {
            progress.note(number, Seen { log: vec!["x".repeat(1 << 20)], ..Seen::default() });
        }
        let trial = progress.snapshot();
        assert_eq!(trial.still.len(), KINDS + 1);
        assert_eq!((&trial.still[0].code[..], trial.still[0].letters), (OTHERS, 1000 - KINDS as u64));
        let kept: usize = progress.seen.values().map(size).sum();
        assert!(kept <= ROOM, "{kept}");
    }
}
