//! The number of files, sockets included, that the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this, connections of HTTP clients, destinations and Kafka may compete for files.
const LOW: u64 = 1024;

/// Raises the limit as far as the system permits without privileges. Returns a warning if it is low even so.
pub fn raise_limit() -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum {
        // Some systems refuse the hard limit itself; the soft one stays then.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    let count = self::limit();
    (count <= LOW)
        .then(|| format!("only {count} files may be open at the same time: raise the limit (ulimit -n)"))
}

/// The limit.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
