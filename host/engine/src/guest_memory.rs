//! The memory that the guests of this process may have together.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use metrics::{Unit, describe_gauge, gauge};

const USED: &str = "host_guest_memory_bytes";
const MAX: &str = "host_guest_memory_max_bytes";

/// The share of the memory of the container, or of the machine: clients of Kafka, the store and compiled plugins need
/// some, too.
const SHARE: (usize, usize) = (3, 4);

/// Memories and tables of all guests. Their sizes count, although the system provides only pages that are written to.
#[derive(Debug)]
pub struct GuestMemory {
    max: usize,
    used: AtomicUsize,
}

impl GuestMemory {
    /// With this maximum, in bytes.
    pub fn new(max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0) }
    }

    /// That of this process.
    pub fn of_process() -> Arc<Self> {
        static OF_PROCESS: LazyLock<Arc<GuestMemory>> = LazyLock::new(|| {
            let available = available(|path| fs::read_to_string(path).ok()).unwrap_or(usize::MAX);
            Arc::new(GuestMemory::new(available / SHARE.1 * SHARE.0))
        });
        Arc::clone(&OF_PROCESS)
    }

    /// The maximum, in bytes.
    pub fn max(&self) -> usize {
        self.max
    }

    /// The memory in use, in bytes.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes memory for an instance that has `own` bytes, if there is enough. The only instance gets all that its own limit
    /// permits: nobody would give it any back.
    pub fn take(&self, bytes: usize, own: usize) -> bool {
        let taken = |used: usize| {
            let total = used.checked_add(bytes)?;
            (total <= self.max || used <= own).then_some(total)
        };
        self.used.try_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Gives back memory of [`GuestMemory::take`].
    pub fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Describes the metrics of guests' memory.
pub fn describe_metrics() {
    describe_gauge!(USED, Unit::Bytes, "Memories and tables of all instances.");
    describe_gauge!(MAX, Unit::Bytes, "The maximum of them, at which messages wait.");
}

/// Updates the metrics of guests' memory.
pub fn update_metrics() {
    let memory = GuestMemory::of_process();
    gauge!(USED).set(memory.used() as f64);
    gauge!(MAX).set(memory.max() as f64);
}

/// The memory of the container, of the control group of this process, or of the machine: the least of them.
fn available(read: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let number = |path: &str| read(path)?.trim().parse::<usize>().ok();
    let group = read("/proc/self/cgroup").and_then(|text| {
        let own = text.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
        number(&format!("/sys/fs/cgroup{own}/memory.max"))
    });
    let container = number("/sys/fs/cgroup/memory.max");
    let old = number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1 << 10)
    });
    [group, container, old, machine].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts() {
        let machine = ("/proc/meminfo", "MemFree: 1 kB\nMemTotal:       8192 kB\n");
        let of = |files: &[(&str, &str)]| {
            available(|path| {
                let found = files.iter().find(|(name, _)| *name == path);
                found.map(|(_, text)| (*text).to_owned())
            })
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[machine]), Some(8 << 20));
        assert_eq!(of(&[machine, ("/sys/fs/cgroup/memory.max", "max\n")]), Some(8 << 20));
        assert_eq!(of(&[machine, ("/sys/fs/cgroup/memory.max", "4194304\n")]), Some(4 << 20));
        let group = ("/proc/self/cgroup", "1:name=systemd:/other\n0::/a.service\n");
        assert_eq!(of(&[machine, group, ("/sys/fs/cgroup/a.service/memory.max", "1024\n")]), Some(1024));
        let old = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2048\n");
        assert_eq!(of(&[machine, old]), Some(2048));
        assert!(GuestMemory::of_process().max() >= 1 << 20);
    }

    #[test]
    fn memory_is_bounded_and_the_only_instance_gets_its_own() {
        let memory = GuestMemory::new(100);
        assert!(memory.take(80, 0) && memory.take(20, 80));
        assert!(!memory.take(1, 50), "another instance has some");
        memory.give_back(50);
        assert!(memory.take(60, 50), "it is the only one");
        assert_eq!(memory.used(), 110);
        memory.give_back(110);
        assert!(memory.take(1000, 0) && !memory.take(1, 0));
    }
}
