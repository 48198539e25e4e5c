//! The wall clock of a process, which can be set while it runs (libfaketime). Its monotonic clock goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::must;

/// Where Debian has the library for programs with threads.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
/// librdkafka waits with a call that libfaketime does not replace: with a clock that is behind, each wait
/// ends at once and its threads spin. This library forwards it to a call that libfaketime replaces.
///
/// The allocator reads the monotonic clock and initializes a condition variable under its locks, and libfaketime
/// allocates to answer: it must not be asked.
const BEFORE: &str = "\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*next)(clockid_t, struct timespec *);
    if (clock != CLOCK_REALTIME) return syscall(SYS_clock_gettime, clock, now);
    if (!next) next = dlsym(RTLD_NEXT, \"clock_gettime\");
    return next(clock, now);
}
int pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes) {
    static int (*next)(pthread_cond_t *, const pthread_condattr_t *);
    if (!attributes) return memset(cond, 0, sizeof *cond), 0;
    if (!next) next = dlsym(RTLD_NEXT, \"pthread_cond_init\");
    return next(cond, attributes);
}
int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    int result = pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until);
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}
";

/// A wall clock for processes that get its environment.
pub struct WallClock {
    libraries: String,
    dir: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// A clock that is wrong by `offset`, such as `-1h`.
    #[track_caller]
    pub fn new(offset: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("testkit-clock-{}-{number}", std::process::id()));
        let libraries = must(libraries(&dir));
        let clock = Self { libraries, file: dir.join("offset"), dir };
        clock.set(offset);
        clock
    }

    /// Sets the clock to the right time plus `offset`.
    #[track_caller]
    pub fn set(&self, offset: &str) {
        // Renamed, because the process reads it all the time.
        let new = self.file.with_extension("new");
        let set = fs::write(&new, format!("{offset}\n")).and_then(|()| fs::rename(&new, &self.file));
        must(set.with_context(|| format!("writing {}", self.file.display())));
    }

    /// The environment of a process with this clock.
    pub fn env(&self) -> [(&str, &str); 4] {
        [
            ("LD_PRELOAD", &self.libraries),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap_or_default()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What is loaded before the libraries of the process; the first is built in `dir`.
fn libraries(dir: &Path) -> Result<String> {
    let all = fs::read_dir(LIBRARIES).context(LIBRARIES)?.flatten();
    let found = all.map(|entry| entry.path().join(LIBRARY)).find(|path| path.is_file());
    let found = found.with_context(|| format!("no {LIBRARIES}/*/{LIBRARY}: run `scripts/setup test`"))?;
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let (source, before) = (dir.join("before.c"), dir.join("before.so"));
    fs::write(&source, BEFORE).with_context(|| format!("writing {}", source.display()))?;
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&before).arg(&source).status();
    let status = status.context("starting cc: run `scripts/setup build`")?;
    ensure!(status.success(), "cc: {status}");
    Ok(format!("{}:{}", before.display(), found.display()))
}
