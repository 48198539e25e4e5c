//! Every setting of the host: the keys of `host.toml`, the arguments that run plugins, and how Kafka is reached.
//!
//! Settings import no domain. They are read, and checked as far as their own form goes; whether they make sense
//! together is checked where they are used.

pub mod alerts;
pub mod allow;
pub mod desk;
pub mod file;
pub mod http;
pub mod kafka;
pub mod mail;
pub mod plugin;
pub mod reference;
pub mod run;
pub mod target;
#[cfg(test)]
mod tests;
pub mod value;

pub use self::alerts::AlertSettings;
pub use self::allow::Allow;
pub use self::desk::DeskSettings;
pub use self::file::{File, Found, NAME, Properties, Store, nearest};
pub use self::http::{HttpSettings, SolapiSettings};
pub use self::kafka::KafkaArgs;
pub use self::mail::{MailSettings, Pattern, Redirect};
pub use self::plugin::{
    Action, Isolation, LimitSettings, OnDead, Ordering, PluginSettings, RetrySettings, RuleSettings,
    Unsettled,
};
pub use self::run::{OffsetReset, RunArgs};
pub use self::value::Value;
