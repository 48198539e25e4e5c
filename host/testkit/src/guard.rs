//! Child processes that never outlive the process that started them.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The shell waits for the end of its standard input in the background and becomes the program.
/// A line on the pipe ends the watch; the end of the pipe, which is what the death of its other
/// side looks like, kills the program and removes the directory unless it holds a file `keep`.
const SCRIPT: &str = r#"
dir=$1; shift
exec 3<&0 </dev/null
(
  if ! read -r _; then
    kill -KILL $$
    if [ -n "$dir" ] && [ ! -e "$dir/keep" ]; then
      n=0
      until rm -rf "$dir" || [ $n -ge 50 ]; do n=$((n + 1)); sleep 0.1; done
    fi
  fi
) <&3 >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"#;

/// A running program; killed on drop and when this process ends, however it ends.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    watch: Option<ChildStdin>,
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts `program` in a process group of its own, with nothing on its standard input.
    /// `configure` sets output and environment; `dir` is removed if this process dies.
    pub fn spawn(
        program: &OsStr,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        dir: Option<&Path>,
        configure: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(dir.unwrap_or(Path::new(""))).arg(program).args(args);
        configure(&mut command);
        command.stdin(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let watch = child.stdin.take();
        Ok(Self { child, watch, status: None })
    }

    /// The program's process id: the shell has become the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output and error, where `configure` asked for pipes; once.
    pub fn outputs(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Sends a signal by its name: `TERM`, `STOP`, `CONT`. Nothing once the program has ended.
    pub fn signal(&mut self, name: &str) -> Result<()> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = self.pid().to_string();
        let status = Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &pid]).status()?;
        ensure!(status.success(), "kill -s {name} {pid}: {status}");
        Ok(())
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none()
            && let Some(status) = self.child.try_wait().context("waiting for a child process")?
        {
            self.status = Some(status);
            self.release();
        }
        Ok(self.status)
    }

    /// Waits until it has ended; `None` after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + timeout;
        loop {
            let status = self.try_wait()?;
            if status.is_some() || Instant::now() >= end {
                return Ok(status);
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL, and waits for it to take effect.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        self.child.kill().context("killing a child process")?;
        let status = self.child.wait().context("waiting for a child process")?;
        self.status = Some(status);
        self.release();
        Ok(status)
    }

    /// Ends the watch: the process id may belong to another program from here on.
    fn release(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            let _ = watch.write_all(b"\n");
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
