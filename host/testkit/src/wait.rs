//! Waits for conditions, sizes of test runs, and free ports.

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Waits until `condition` is true, with a check every 20 ms.
///
/// # Panics
/// It is not true within `timeout`.
#[track_caller]
pub fn eventually(timeout: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + timeout;
    while !condition() {
        assert!(Instant::now() < end, "the condition is not true after {timeout:?}");
        sleep(Duration::from_millis(20));
    }
}

/// Whether the tests run at full size: `LONG=1`, as in `make test-long`.
pub fn long() -> bool {
    std::env::var_os("LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// `short` in `make test`, and `full` in `make test-long`.
pub fn scale<T>(short: T, full: T) -> T {
    if long() { full } else { short }
}

/// A loopback port that was free a moment ago. Another process may take it before it is used.
#[track_caller]
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    socket.local_addr().expect("the address of a bound socket").port()
}
