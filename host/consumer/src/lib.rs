//! The processing of messages: subscriptions, retry policies, workers, and the pipeline of each plugin.
//!
//! [`Pipeline::run`] processes one message from its delivery to its durable outcome.

mod blocked_publish;
pub mod bounds;
pub mod dry_run;
pub mod gate;
pub mod load;
mod message;
pub mod metrics;
mod pipeline;
pub mod policy;
pub mod reports;
pub mod rules;
pub mod subscriber;
pub mod subscription;
pub mod worker;

pub use self::gate::Gate;
pub use self::pipeline::Pipeline;
pub use self::pipeline::batch::max_batch;
pub use self::subscriber::Subscriber;
pub use self::subscription::Subscription;
