//! A real PostgreSQL server for one test.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::guard::Guarded;
use crate::must;
use crate::wait::free_port;

/// The bound on its start.
const START_BOUND: Duration = Duration::from_secs(60);
/// The log line of a started server.
const READY: &str = "database system is ready to accept connections";
/// Starts the program in its arguments. Sockets of Kafka clients are inherited, and PostgreSQL, which counts them as its
/// own open files, does not start with hundreds of them.
const WITHOUT_INHERITED_FILES: &str = r#"
    for file in /proc/$$/fd/*; do
        number=${file##*/}
        if ((number > 2)); then exec {number}>&-; fi
    done
    exec "$0" "$@"
"#;
/// The directory of Debian with one directory per version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A database server in a temporary directory. Both are removed on drop.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    programs: PathBuf,
    port: u16,
    settings: &'static [&'static str],
    server: Option<Guarded>,
}

impl Postgres {
    /// Starts a server on a free port.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    #[track_caller]
    pub fn start() -> Self {
        must(Self::try_start(&["fsync=off", "shared_buffers=16MB"]))
    }

    /// Starts a server with the settings of a new installation, which makes commits durable, on a free port.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    #[track_caller]
    pub fn start_with_defaults() -> Self {
        must(Self::try_start(&[]))
    }

    /// The URL of its database, which is empty at first.
    pub fn url(&self) -> String {
        format!("postgres://host:hush@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it at once, like a crash. Committed data stays.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            must(server.signal("QUIT"));
            let ended = must(server.wait(START_BOUND));
            assert!(ended.is_some(), "PostgreSQL does not end; {}", self.log_file().display());
        }
    }

    /// Starts it again on its data and port.
    #[track_caller]
    pub fn start_again(&mut self) {
        must(self.launch());
    }

    fn try_start(settings: &'static [&'static str]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("testkit-postgres-{}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        if let Some(user) = user() {
            let given = Command::new("chown").arg(user).arg(&dir).status().context("starting chown")?;
            ensure!(given.success(), "{} cannot be given to {user}: {given}", dir.display());
        }
        Self { dir, programs: programs()?, port: free_port(), settings, server: None }.initialized()
    }

    fn initialized(mut self) -> Result<Self> {
        let initdb = self.programs.join("initdb");
        let data = self.data();
        let args = ["-U", "host", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
        let (program, before) = as_unprivileged(&initdb);
        let output = Command::new(program)
            .args(before)
            .args(args)
            .arg(data)
            .current_dir(&self.dir)
            .output()
            .with_context(|| format!("starting {}", initdb.display()))?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        self.launch()?;
        Ok(self)
    }

    fn launch(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let errors = log.try_clone()?;
        let before = self.log().matches(READY).count();
        let (program, given) = as_unprivileged(&self.programs.join("postgres"));
        let mut args = vec!["-c".to_owned(), WITHOUT_INHERITED_FILES.to_owned(), program];
        args.extend(given);
        args.extend(["-D".to_owned(), self.data().display().to_string()]);
        let sockets = format!("unix_socket_directories={}", self.dir.display());
        let port = format!("port={}", self.port);
        let settings = ["listen_addresses=127.0.0.1", &sockets, &port];
        args.extend(
            settings.iter().chain(self.settings).flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]),
        );
        let mut server = Guarded::spawn(OsStr::new("bash"), args, Some(&self.dir), |command| {
            command.current_dir(&self.dir).stdout(log).stderr(errors);
        })?;
        let end = Instant::now() + START_BOUND;
        while self.log().matches(READY).count() == before {
            if let Some(status) = server.try_wait()? {
                bail!("PostgreSQL ended at its start ({status}):\n{}", self.log());
            }
            ensure!(Instant::now() < end, "PostgreSQL did not start in {START_BOUND:?}:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
        self.server = Some(server);
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.signal("QUIT");
            let _ = server.wait(Duration::from_secs(10));
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The directory of `initdb` and `postgres`, in the newest version.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = versions.map(|version| version.path()).filter(|path| path.join("bin/initdb").is_file());
    let newest = found.max_by_key(|path| number(path));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let other = || std::env::split_paths(&path).find(|path| path.join("initdb").is_file());
    newest
        .map(|version| version.join("bin"))
        .or_else(other)
        .context("PostgreSQL is missing: run `scripts/setup test`, or apt-get install -y postgresql")
}

/// The user of the server if this process is root. PostgreSQL does not run as root.
fn user() -> Option<&'static str> {
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    Some(if users.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" })
}

/// A command that runs the program as this user.
fn as_unprivileged(program: &Path) -> (String, Vec<String>) {
    let program = program.display().to_string();
    match user() {
        None => (program, Vec::new()),
        Some(user) => {
            ("setpriv".to_owned(), vec![format!("--reuid={user}"), "--clear-groups".to_owned(), program])
        }
    }
}
