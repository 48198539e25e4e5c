//! Ctrl-C, SIGTERM and a closed stdout, as a flag for polling loops.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::error::UserError;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Sets a flag on the first signal. The second signal exits: the loop may be blocked by a write. A closed pipe
/// (`| head`) sets the flag as well, so that the command ends before the next write.
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Interrupt {
    /// Installs the signal handlers.
    pub fn listen() -> Result<Self, UserError> {
        Self::start().map_err(|error| UserError::unavailable(format!("cannot listen for signals: {error}")))
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let context = runtime.enter();
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let flag = Arc::new(AtomicBool::new(false));
        let on_signal = Arc::clone(&flag);
        runtime.spawn(async move {
            loop {
                tokio::select! { _ = interrupts.recv() => (), _ = terminations.recv() => () }
                if on_signal.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
        if let Some(stdout) = stdout_pipe() {
            let on_close = Arc::clone(&flag);
            runtime.spawn(async move {
                if stdout.ready(Interest::ERROR).await.is_ok() {
                    on_close.store(true, Ordering::Relaxed);
                }
            });
        }
        drop(context);
        Ok(Self { flag, _runtime: runtime })
    }
}

/// stdout, if it is a pipe: other files cannot be watched.
fn stdout_pipe() -> Option<Sender> {
    Sender::from_owned_fd_unchecked(io::stdout().as_fd().try_clone_to_owned().ok()?).ok()
}
