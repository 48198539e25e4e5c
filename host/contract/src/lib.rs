//! The contract between host and plugins: messages, outcomes, and the calls.
//!
//! The other crates use the types of this crate. Each version of `wit/plugin.wit` has a module that
//! translates between them and its generated types, which are private to it.

mod component;
mod imports;
mod types;
mod v0_1;
mod v0_2;
mod wire;

pub use self::component::{Guest, Linked, VERSIONS, is_package, is_supported, link};
pub use self::imports::{Imports, Level};
pub use self::types::{
    Description, Failure, Header, Message, Outcome, RetryLater, RetryPolicy, Subscription,
};
