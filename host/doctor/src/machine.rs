//! The limits of this machine.

use base::files;

use crate::report::{Area, Check};

/// `engine` is the check of the engines, which loading the plugins has made.
pub fn check(engine: Check) -> Vec<Check> {
    let count = files::limit();
    let detail = if count == u64::MAX { "no limit".to_owned() } else { format!("up to {count}") };
    vec![Check::new(Area::Machine, "open files", detail, files::finding()), engine]
}
