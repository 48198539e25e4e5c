//! Ways in which the host ends a call.

use effects::Interrupted;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::Exceeded;

/// The reason why the host ends a call. As an error of a host function it ends the call; a capability without a host
/// function that can fail uses [`EndSignal`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallEnd {
    /// A limit was exceeded.
    #[error("{}", .0.code())]
    Exceeded(Exceeded),
    /// An effect must not be attempted.
    #[error(transparent)]
    Effect(#[from] Interrupted),
    /// The partition of the message is being closed, or the plugin is paused, and nothing has begun.
    #[error("the partition is being closed, or the plugin is paused")]
    Closing,
}

/// Ends a call from a task, even if the guest ignores the response that it waits for.
#[derive(Default)]
pub struct EndSignal {
    reason: Mutex<Option<CallEnd>>,
    sent: Notify,
}

impl EndSignal {
    /// Ends the call. The first reason takes precedence.
    pub fn send(&self, reason: CallEnd) {
        self.reason.lock().get_or_insert(reason);
        self.sent.notify_one();
    }

    /// Completes when the call must end.
    pub async fn wait(&self) -> CallEnd {
        loop {
            if let Some(reason) = self.reason.lock().clone() {
                return reason;
            }
            self.sent.notified().await;
        }
    }
}
