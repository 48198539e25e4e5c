//! The number of files, sockets included, that the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::finding::Finding;

/// Below this, connections of HTTP clients, destinations and Kafka may compete for files.
const LOW: u64 = 1024;

/// Raises the limit as far as the system permits without privileges. Returns what is wrong if it is low even so.
pub fn raise_limit() -> Option<Finding> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum {
        // Some systems refuse the hard limit itself; the soft one stays then.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    finding()
}

/// What is wrong with the limit, if it is low.
pub fn finding() -> Option<Finding> {
    check(limit())
}

/// What is wrong with a limit.
fn check(count: u64) -> Option<Finding> {
    (count <= LOW).then(|| {
        Finding::warning(
            format!("only {count} files may be open at the same time"),
            "connections of HTTP clients, of destinations and to Kafka wait for each other",
        )
        .cure("raise the limit: ulimit -n 65536, LimitNOFILE=65536 in a unit of systemd, or --ulimit nofile=65536 of a container")
    })
}

/// The limit.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_has_a_cure() {
        let low = check(LOW).expect("a finding").to_string();
        assert!(low.starts_with("only 1024 files") && low.contains("ulimit -n 65536"), "{low}");
        assert_eq!(check(LOW + 1), None);
    }
}
