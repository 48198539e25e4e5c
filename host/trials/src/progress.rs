//! The results of a trial so far, in bounded memory.

use std::collections::{BTreeMap, HashMap};

use desk_api::{EffectCount, Trial, TrialFailure, TrialResult, TrialVerdict};
use sandbox::capture::Captured;
use serde_json::Value;

/// Maximum number of distinct codes and of distinct effects. The rest is counted as [`OTHERS`].
const MAX_KINDS: usize = 200;
const OTHERS: &str = "others";
/// Maximum number of dead letters per kind whose effects and log are kept.
const MAX_EXAMPLES: u64 = 20;
/// Maximum size of the kept effects and logs, in bytes, approximately.
const MAX_KEPT_BYTES: usize = 8 << 20;
/// Maximum length of a failure's detail, in bytes.
const MAX_DETAIL_BYTES: usize = 500;

/// The result for one dead letter, in little memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Waiting,
    Passed,
    /// The call ended well, and requested effects: only their destinations can say whether they accept them.
    Undecided,
    /// Index of the failure code.
    Failed(u16),
    Skipped,
}

impl Verdict {
    /// The verdict on a dead letter that was tried.
    fn public(self) -> Option<TrialVerdict> {
        match self {
            Self::Passed => Some(TrialVerdict::Passed),
            Self::Undecided => Some(TrialVerdict::Undecided),
            Self::Failed(_) => Some(TrialVerdict::Failed),
            Self::Waiting | Self::Skipped => None,
        }
    }
}

/// The outcome, effects and log of one call.
#[derive(Debug, Default)]
pub(super) struct CallRecord {
    /// The failure code; None if the call passed.
    pub code: Option<String>,
    pub detail: String,
    /// Whether the call requested no effect.
    pub is_decided: bool,
    pub effects: Vec<Captured>,
    pub log: Vec<String>,
}

/// A trial and the results for its dead letters.
#[derive(Debug)]
pub(super) struct Progress {
    pub trial: Trial,
    ids: Vec<String>,
    verdicts: Vec<Verdict>,
    failures: Vec<TrialFailure>,
    effects: BTreeMap<String, u64>,
    examples: HashMap<usize, CallRecord>,
    free_bytes: usize,
}

impl Progress {
    pub fn new(trial: Trial) -> Self {
        Self {
            trial,
            ids: Vec::new(),
            verdicts: Vec::new(),
            failures: Vec::new(),
            effects: BTreeMap::new(),
            examples: HashMap::new(),
            free_bytes: MAX_KEPT_BYTES,
        }
    }

    pub fn begin(&mut self, ids: Vec<String>) {
        self.verdicts = vec![Verdict::Waiting; ids.len()];
        self.trial.dead_letters = ids.len() as u64;
        self.ids = ids;
    }

    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Records that a dead letter cannot be tried.
    pub fn skip(&mut self, index: usize) {
        self.trial.tried += 1;
        self.trial.skipped += 1;
        self.verdicts[index] = Verdict::Skipped;
    }

    /// Records the call for a dead letter.
    pub fn record(&mut self, index: usize, call: CallRecord) {
        self.trial.tried += 1;
        for effect in &call.effects {
            let kind = effect.summary();
            let is_counted = self.effects.len() < MAX_KINDS || self.effects.contains_key(&kind);
            *self.effects.entry(if is_counted { kind } else { OTHERS.to_owned() }).or_default() += 1;
        }
        let count = match &call.code {
            None if !call.is_decided => {
                self.verdicts[index] = Verdict::Undecided;
                self.trial.undecided += 1;
                self.trial.undecided
            }
            None => {
                self.verdicts[index] = Verdict::Passed;
                self.trial.passed += 1;
                self.trial.passed
            }
            Some(code) => {
                let code = self.code_index(code, &call.detail);
                self.verdicts[index] = Verdict::Failed(code);
                let failure = &mut self.failures[usize::from(code)];
                failure.dead_letters += 1;
                failure.dead_letters
            }
        };
        let size = size(&call);
        if count <= MAX_EXAMPLES && size <= self.free_bytes {
            self.free_bytes -= size;
            self.examples.insert(index, call);
        }
    }

    fn code_index(&mut self, code: &str, detail: &str) -> u16 {
        let position =
            |failures: &[TrialFailure], code: &str| failures.iter().position(|failure| failure.code == code);
        let is_counted = self.failures.len() < MAX_KINDS || position(&self.failures, code).is_some();
        let code = if is_counted { code } else { OTHERS };
        let index = position(&self.failures, code).unwrap_or_else(|| {
            let detail = detail[..detail.floor_char_boundary(MAX_DETAIL_BYTES)].to_owned();
            self.failures.push(TrialFailure { code: code.to_owned(), dead_letters: 0, detail });
            self.failures.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    pub fn snapshot(&self) -> Trial {
        let mut failures = self.failures.clone();
        failures.sort_by(|a, b| b.dead_letters.cmp(&a.dead_letters).then_with(|| a.code.cmp(&b.code)));
        let count = |(effect, count): (&String, &u64)| EffectCount { effect: effect.clone(), count: *count };
        let mut effects: Vec<EffectCount> = self.effects.iter().map(count).collect();
        effects.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.effect.cmp(&b.effect)));
        Trial { failures, effects, ..self.trial.clone() }
    }

    pub fn results(&self, wanted: Option<TrialVerdict>, from: usize, limit: usize) -> Vec<TrialResult> {
        let results = self.verdicts.iter().enumerate().filter_map(|(index, verdict)| {
            let verdict = verdict.public()?;
            wanted.is_none_or(|wanted| wanted == verdict).then_some((index, verdict))
        });
        results.skip(from).take(limit).map(|(index, verdict)| self.result(index, verdict)).collect()
    }

    fn result(&self, index: usize, verdict: TrialVerdict) -> TrialResult {
        let call = self.examples.get(&index);
        let code = match self.verdicts[index] {
            Verdict::Failed(code) => self.failures[usize::from(code)].code.clone(),
            _ => String::new(),
        };
        let json = |effect: &Captured| serde_json::to_value(effect).unwrap_or(Value::Null);
        TrialResult {
            dead_letter: self.ids[index].clone(),
            verdict,
            code,
            detail: call.map(|call| call.detail.clone()).unwrap_or_default(),
            effects: call.map(|call| call.effects.iter().map(json).collect()).unwrap_or_default(),
            log: call.map(|call| call.log.clone()).unwrap_or_default(),
        }
    }

    /// The dead letters that passed, and those whose effects remain to be sent.
    pub fn not_failed(&self) -> Vec<String> {
        let all = self.ids.iter().zip(&self.verdicts);
        all.filter(|(_, verdict)| matches!(verdict, Verdict::Passed | Verdict::Undecided))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

fn size(call: &CallRecord) -> usize {
    let effects: usize = call.effects.iter().map(Captured::size).sum();
    let log: usize = call.log.iter().map(|line| line.len() + 32).sum();
    effects + log + call.detail.len() + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: Option<&str>) -> CallRecord {
        CallRecord {
            code: code.map(str::to_owned),
            detail: "d".repeat(1000),
            is_decided: true,
            ..CallRecord::default()
        }
    }

    fn of(count: usize) -> Progress {
        let mut progress = Progress::new(Trial::default());
        progress.begin((0..count).map(|number| format!("{number:032x}")).collect());
        progress
    }

    #[test]
    fn passed_dead_letters_and_remaining_failures_are_counted() {
        let mut progress = of(7);
        for (index, code) in [None, Some("b"), Some("a"), Some("b"), None].into_iter().enumerate() {
            progress.record(index, call(code));
        }
        progress.skip(5);
        progress.record(6, CallRecord { is_decided: false, ..call(None) });
        let trial = progress.snapshot();
        assert_eq!((trial.dead_letters, trial.tried, trial.passed, trial.skipped), (7, 7, 2, 1));
        assert_eq!(trial.undecided, 1, "what is to be sent has not passed");
        let failures: Vec<_> =
            trial.failures.iter().map(|failure| (&failure.code[..], failure.dead_letters)).collect();
        assert_eq!(failures, [("b", 2), ("a", 1)]);
        assert_eq!(trial.failures[0].detail.len(), MAX_DETAIL_BYTES);
        assert_eq!(progress.not_failed(), [0, 4, 6].map(|number| format!("{number:032x}")));
        let failed = progress.results(Some(TrialVerdict::Failed), 1, 1);
        assert_eq!((failed.len(), &failed[0].code[..]), (1, "a"));
        assert_eq!(progress.results(None, 0, 100).len(), 6);
        let undecided = progress.results(Some(TrialVerdict::Undecided), 0, 9);
        assert_eq!((undecided.len(), &undecided[0].dead_letter[..]), (1, &format!("{:032x}", 6)[..]));
    }

    #[test]
    fn memory_is_bounded_whatever_a_build_returns() {
        let mut progress = of(2000);
        for index in 0..1000 {
            progress.record(index, call(Some(&format!("code-{index}"))));
        }
        for index in 1000..2000 {
            progress.record(index, CallRecord { log: vec!["x".repeat(1 << 20)], ..CallRecord::default() });
        }
        let trial = progress.snapshot();
        assert_eq!(trial.failures.len(), MAX_KINDS + 1);
        assert_eq!(
            (&trial.failures[0].code[..], trial.failures[0].dead_letters),
            (OTHERS, 1000 - MAX_KINDS as u64)
        );
        let kept: usize = progress.examples.values().map(size).sum();
        assert!(kept <= MAX_KEPT_BYTES, "{kept}");
    }
}
