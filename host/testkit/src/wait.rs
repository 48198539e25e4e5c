//! Waiting for conditions, sizes of runs, free ports.

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Waits until `condition` holds, asking every 20 ms.
///
/// # Panics
/// When it does not hold within `timeout`.
#[track_caller]
pub fn eventually(timeout: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + timeout;
    while !condition() {
        assert!(Instant::now() < end, "the condition did not hold within {timeout:?}");
        sleep(Duration::from_millis(20));
    }
}

/// Whether this is the full-size run: `LONG=1`, as in `make test-long`.
pub fn long() -> bool {
    std::env::var_os("LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// `short` in `make test`, `full` in `make test-long`.
pub fn scale<T>(short: T, full: T) -> T {
    if long() { full } else { short }
}

/// A loopback port that was free a moment ago. Another process may take it before it is used.
#[track_caller]
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    socket.local_addr().expect("the address of a bound socket").port()
}
