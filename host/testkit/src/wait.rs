//! Waits for conditions, sizes of test runs, and free ports.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
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

/// A loopback port that was free a moment ago; this process gets it once. It is below the ports that outgoing
/// connections use (32768 and above in Linux). Another process may take it before it is used.
///
/// # Panics
/// No port is free.
#[track_caller]
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Concurrent processes begin at different places.
    let begin = std::process::id().wrapping_mul(101);
    let port = (0..COUNT).find_map(|_| {
        let number = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + number).expect("below 65536");
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    });
    port.expect("a free loopback port")
}
