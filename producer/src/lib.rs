//! Takes e-mail and SMS requests over HTTP and publishes them to Kafka.
//!
//! [`serve`] is the whole service on a listener; [`router`] is its HTTP part alone. The life of a
//! request is `api::accept`, top to bottom.
//!
//! The promise: a message answered with 200 is in its topic, and a message answered with
//! `"delivery": "not-sent"` is not and never will be. What nobody can know is answered `"unknown"`.

mod api;
mod body;
mod failure;
mod id;
mod media;
mod native;
mod problem;
mod publisher;
mod serve;
mod settings;
mod watch;

/// What only the fuzz targets (`host/fuzz`) need of what is private.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::id::of_request;
    pub use crate::media::{check_body, prefers_json};
}

pub use api::router;
pub use failure::{Failure, exit_code};
pub use problem::Problem;
pub use publisher::{Delivery, PublishError, Publisher, Receipt};
pub use serve::serve;
pub use settings::{EMAIL_TOPIC, SMS_TOPIC, Settings};
