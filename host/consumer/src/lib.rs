//! The life of a message: a plugin's subscription, its retry policy, and the pipeline that its messages go through.
//!
//! To follow one message, read [`Pipeline::run`].

mod blocked;
pub mod bounds;
pub mod dry_run;
pub mod load;
pub mod metrics;
mod pipeline;
pub mod policy;
pub mod reports;
pub mod rules;
pub mod subscriber;
pub mod subscription;
pub mod worker;

pub use self::pipeline::Pipeline;
pub use self::subscriber::Subscriber;
pub use self::subscription::Subscription;
