//! Requests and answers of the HTTP API for dead letters: `/api/v1` of a running host.
//!
//! The desk fills these types from its store, the server sends and describes them (OpenAPI), and the command
//! line reads them. All timestamps are milliseconds since the Unix epoch.

mod alerts;
mod audit;
mod cause;
mod dead_letter;
mod destination;
mod failure;
mod filter;
mod health;
mod held_key;
mod history;
mod id;
pub mod json;
mod outcome;
mod overview;
mod page;
mod partition;
mod plugin;
mod replay;
mod setting;
mod topic;
mod trial;
mod waiting;

pub use self::alerts::{AlertTest, ChannelResult};
pub use self::audit::AuditEntry;
pub use self::cause::cause;
pub use self::dead_letter::{
    ChangeRequest, DeadLetter, DeadLetterCount, DeadLetterState, DeadLetterSummary, EditRequest, Header,
    ImportResult, Location,
};
pub use self::destination::DestinationOverview;
pub use self::failure::{Failure, FailureState, FailureUpdate};
pub use self::filter::{FILTER_PARAMETERS, Filter, MAX_FILTER_IDS};
pub use self::health::{Health, HealthPart, HealthState, PartKind};
pub use self::held_key::{HeldKey, Release, Released};
pub use self::history::{PluginHistory, Series};
pub use self::id::{is_id, is_id_prefix};
pub use self::outcome::{ReplayItem, ReplayItemState};
pub use self::overview::{Overview, PluginOverview};
pub use self::page::{Cursor, Page, PageSelector};
pub use self::partition::{PartitionOverview, PartitionState};
pub use self::plugin::{ChangedIntake, Grant, Intake, IntakeChange, IntakeState, PluginDetails};
pub use self::replay::{
    Replay, ReplayChange, ReplayEffects, ReplayPlan, ReplayPreview, ReplayRequest, ReplayState, ReplayTarget,
    StartedReplay, TopicShare,
};
pub use self::setting::{Setting, SettingTable};
pub use self::topic::{AssignedPartitions, GroupMember, GroupOverview, TopicOverview, TopicUse};
pub use self::trial::{EffectCount, Trial, TrialFailure, TrialResult, TrialState, TrialVerdict};
pub use self::waiting::{
    DecisionState, MAX_WAITING_RECORDS, WAITING_PARAMETERS, WaitingAction, WaitingAnswer, WaitingDecision,
    WaitingFilter, WaitingGroup, WaitingList, WaitingMessage, WaitingRequest,
};

/// The path that all routes of the API begin with.
pub const BASE_PATH: &str = "/api/v1";
/// The request header that names the user for the audit log. It is not authenticated.
pub const USER_HEADER: &str = "host-user";
/// The media type of exports and imports: a dead letter per line.
pub const JSON_LINES: &str = "application/jsonl";
/// The media type of a plugin build.
pub const WASM: &str = "application/wasm";

/// Default number of entries per page.
pub const DEFAULT_PAGE: usize = 50;
/// Maximum entries per page.
pub const MAX_PAGE: usize = 500;
/// Maximum length of a user's name, in characters.
pub const MAX_USER_CHARS: usize = 64;
/// Maximum length of a reason, in characters.
pub const MAX_REASON_CHARS: usize = 1000;
/// Maximum length of a failure's note, in characters.
pub const MAX_NOTE_CHARS: usize = 4000;
/// Maximum size of a JSON body, in bytes.
pub const MAX_BODY_BYTES: usize = 2 << 20;
/// Maximum size of an import, in bytes.
pub const MAX_IMPORT_BYTES: usize = 256 << 20;
/// Maximum size of a plugin build, in bytes.
pub const MAX_BUILD_BYTES: usize = 64 << 20;
