//! Standard error, whose reader may be gone and whose disk may be full: a line that cannot be written is dropped and
//! counted, and never ends the process.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// The lines that were dropped since the start.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Those of them that no line has reported yet.
static UNREPORTED: AtomicU64 = AtomicU64::new(0);

/// The number of lines that could not be written since the start.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Writes a line.
pub fn line(text: impl Display) {
    write(&mut io::stderr().lock(), format!("{text}\n").as_bytes());
}

/// Whether lines are coloured.
pub fn is_coloured() -> bool {
    takes_colours(&io::stderr())
}

/// Whether a stream takes colours: a terminal, unless `NO_COLOR` is set and not empty (no-color.org).
pub fn takes_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A writer of whole lines that never fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        write(&mut io::stderr().lock(), lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(stderr: &mut impl Write, line: &[u8]) {
    if stderr.write_all(line).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        UNREPORTED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let dropped = UNREPORTED.swap(0, Ordering::Relaxed);
    if dropped > 0 && writeln!(stderr, "{dropped} lines before this one could not be written").is_err() {
        UNREPORTED.fetch_add(dropped, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full while the flag is set.
    #[derive(Default)]
    struct Disk {
        is_full: bool,
        lines: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { self.lines.write(bytes) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_reported_after_the_next_one() {
        let mut disk = Disk { is_full: true, ..Disk::default() };
        write(&mut disk, b"one\n");
        write(&mut disk, b"two\n");
        disk.is_full = false;
        write(&mut disk, b"three\n");
        write(&mut disk, b"four\n");
        let text = String::from_utf8_lossy(&disk.lines);
        assert_eq!(text, "three\n2 lines before this one could not be written\nfour\n");
        assert_eq!(dropped(), 2);
    }
}
