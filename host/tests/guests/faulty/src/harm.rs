//! Harm that a guest does to a host without a sandbox.

use std::hint::black_box;
use std::io::Write;

/// Never returns and never calls the host.
pub fn run_forever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Recurses until the stack overflows.
pub fn overflow_the_stack() {
    black_box(descend(0));
}

fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    // The condition is never true. Without it the compiler may remove the call.
    if black_box(depth) == u64::MAX { 0 } else { descend(depth + 1) + frame[0] }
}

/// Allocates and writes a mebibyte at a time until an allocation fails.
pub fn exhaust_memory() {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Writes 8 MiB in lines to standard output, then 8 MiB without a line end.
pub fn flood_stdout() {
    let mut stdout = std::io::stdout();
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let block = vec![b'y'; 1 << 16];
    // The host may refuse the rest.
    let _ = (0..8 << 10).try_for_each(|_| stdout.write_all(&line));
    let _ = (0..8 << 4).try_for_each(|_| stdout.write_all(&block));
}
