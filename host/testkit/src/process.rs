//! The built binaries as processes, and the built plugins as files.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::guard::Guarded;
use crate::must;
use crate::usage::Usage;

/// The number of lines in the message of a failed wait.
const SHOWN: usize = 60;

/// Arguments of `sh` before a program and its arguments. The program gets an error where a file may not grow, instead
/// of the signal SIGXFSZ.
pub const TOLERATING_FULL_FILES: [&str; 2] = ["-c", "trap '' XFSZ; exec \"$0\" \"$@\""];

/// Standard output and standard error.
const STREAMS: usize = 2;

/// The built binary `name` of this test's profile.
///
/// # Panics
/// The file does not exist.
#[track_caller]
pub fn binary(name: &str) -> PathBuf {
    built(must(profile_dir()).join(name), "make build")
}

/// The plugin or test guest `name`.
///
/// # Panics
/// The file does not exist.
#[track_caller]
pub fn plugin(name: &str) -> PathBuf {
    let profile = must(profile_dir());
    let target = profile.parent().unwrap_or(&profile);
    // Cargo names the file after the crate.
    let file = format!("{}.wasm", name.replace('-', "_"));
    built(target.join("wasm32-wasip2/release").join(file), "make build guests")
}

#[track_caller]
fn built(path: PathBuf, command: &str) -> PathBuf {
    assert!(path.is_file(), "{} is missing: run `{command}`", path.display());
    path
}

/// The working directory of this process, empty at first. Directories of ended processes are removed.
#[track_caller]
fn working_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| must(make_working_dir()))
}

fn make_working_dir() -> Result<PathBuf> {
    let all = profile_dir()?.join("testkit-working-dirs");
    let dir = all.join(std::process::id().to_string());
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    for other in fs::read_dir(&all)?.flatten() {
        if !Path::new("/proc").join(other.file_name()).exists() {
            // Another process may be removing it, too.
            let _ = fs::remove_dir_all(other.path());
        }
    }
    Ok(dir)
}

/// The directory of the binaries of this executable's profile. Tests are in `deps`, examples in `examples`.
pub fn profile_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("the path of this test")?;
    let dir = exe.parent().context("the directory of this test")?;
    let inner = ["deps", "examples"].iter().any(|name| dir.file_name() == Some(OsStr::new(name)));
    Ok(if inner { dir.parent().unwrap_or(dir) } else { dir }.to_owned())
}

/// A running binary and the lines of its output. It is killed on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Guarded,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    text: Vec<String>,
    /// The number of ended streams.
    ended: usize,
}

impl Process {
    /// Starts the binary `name` (`host`, `producer`).
    #[track_caller]
    pub fn start(name: &str, args: &[&str]) -> Self {
        Self::start_with(&binary(name), args, &[])
    }

    /// Starts a program with additional environment variables in the working directory of this executable.
    /// All hosts of its tests share one store there by default.
    #[track_caller]
    pub fn start_with(program: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_into(program, args, env, [Stdio::piped(), Stdio::piped()])
    }

    /// [`start_with`](Self::start_with) with another standard output and standard error. Lines come from pipes only.
    #[track_caller]
    pub fn start_into(
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        [stdout, stderr]: [Stdio; STREAMS],
    ) -> Self {
        let dir = working_dir();
        // A path with a directory is relative to the directory of this process.
        let is_path = program.components().count() > 1;
        let found =
            if is_path { must(std::path::absolute(program).map_err(Into::into)) } else { program.into() };
        let mut child = must(Guarded::spawn(found.as_os_str(), args, None, |command| {
            command.envs(env.iter().copied()).current_dir(dir);
            command.stdout(stdout).stderr(stderr);
        }));
        let output = Arc::new(Output::default());
        let (stdout, stderr) = child.outputs();
        let stdout = stdout.map(|stream| read(stream, &output));
        let stderr = stderr.map(|stream| read(stream, &output));
        let readers: Vec<_> = stdout.into_iter().chain(stderr).collect();
        output.lock().ended += STREAMS - readers.len();
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, child, output, readers }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its CPU time and memory. It must be running.
    #[track_caller]
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// All lines of standard output and standard error so far, in order of arrival.
    pub fn lines(&self) -> Vec<String> {
        self.output.lock().text.clone()
    }

    /// The lines after the first `seen`.
    pub fn lines_after(&self, seen: usize) -> Vec<String> {
        self.output.lock().text.get(seen..).unwrap_or_default().to_vec()
    }

    /// The number of matching lines so far.
    pub fn count(&self, matches: impl Fn(&str) -> bool) -> usize {
        self.output.lock().text.iter().filter(|line| matches(line)).count()
    }

    /// Waits for a matching line, including past ones. Returns the first.
    ///
    /// # Panics
    /// No line matches within `timeout`, or the process ends before. The message shows the last lines.
    #[track_caller]
    pub fn wait_for(&self, matches: impl Fn(&str) -> bool, timeout: Duration) -> String {
        let end = Instant::now() + timeout;
        let mut seen = 0;
        let mut lines = self.output.lock();
        loop {
            if let Some(line) = lines.text[seen..].iter().find(|line| matches(line)) {
                return line.clone();
            }
            seen = lines.text.len();
            let left = end.saturating_duration_since(Instant::now());
            let ended = lines.ended == STREAMS;
            if left.is_zero() || ended {
                let why = if ended { "ended" } else { "was waited for in vain" };
                let shown = tail(&lines.text);
                drop(lines);
                panic!("{} {why} before the line came ({timeout:?}). Its last lines:\n{shown}", self.name);
            }
            lines = self.output.changed.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends SIGTERM.
    #[track_caller]
    pub fn terminate(&mut self) {
        self.signal("TERM");
    }

    /// Sends a signal by name, e.g. `INT`, `STOP`, `CONT`.
    #[track_caller]
    pub fn signal(&mut self, name: &str) {
        must(self.child.signal(name));
    }

    /// Sends SIGKILL and waits for its end.
    #[track_caller]
    pub fn kill(&mut self) {
        must(self.child.kill());
    }

    /// Bounds the size of the files that it writes, in bytes; `None` removes the bound. A write beyond it fails as
    /// on a full disk, if the program was started by a shell with [`TOLERATING_FULL_FILES`].
    #[track_caller]
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let args = ["--pid", &self.pid().to_string(), &format!("--fsize={limit}:")];
        let status = must(Command::new("prlimit").args(args).status().context("starting prlimit"));
        assert!(status.success(), "prlimit {args:?}: {status}");
    }

    /// Whether it is still running.
    #[track_caller]
    pub fn is_running(&mut self) -> bool {
        must(self.child.try_wait()).is_none()
    }

    /// Waits for its end and its last line.
    ///
    /// # Panics
    /// It still runs after `timeout`. The message shows the last lines.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let Some(status) = must(self.child.wait(timeout)) else {
            panic!("{} still runs after {timeout:?}. Its last lines:\n{}", self.name, tail(&self.lines()));
        };
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        if std::thread::panicking() {
            eprintln!("--- last lines of {} ---\n{}", self.name, tail(&self.lines()));
        }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(stream: impl Read + Send + 'static, output: &Arc<Output>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            line.clear();
            output.lock().text.push(text);
            output.changed.notify_all();
        }
        output.lock().ended += 1;
        output.changed.notify_all();
    })
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
