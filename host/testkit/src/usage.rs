//! CPU time and memory of a process, from `/proc`.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::must;

/// Linux reports CPU time in hundredths of a second.
const MS_PER_TICK: u64 = 10;

/// CPU time and memory of a process so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time of all threads, in steps of 10 ms.
    pub cpu: Duration,
    /// Current resident memory, in bytes.
    pub rss: u64,
    /// Peak resident memory, in bytes.
    pub peak_rss: u64,
}

impl Usage {
    /// The usage of this process.
    #[track_caller]
    pub fn own() -> Self {
        must(Self::read("self"))
    }

    /// The usage of a running process.
    #[track_caller]
    pub fn of(pid: u32) -> Self {
        must(Self::read(&pid.to_string()))
    }

    fn read(pid: &str) -> Result<Self> {
        let file = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
        };
        let (stat, status) = (file("stat")?, file("status")?);
        let ticks = cpu_ticks(&stat).with_context(|| format!("unexpected /proc/{pid}/stat: {stat}"))?;
        let memory = |name: &str| {
            kib(&status, name)
                .map(|kib| kib * 1024)
                .with_context(|| format!("no {name} in /proc/{pid}/status"))
        };
        Ok(Self {
            cpu: Duration::from_millis(ticks * MS_PER_TICK),
            rss: memory("VmRSS:")?,
            peak_rss: memory("VmHWM:")?,
        })
    }
}

/// The name of the command, in parentheses, may contain spaces. Fields are counted from its end.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
