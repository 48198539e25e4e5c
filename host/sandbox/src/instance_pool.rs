//! Instances for reuse.

use contract::Guest;
use parking_lot::Mutex;
use settings::plugin::Isolation;
use wasmtime::Store;

use crate::call::Call;
use crate::grants::Grants;

/// The number of messages after which an instance is replaced, which bounds leaks. A replacement takes about 10 µs.
const MAX_CALLS: u32 = 1000;

/// An instance with its store.
pub(super) struct Instance {
    pub(super) store: Store<Call>,
    pub(super) guest: Guest,
    /// The number of messages that it has handled.
    pub(super) calls: u32,
}

/// The idle instances of one plugin, at most as many as were in use at the same time.
pub(super) struct InstancePool {
    isolation: Isolation,
    waiting: Mutex<Vec<Instance>>,
}

impl InstancePool {
    pub(super) fn new(isolation: Isolation) -> Self {
        Self { isolation, waiting: Mutex::default() }
    }

    pub(super) fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// The instance used last, whose memory is in the caches.
    pub(super) fn take(&self) -> Option<Instance> {
        match self.isolation {
            Isolation::Message => None,
            Isolation::Instance => self.waiting.lock().pop(),
        }
    }

    /// Keeps the instance, unless it has handled its number of messages or uses half of its maximum memory.
    pub(super) fn give_back(&self, instance: Instance, grants: &Grants) {
        let is_good =
            instance.calls < MAX_CALLS && instance.store.data().memory() <= grants.limits.memory / 2;
        if self.isolation == Isolation::Instance && is_good {
            self.waiting.lock().push(instance);
        }
    }
}
