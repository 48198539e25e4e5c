//! A shortage of this process or machine: of open files, memory or ports. It says nothing about a message or about the
//! server that it is for, so what meets it waits and is tried again.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use base::throttle::Throttle;
use parking_lot::Mutex;
use rustix::io::Errno;

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

/// Whether an error, or one of its causes, is a shortage.
pub(crate) fn is_shortage(error: &(dyn Error + 'static)) -> bool {
    const ALL: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
    let mut causes = successors(Some(error), |&cause| cause.source());
    causes.any(|cause| {
        let of_system = cause.downcast_ref::<io::Error>();
        // An I/O error that wraps another one does not have it as its source.
        let wrapped = of_system.and_then(io::Error::get_ref);
        let number = of_system.and_then(io::Error::raw_os_error);
        let is_one = |one: Errno| Some(one.raw_os_error()) == number || cause.downcast_ref() == Some(&one);
        ALL.into_iter().any(is_one) || wrapped.is_some_and(|wrapped| is_shortage(wrapped))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_are_told_from_failures_of_others() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOMEM, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::TIMEDOUT, false),
        ] {
            let wrapped = io::Error::other(io::Error::from(errno));
            assert_eq!(is_shortage(&wrapped), expected, "{errno}");
            assert_eq!(is_shortage(&errno), expected, "{errno}");
        }
    }
}
