//! Accepts e-mail and SMS requests over HTTP and publishes them to Kafka.
//!
//! [`serve`] runs the whole service on a listener; [`router`] is the HTTP part alone. `api::accept` shows
//! the life of a request from top to bottom.
//!
//! Delivery guarantee: after a 200 the message is in its topic. After `"delivery": "not-sent"` it is not in
//! the topic and never will be. After `"delivery": "unknown"` it may or may not be there.

mod api;
mod body;
mod id;
mod media;
mod native;
mod publisher;
mod refusal;
mod serve;
mod settings;
mod watch;

/// Private functions for the fuzz targets in `host/fuzz`.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::id::of_request;
    pub use crate::media::{check_body, prefers_json};
}

pub use api::router;
pub use publisher::{Delivery, PublishError, Publisher, Receipt};
pub use serve::serve;
pub use settings::{EMAIL_TOPIC, SMS_TOPIC, Settings};
