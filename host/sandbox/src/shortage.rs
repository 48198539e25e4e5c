//! A shortage of this process or machine: of open files, memory or ports. It says nothing about a message or about the
//! server that it is for, so what meets it waits and is tried again.

use std::time::Duration;

use base::throttle::Throttle;
use parking_lot::Mutex;

/// The pause before the next attempt.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// The interval at which a lasting shortage is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// What this process had too little of for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Open files.
    Files,
    /// The memory of all guests.
    GuestMemory,
}

impl Shortage {
    /// The failure's detail.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Files => "this process is short of open files (ulimit -n)",
            Self::GuestMemory => {
                "the memory for plugins is in use: lower their concurrency, or give the host's container more memory"
            }
        }
    }
}

/// Logs a shortage that made something wait.
pub(crate) fn report(what: &str) {
    static REPORT: Mutex<Throttle> = Mutex::new(Throttle::new(REPORT_INTERVAL));
    if REPORT.lock().is_due() {
        tracing::warn!(
            "{what}: this process is short of it; what needs it waits and spends no attempt (ulimit -n)"
        );
    }
}
