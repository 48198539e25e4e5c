//! Instances that are used again.

use contract::Guest;
use parking_lot::Mutex;
use settings::plugin::Isolation;
use wasmtime::Store;

use crate::call::Call;
use crate::grants::Grants;

/// How many messages an instance handles before it is replaced, so that what it leaks or remembers
/// has an end. Replacing one costs about 10 us.
const CALLS: u32 = 1000;

/// An instance with its store.
pub(super) struct Instance {
    pub(super) store: Store<Call>,
    pub(super) guest: Guest,
    /// How many messages it has handled.
    pub(super) calls: u32,
}

/// The instances of one plugin that wait for a message: as many at most as had one at the same time.
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

    /// The one that was used last: its memory is the warmest.
    pub(super) fn take(&self) -> Option<Instance> {
        match self.isolation {
            Isolation::Message => None,
            Isolation::Instance => self.waiting.lock().pop(),
        }
    }

    /// Keeps it, unless it has had its messages or half of the memory it may have.
    pub(super) fn give_back(&self, instance: Instance, grants: &Grants) {
        let is_good = instance.calls < CALLS && instance.store.data().memory() <= grants.limits.memory / 2;
        if self.isolation == Isolation::Instance && is_good {
            self.waiting.lock().push(instance);
        }
    }
}
