//! Instances for reuse.

use contract::Guest;
use parking_lot::Mutex;
use settings::plugin::Isolation;
use wasmtime::Store;

use crate::call::Call;
use crate::grants::Grants;

/// The number of calls after which an instance is replaced, which bounds leaks. A replacement takes about 10 µs.
const MAX_CALLS: u32 = 1000;

/// An instance with its store.
pub(super) struct Instance {
    pub(super) store: Store<Call>,
    pub(super) guest: Guest,
    /// The number of calls that it has had.
    pub(super) calls: u32,
}

/// How instances are reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// They are not.
    Never,
    /// They are reset to their first state after each call.
    Reset,
    /// They stay as they are.
    Kept,
}

/// The idle instances of one plugin, at most as many as were in use at the same time.
pub(super) struct InstancePool {
    reuse: Reuse,
    waiting: Mutex<Vec<Instance>>,
}

impl InstancePool {
    pub(super) fn new(isolation: Isolation, resets: bool) -> Self {
        let reuse = match isolation {
            Isolation::Message if resets => Reuse::Reset,
            Isolation::Message | Isolation::NewInstance => Reuse::Never,
            Isolation::Instance => Reuse::Kept,
        };
        Self { reuse, waiting: Mutex::default() }
    }

    pub(super) fn reuse(&self) -> Reuse {
        self.reuse
    }

    /// The number of instances that wait.
    pub(super) fn idle(&self) -> usize {
        self.waiting.lock().len()
    }

    /// The instance used last, whose memory is in the caches.
    pub(super) fn take(&self) -> Option<Instance> {
        if self.reuse == Reuse::Never { None } else { self.waiting.lock().pop() }
    }

    /// Keeps the instance, unless it has had its number of calls, is not clean, or uses half of its maximum
    /// memory.
    pub(super) fn give_back(&self, instance: Instance, grants: &Grants) {
        let call = instance.store.data();
        let is_good = match self.reuse {
            Reuse::Never => false,
            Reuse::Reset => call.is_clean(),
            Reuse::Kept => call.memory() <= grants.limits.memory / 2,
        };
        if is_good && instance.calls < MAX_CALLS {
            self.waiting.lock().push(instance);
        }
    }
}
