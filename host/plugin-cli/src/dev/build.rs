//! A build: the project's own command, in a process group of its own, so that all that it starts ends with it.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use base::error::UserError;
use rustix::process::{Pid, Signal, kill_process_group};

/// How often the end of a build is looked for.
const POLL: Duration = Duration::from_millis(50);

/// A running build. Dropped before its end, it is killed.
pub struct Build {
    child: Child,
    has_ended: bool,
}

impl Build {
    /// Starts a command. What it prints goes to standard error, as it prints it.
    ///
    /// # Errors
    /// The command does not exist.
    pub fn start(command: &[String], directory: &Path) -> Result<Self, UserError> {
        let (program, args) = command.split_first().ok_or_else(|| UserError::usage("the build is empty"))?;
        let mut command = Command::new(program);
        command.args(args).current_dir(directory).stdin(Stdio::null()).stdout(io::stderr());
        let child = command.process_group(0).spawn().map_err(|error| {
            UserError::unavailable(format!("cannot start {program}: {error}"))
                .help(format!("install {program}, or name another command: --build COMMAND"))
        })?;
        Ok(Self { child, has_ended: false })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.has_ended = true;
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(line: &str) -> Build {
        Build::start(&["sh", "-c", line].map(str::to_owned), Path::new("/")).expect("it starts")
    }

    #[tokio::test]
    async fn the_status_of_a_build_is_its_own() {
        assert_eq!(start("exit 3").wait().await.expect("a status").code(), Some(3));
        let error =
            Build::start(&["no-such-program".to_owned()], Path::new("/")).err().expect("none").to_string();
        assert!(error.contains("cannot start no-such-program"), "{error}");
    }

    #[test]
    fn what_a_build_has_started_ends_with_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let build = start(&format!("sleep 600 & echo $! > {}; wait", file.path().display()));
        let pid = loop {
            let text = std::fs::read_to_string(file.path()).expect("the file");
            if let Ok(pid) = text.trim().parse::<u32>() {
                break pid;
            }
            std::thread::sleep(POLL);
        };
        drop(build);
        // An orphan may remain as a zombie until process 1 has looked at it.
        let is_alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        for _ in 0..100 {
            if !is_alive() {
                return;
            }
            std::thread::sleep(POLL);
        }
        panic!("{pid} is still there");
    }
}
