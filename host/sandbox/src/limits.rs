//! What one call may use up.

use std::time::Duration;

use bytesize::ByteSize;
use settings::LimitSettings;
use wasmtime::ResourceLimiter;

/// Bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memories and tables of the instance together, in bytes.
    pub memory: usize,
    /// What the guest may compute; time in host calls does not count.
    pub guest_time: Duration,
    /// The whole call, host calls included.
    pub call_time: Duration,
    /// Receipt, code and detail of an outcome, in bytes.
    pub outcome: usize,
    /// What is logged and printed, in bytes.
    pub log: usize,
    /// An e-mail with its attachments, in bytes.
    pub mail: usize,
    /// A request's body, in bytes.
    pub http_request: usize,
    /// A response's head and body, in bytes.
    pub http_response: usize,
    /// Calls of the contract's imports, and HTTP requests.
    pub host_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            guest_time: Duration::from_secs(2),
            call_time: Duration::from_secs(10),
            outcome: 64 << 10,
            log: 256 << 10,
            mail: 10 << 20,
            http_request: 1 << 20,
            http_response: 1 << 20,
            host_calls: 10_000,
        }
    }
}

/// How many of the host's objects an instance may hold at the same time. Each takes the host some hundred
/// bytes, which no limit on the guest's own memory sees.
pub const MAX_HANDLES: usize = 1_000;
/// How many random bytes it may ask for at once: the host makes them before it hands them over.
pub const MAX_RANDOM: u64 = 1 << 20;
/// The longest call.
const MAX_CALL_TIME: Duration = Duration::from_secs(120);
/// The least and the most memory.
const MEMORY: (ByteSize, ByteSize) = (ByteSize::mib(1), ByteSize::gib(1));
/// The least and the most of everything else that is measured in bytes.
const SIZE: (ByteSize, ByteSize) = (ByteSize::b(0), ByteSize::mib(256));

impl Limits {
    /// # Errors
    /// Which limit is not possible.
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
        Ok(Self {
            memory: size("memory", settings.memory, default.memory, MEMORY)?,
            guest_time,
            call_time,
            outcome: size("outcome", settings.outcome, default.outcome, SIZE)?,
            log: size("log", settings.log, default.log, SIZE)?,
            mail: size("mail", settings.mail, default.mail, SIZE)?,
            http_request: size("http-request", settings.http_request, default.http_request, SIZE)?,
            http_response: size("http-response", settings.http_response, default.http_response, SIZE)?,
            host_calls: settings.host_calls.unwrap_or(default.host_calls),
        })
    }

    /// What the guest may hand over to the host at once, in bytes; the host has to copy it before it
    /// can look at it.
    pub fn hand_over(&self) -> usize {
        // Every text and list has a header beside its bytes.
        const SLACK: usize = 1 << 20;
        self.outcome.max(self.log).max(self.mail).saturating_add(SLACK)
    }
}

fn size(
    name: &str,
    given: Option<ByteSize>,
    default: usize,
    (least, most): (ByteSize, ByteSize),
) -> Result<usize, String> {
    match given {
        None => Ok(default),
        Some(given) if given >= least && given <= most => {
            Ok(usize::try_from(given.as_u64()).unwrap_or(usize::MAX))
        }
        Some(_) => Err(format!("limits.{name} must be from {least} to {most}")),
    }
}

/// A limit that a call went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// More memory or larger tables.
    Memory,
    /// The guest computed for too long.
    GuestTime,
    /// The whole call took too long.
    CallTime,
    /// Too large an outcome.
    Outcome,
    /// Too much logged and printed.
    Log,
    /// Too large an e-mail.
    Mail,
    /// Too large a request.
    HttpRequest,
    /// Too large a response.
    HttpResponse,
    /// Too many host calls.
    HostCalls,
    /// More handed over in one host call than any of them may take.
    HandOver,
    /// What it holds of the host at the same time: streams, pollables, descriptors.
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
            Self::Mail => "mail-too-large",
            Self::HttpRequest => "http-request-too-large",
            Self::HttpResponse => "http-response-too-large",
            Self::HostCalls => "too-many-host-calls",
            Self::HandOver => "too-much-data",
            Self::Handles => "too-many-handles",
        }
    }

    /// For a person.
    pub fn detail(self, limits: &Limits) -> String {
        let bytes = |bytes: usize| ByteSize::b(bytes as u64);
        match self {
            Self::Memory => format!("the plugin asked for more memory than its {}", bytes(limits.memory)),
            Self::GuestTime => format!("the plugin computed for more than {:?}", limits.guest_time),
            Self::CallTime => format!("no outcome after {:?}", limits.call_time),
            Self::Outcome => format!("the outcome has more than {}", bytes(limits.outcome)),
            Self::Log => format!("the plugin logged and printed more than {}", bytes(limits.log)),
            Self::Mail => format!("an e-mail has more than {}", bytes(limits.mail)),
            Self::HttpRequest => format!("HTTP requests have more than {}", bytes(limits.http_request)),
            Self::HttpResponse => format!("HTTP responses have more than {}", bytes(limits.http_response)),
            Self::HostCalls => format!("the plugin made more than {} host calls", limits.host_calls),
            Self::HandOver => {
                format!("the plugin handed over more than {} at once", bytes(limits.hand_over()))
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
}

impl Memory {
    /// At most so many bytes.
    pub fn new(max: usize) -> Self {
        Self { max, used: 0, refused: false }
    }

    /// In bytes.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether the guest was refused memory.
    pub fn ran_out(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, by: usize) -> bool {
        let fits = self.used.checked_add(by).filter(|total| *total <= self.max);
        match fits {
            Some(total) => self.used = total,
            None => self.refused = true,
        }
        fits.is_some()
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_limits() {
        assert_eq!(Limits::new(&LimitSettings::default()), Ok(Limits::default()));
        let short = LimitSettings { call_time: Some(Duration::from_secs(1)), ..LimitSettings::default() };
        assert_eq!(Limits::new(&short).expect("possible").guest_time, Duration::from_secs(1));
        for (wrong, named) in [
            (LimitSettings { memory: Some(ByteSize::kib(1)), ..LimitSettings::default() }, "memory"),
            (LimitSettings { memory: Some(ByteSize::gib(2)), ..LimitSettings::default() }, "memory"),
            (LimitSettings { mail: Some(ByteSize::gib(1)), ..LimitSettings::default() }, "mail"),
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
    }
}
