//! Child processes that end with their parent process.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// A shell watches its standard input in the background and then becomes the program. A line on the pipe ends
/// the watch. The pipe closes without a line when the parent dies: the shell kills the program and removes
/// the directory, unless it contains a file `keep`.
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

/// A running program. It is killed on drop and at the end of this process, even by SIGKILL.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    watch: Option<ChildStdin>,
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts `program` in a process group of its own, with an empty standard input. `configure` sets output
    /// and environment. `dir` is removed if this process dies.
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

    /// The process id of the program, which has replaced the shell.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output and error, if `configure` requested pipes. Available once.
    pub fn outputs(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Sends a signal by name: `TERM`, `STOP`, `CONT`. Does nothing after the end of the program.
    pub fn signal(&mut self, name: &str) -> Result<()> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = self.pid().to_string();
        let status = Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &pid]).status()?;
        ensure!(status.success(), "kill -s {name} {pid}: {status}");
        Ok(())
    }

    /// The exit status, if the program has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none()
            && let Some(status) = self.child.try_wait().context("waiting for a child process")?
        {
            self.status = Some(status);
            self.release();
        }
        Ok(self.status)
    }

    /// Waits for the end of the program. Returns `None` after `timeout`.
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

    /// Sends SIGKILL and waits for the end of the program.
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

    /// Ends the watch, because the process id may be reused from now on.
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
