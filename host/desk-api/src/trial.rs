//! Trials: a new build of a plugin tried on stored dead letters.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::filter::Filter;

/// The state of a trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrialState {
    /// Dead letters are being tried.
    #[default]
    Running,
    /// Every dead letter was tried.
    Done,
    /// Cancelled by a user, or by the host's shutdown.
    Cancelled,
    /// Aborted; see `state_reason`.
    Failed,
}

impl TrialState {
    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// The verdict of a trial on a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrialVerdict {
    /// The build would handle it, and nothing outside of the host has a say.
    Passed,
    /// The build would send an e-mail or an HTTP request: only its destination can say whether it accepts it.
    Undecided,
    /// It would fail again.
    Failed,
}

impl TrialVerdict {
    /// All verdicts.
    pub const ALL: [Self; 3] = [Self::Passed, Self::Undecided, Self::Failed];

    /// The verdict's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Undecided => "undecided",
            Self::Failed => "failed",
        }
    }
}

impl Trial {
    /// Number of dead letters that would fail again.
    pub fn failed(&self) -> u64 {
        self.tried.saturating_sub(self.passed + self.undecided + self.skipped)
    }
}

/// A trial. Timestamps are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trial {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The build, name@version.
    pub plugin: String,
    /// The build's digest.
    pub digest: String,
    /// The user who started it.
    pub actor: String,
    /// Whether this host runs a plugin of the same name, whose settings the build gets; otherwise it has none.
    pub has_settings: bool,
    /// What the build did not get because the host runs another build of the plugin: secrets of its configuration,
    /// which were replaced by a placeholder, environment variables and directories.
    #[serde(default)]
    pub withheld: Vec<String>,
    /// The filter that selected the dead letters.
    pub filter: Filter,
    /// Time at which it started.
    pub started_ms: i64,
    /// Time at which it ended.
    pub ended_ms: Option<i64>,
    /// The state.
    pub state: TrialState,
    /// The reason why the trial was aborted; empty otherwise.
    pub state_reason: String,
    /// Number of dead letters.
    pub dead_letters: u64,
    /// Number of dead letters tried so far.
    pub tried: u64,
    /// Number of dead letters that would succeed without sending anything.
    pub passed: u64,
    /// Number of dead letters for which the build would send something: the destination decides.
    #[serde(default)]
    pub undecided: u64,
    /// Number of dead letters that cannot be tried: the value was cut, or they no longer exist.
    pub skipped: u64,
    /// Remaining failures, the most frequent first.
    pub failures: Vec<TrialFailure>,
    /// Effects of all calls, the most frequent first.
    pub effects: Vec<EffectCount>,
}

/// A failure that remains with the new build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrialFailure {
    /// The failure code.
    pub code: String,
    /// Number of dead letters.
    pub dead_letters: u64,
    /// Detail of the first dead letter.
    pub detail: String,
}

/// How often a kind of effect would have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EffectCount {
    /// `e-mail`, or method and origin of an HTTP request, for example `POST https://api.example.com`.
    pub effect: String,
    /// The number of times.
    pub count: u64,
}

/// The result of a trial for one dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrialResult {
    /// Id of the dead letter.
    pub dead_letter: String,
    /// Whether it would succeed.
    pub verdict: TrialVerdict,
    /// The failure code; empty if it did not fail.
    pub code: String,
    /// The failure's detail, or the text of the plugin's outcome. Only the first dead letters of each kind have one.
    pub detail: String,
    /// E-mails and HTTP requests that would have been sent, as printed by `host plugin invoke -o json`. Only the
    /// first dead letters of each kind have them.
    #[schema(value_type = Vec<Object>)]
    pub effects: Vec<Value>,
    /// The call's log. Only the first dead letters of each kind have one.
    pub log: Vec<String>,
}
