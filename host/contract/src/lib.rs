//! The contract between host and plugins: what a plugin is given, what it answers, and how it is called.
//!
//! Everything else speaks the types of this crate. Each version of `wit/plugin.wit` is one module that
//! translates; generated types do not leave it.

mod component;
mod imports;
mod types;
mod v0_1;

pub use self::component::{Guest, Linked, PACKAGE, VERSIONS, link, speaks};
pub use self::imports::{Imports, Level};
pub use self::types::{
    Description, Failure, Header, Message, Outcome, RetryLater, RetryPolicy, Subscription,
};
