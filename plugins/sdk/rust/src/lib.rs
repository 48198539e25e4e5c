//! Handlers of Kafka messages for the runtime `host`, which calls them as sandboxed WebAssembly components.
//!
//! A plugin is one function, and [`plugin!`], which declares it:
//!
//! ```
//! use kafka_host_plugin::{Outcome, Result, info, plugin, reject};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! fn greet(greeting: Greeting) -> Result {
//!     if greeting.name.trim().is_empty() {
//!         return Err(reject("no-name", "the greeting is for nobody"));
//!     }
//!     info!("Hello, {}!", greeting.name);
//!     Ok(Outcome::done("greeted"))
//! }
//!
//! plugin! {
//!     topic: "greetings",
//!     handler: greet,
//! }
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` makes a component of a crate whose `crate-type` is `cdylib`. It imports
//! only the capabilities that the plugin uses: [`mail`], [`produce`] and, with the feature `http`, `http`.
//!
//! - The value of a message is JSON, and becomes the argument of the [handler](Handler).
//! - [`Outcome`] and [`Failure`] say what becomes of the message. [`OrFail`] makes a failure of another error.
//! - A panic costs the message one attempt. Its text, file and line are in the failure.
//! - [`testing`] tests handlers without a host, by `cargo test`.

#[doc(hidden)]
pub mod bindings;
pub mod config;
pub mod effects;
mod handler;
#[cfg(feature = "http")]
pub mod http;
mod invalid;
pub mod log;
pub mod mail;
mod message;
mod outcome;
mod plugin;
pub mod produce;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

// Outside of a host, its functions are those of a test.
#[cfg(not(target_family = "wasm"))]
use self::testing::imports;
#[cfg(target_family = "wasm")]
mod imports;

pub use self::bindings::kafka_host::plugin::messages::{Header, Message};
pub use self::handler::Handler;
pub use self::outcome::{Failure, IntoResult, OrFail, Outcome, Result, reject, retry};
pub use self::plugin::{Declared, Plugin, RetryPolicy};
