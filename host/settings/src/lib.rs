//! Every setting of the host: the keys of `host.toml`, the arguments for running plugins, and those for Kafka.
//!
//! Settings import no domain. They are parsed here, and the form of each value is checked; whether values are
//! possible together is checked by the domain that uses them. Capabilities register theirs as [`Extension`]s.

pub mod alerts;
pub mod allow;
pub mod desk;
mod document;
pub mod extension;
pub mod file;
pub mod http;
pub mod kafka;
pub mod mail;
pub mod plugin;
pub mod reference;
pub mod run;
#[cfg(test)]
mod tests;
pub mod value;

pub use self::alerts::AlertSettings;
pub use self::allow::Allow;
pub use self::desk::DeskSettings;
pub use self::extension::{
    AllowEntry, Extension, Section, SectionType, Sections, ShownTable, SizeLimit, Sizes,
};
pub use self::file::{File, Found, NAME, Properties, Store, nearest};
pub use self::http::OutgoingHttp;
pub use self::kafka::KafkaArgs;
pub use self::mail::MailServer;
pub use self::plugin::{
    Action, Isolation, LimitSettings, OnDead, Ordering, PluginSettings, RetrySettings, RuleSettings,
    Unsettled,
};
pub use self::run::{OffsetReset, RunArgs};
pub use self::value::Value;
