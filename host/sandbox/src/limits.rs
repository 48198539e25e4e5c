//! The limits of one call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use settings::{LimitSettings, SizeLimit};
use wasmtime::ResourceLimiter;

use crate::capabilities::{self, produce::MAX_RECORDS};
use engine::TABLE_ELEMENTS;
use engine::guest_memory::GuestMemory;

/// The limits of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memories and tables of the instance together, in bytes.
    pub memory: usize,
    /// Computation by the guest; the time in host functions does not count.
    pub guest_time: Duration,
    /// The whole call, including host functions.
    pub call_time: Duration,
    /// Receipt, code and detail of an outcome, in bytes.
    pub outcome: usize,
    /// Logged and printed text, in bytes.
    pub log: usize,
    /// Calls of host functions. HTTP requests are counted separately.
    pub host_calls: u32,
    /// The limits of capabilities that differ from their defaults, by key, in bytes.
    sizes: BTreeMap<&'static str, usize>,
    hand_over: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = Self {
            memory: 64 << 20,
            guest_time: Duration::from_secs(2),
            call_time: Duration::from_secs(10),
            outcome: 64 << 10,
            log: 256 << 10,
            host_calls: 10_000,
            sizes: BTreeMap::new(),
            hand_over: 0,
        };
        limits.with_hand_over()
    }
}

/// The maximum number of host resources that an instance holds at the same time. Each uses a few hundred bytes of the
/// host's memory, which the limit on the guest's memory does not cover.
pub const MAX_HANDLES: usize = 1_000;
/// The maximum number of random bytes of one request. The host generates all of them before it returns them.
pub const MAX_RANDOM: u64 = 1 << 20;
/// The maximum of `call-time`.
const MAX_CALL_TIME: Duration = Duration::from_secs(120);
/// The bounds of `memory`.
const MEMORY: (ByteSize, ByteSize) = (ByteSize::mib(1), ByteSize::gib(1));
/// The bounds of all other limits in bytes.
const SIZE: (ByteSize, ByteSize) = (ByteSize::b(0), ByteSize::mib(256));

impl Limits {
    /// The limits of a plugin with these settings.
    ///
    /// # Errors
    /// A limit is outside its bounds.
    pub fn new(settings: &LimitSettings) -> Result<Self, String> {
        let default = Self::default();
        let call_time = settings.call_time.unwrap_or(default.call_time);
        if !(Duration::from_millis(100)..=MAX_CALL_TIME).contains(&call_time) {
            return Err("limits.call-time must be from 100 ms to 2 min".to_owned());
        }
        let guest_time = settings.guest_time.unwrap_or(default.guest_time.min(call_time));
        if guest_time.is_zero() || guest_time > call_time {
            return Err(
                "limits.guest-time must be more than 0 and no longer than limits.call-time".to_owned()
            );
        }
        let mut sizes = BTreeMap::new();
        for limit in Self::of_capabilities() {
            if let Some(given) = settings.sizes.get(limit) {
                sizes.insert(limit.key, size(limit.key, Some(given), limit.default, SIZE)?);
            }
        }
        let limits = Self {
            memory: size("memory", settings.memory, default.memory, MEMORY)?,
            guest_time,
            call_time,
            outcome: size("outcome", settings.outcome, default.outcome, SIZE)?,
            log: size("log", settings.log, default.log, SIZE)?,
            host_calls: settings.host_calls.unwrap_or(default.host_calls),
            sizes,
            hand_over: 0,
        };
        Ok(limits.with_hand_over())
    }

    /// The limits that capabilities add.
    pub fn of_capabilities() -> impl Iterator<Item = &'static SizeLimit> {
        capabilities::ALL.iter().flat_map(|capability| capability.settings().limits)
    }

    /// A limit of a capability, in bytes.
    pub fn size(&self, limit: &SizeLimit) -> usize {
        self.sizes.get(limit.key).copied().unwrap_or(limit.default)
    }

    /// The maximum size of the data that the guest passes to a host function, in bytes. The host copies it before it can
    /// inspect it.
    pub fn hand_over(&self) -> usize {
        self.hand_over
    }

    /// Computed once, because every call needs it.
    fn with_hand_over(mut self) -> Self {
        // Every text and list has a header in addition to its bytes.
        const SLACK: usize = 1 << 20;
        let sizes = Self::of_capabilities().filter(|limit| limit.in_one_call).map(|limit| self.size(limit));
        let max = sizes.chain([self.outcome, self.log]).max();
        self.hand_over = max.unwrap_or_default().saturating_add(SLACK);
        self
    }
}

fn size(
    name: &str,
    given: Option<ByteSize>,
    default: usize,
    (min, max): (ByteSize, ByteSize),
) -> Result<usize, String> {
    match given {
        None => Ok(default),
        Some(given) if given >= min && given <= max => {
            Ok(usize::try_from(given.as_u64()).unwrap_or(usize::MAX))
        }
        Some(_) => Err(format!("limits.{name} must be from {min} to {max}")),
    }
}

/// A limit that a call exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Memory and tables.
    Memory,
    /// Computation by the guest.
    GuestTime,
    /// The whole call.
    CallTime,
    /// The size of the outcome.
    Outcome,
    /// Logged and printed text.
    Log,
    /// A limit of a capability.
    Size(&'static SizeLimit),
    /// Calls of host functions.
    HostCalls,
    /// Records of one `publish`.
    Records,
    /// The size of the data passed to a host function.
    HandOver,
    /// Host resources held at the same time: streams, pollables, descriptors.
    Handles,
}

impl Exceeded {
    /// The failure's kind, as `kafka_exception-fqcn` has it.
    pub fn exception(self) -> &'static str {
        match self {
            Self::Memory => "consumer.plugin.OutOfMemory",
            Self::GuestTime | Self::CallTime => "consumer.plugin.Timeout",
            _ => "consumer.plugin.Limit",
        }
    }

    /// The failure's code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Memory => "out-of-memory",
            Self::GuestTime => "cpu-timeout",
            Self::CallTime => "timeout",
            Self::Outcome => "outcome-too-large",
            Self::Log => "log-too-large",
            Self::Size(limit) => limit.code,
            Self::HostCalls => "too-many-host-calls",
            Self::Records => "too-many-records",
            Self::HandOver => "too-much-data",
            Self::Handles => "too-many-handles",
        }
    }

    /// The failure's detail.
    pub fn detail(self, limits: &Limits) -> String {
        let bytes = |bytes: usize| ByteSize::b(bytes as u64);
        match self {
            Self::Memory => format!("the plugin requested more memory than {}", bytes(limits.memory)),
            Self::GuestTime => format!("the plugin computed for more than {:?}", limits.guest_time),
            Self::CallTime => format!("no outcome after {:?}", limits.call_time),
            Self::Outcome => format!("the outcome has more than {}", bytes(limits.outcome)),
            Self::Log => format!("the plugin logged and printed more than {}", bytes(limits.log)),
            Self::Size(limit) => format!("{} {}", limit.detail, bytes(limits.size(limit))),
            Self::HostCalls => format!("the plugin made more than {} host calls", limits.host_calls),
            Self::Records => format!("the plugin published more than {MAX_RECORDS} records at once"),
            Self::HandOver => {
                format!("the plugin passed more than {} to a host function", bytes(limits.hand_over()))
            }
            Self::Handles => format!(
                "the plugin held more than {MAX_HANDLES} streams, pollables, files, requests and responses"
            ),
        }
    }
}

/// The total of an instance's memories and tables.
#[derive(Debug)]
pub struct Memory {
    max: usize,
    used: usize,
    refused: bool,
    is_short: bool,
    all: Arc<GuestMemory>,
}

impl Memory {
    /// With this maximum in bytes, of what all guests have.
    pub fn new(max: usize, all: Arc<GuestMemory>) -> Self {
        Self { max, used: 0, refused: false, is_short: false, all }
    }

    /// The size in bytes.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether the guest was refused memory.
    pub fn ran_out(&self) -> bool {
        self.refused
    }

    /// Whether the guest was refused memory because other guests have it.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    fn grow(&mut self, by: usize) -> bool {
        let Some(total) = self.used.checked_add(by).filter(|total| *total <= self.max) else {
            self.refused = true;
            return false;
        };
        if !self.all.take(by, self.used) {
            self.is_short = true;
            return false;
        }
        self.used = total;
        true
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.all.give_back(self.used);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The end of a table of the pool is not the guest's own limit.
        if maximum == Some(TABLE_ELEMENTS) && desired > TABLE_ELEMENTS {
            self.refused = true;
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::mail;

    #[test]
    fn memory_is_taken_from_that_of_all_guests() {
        let all = Arc::new(GuestMemory::new(100));
        let mut one = Memory::new(80, Arc::clone(&all));
        let mut other = Memory::new(80, Arc::clone(&all));
        assert!(one.grow(60) && other.grow(40));
        assert!(!one.grow(30) && one.ran_out() && !one.is_short(), "its own limit");
        assert!(!other.grow(30) && !other.ran_out() && other.is_short(), "the others have it");
        drop(one);
        assert!(other.grow(30) && all.used() == 70);
        drop(other);
        assert_eq!(all.used(), 0);
    }

    #[test]
    fn limits_have_limits() {
        assert_eq!(Limits::new(&LimitSettings::default()), Ok(Limits::default()));
        let short = LimitSettings { call_time: Some(Duration::from_secs(1)), ..LimitSettings::default() };
        assert_eq!(Limits::new(&short).expect("possible").guest_time, Duration::from_secs(1));
        let mut large = LimitSettings::default();
        large.sizes.insert(mail::MAX_EMAIL, ByteSize::gib(1));
        for (wrong, named) in [
            (LimitSettings { memory: Some(ByteSize::kib(1)), ..LimitSettings::default() }, "memory"),
            (LimitSettings { memory: Some(ByteSize::gib(2)), ..LimitSettings::default() }, "memory"),
            (large, "limits.mail"),
            (
                LimitSettings { call_time: Some(Duration::from_secs(121)), ..LimitSettings::default() },
                "call-time",
            ),
            (LimitSettings { guest_time: Some(Duration::ZERO), ..LimitSettings::default() }, "guest-time"),
            (
                LimitSettings { guest_time: Some(Duration::from_secs(11)), ..LimitSettings::default() },
                "guest-time",
            ),
        ] {
            assert!(Limits::new(&wrong).expect_err(named).contains(named));
        }
        let mut sizes = LimitSettings::default();
        sizes.sizes.insert(mail::MAX_EMAIL, ByteSize::mib(20));
        let limits = Limits::new(&sizes).expect("possible");
        assert_eq!((limits.size(mail::MAX_EMAIL), limits.hand_over()), (20 << 20, 21 << 20));
    }
}
