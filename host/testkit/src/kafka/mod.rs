//! A real Apache Kafka 4.1.1: one node (KRaft), from the jars of Maven.

mod client;
pub(crate) mod cluster;
pub mod jars;
mod produce;
pub(crate) mod secured;
mod segments;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::consumer::BaseConsumer;
pub use segments::Record;

use crate::guard::Guarded;
use crate::must;
use crate::usage::Usage;
use crate::wait::free_port;

/// A start takes 2 to 5 s, and much longer on busy cores.
const START_BOUND: Duration = Duration::from_secs(120);
const STOP_BOUND: Duration = Duration::from_secs(60);
/// The number of starts with different ports.
const STARTS: u32 = 5;
const SETTINGS: &str = include_str!("../../kafka/server.properties");
/// The JVM starts in half the time and runs at half the speed.
const QUICK_START: &[&str] = &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
const STARTED: &str = "Kafka Server started";

/// A running broker. It is killed on drop and at the end of this process, and its data is removed. After a
/// panic the data stays, and its path is printed.
pub struct Kafka {
    dir: PathBuf,
    jars: PathBuf,
    bootstrap: String,
    /// The port of an additional listener.
    secured_port: u16,
    /// The bound on the size of a file of the broker, in KiB.
    file_limit: Mutex<Option<u64>>,
    jvm: Vec<String>,
    server: Mutex<Option<Guarded>>,
    /// Clients that query offsets, with their groups: the oldest one first.
    clients: Mutex<VecDeque<(String, Arc<BaseConsumer>)>>,
}

impl Kafka {
    /// Starts a broker.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a broker with additional settings, e.g. `("num.partitions", "4")`.
    #[track_caller]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        must(Self::try_start(settings, QUICK_START))
    }

    /// Starts a broker for benchmarks: it starts slowly and runs fast.
    #[track_caller]
    pub fn start_for_speed() -> Self {
        must(Self::try_start(&[], &[]))
    }

    /// The broker shared by all tests of this executable. It must not be killed or suspended.
    #[track_caller]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| {
            // It is never killed. With the session of those that are, a machine that stalls for 2 s fences it: records are
            // lost by whoever publishes them, and no topic can be created.
            let kafka = Self::start_with(&[("broker.session.timeout.ms", "60000")]);
            let dir = kafka.dir.clone();
            // A static is never dropped, so a panic hook keeps its data.
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                keep(&dir);
                hook(panic);
            }));
            kafka
        })
    }

    fn try_start(settings: &[(&str, &str)], jvm: &[&str]) -> Result<Self> {
        let text: String = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        Self::try_start_with(jvm, |_, _, _, _| Ok(text.clone()))
    }

    /// `settings` gets the directory of the broker and its ports: plain, controller, additional.
    fn try_start_with(
        jvm: &[&str],
        settings: impl Fn(&Path, u16, u16, u16) -> Result<String>,
    ) -> Result<Self> {
        Self::launch_new(&jars::resolve()?, jvm, settings)
    }

    fn launch_new(
        jars: &Path,
        jvm: &[&str],
        settings: impl Fn(&Path, u16, u16, u16) -> Result<String>,
    ) -> Result<Self> {
        let mut failure = None;
        for _ in 0..STARTS {
            let kafka = Self::prepare(jars.to_owned(), &settings, jvm)?;
            match kafka.launch() {
                Ok(()) => return Ok(kafka),
                Err(error) if kafka.log().contains("Address already in use") => failure = Some(error),
                Err(error) => {
                    keep(&kafka.dir);
                    return Err(error);
                }
            }
        }
        Err(failure.context("no start was attempted")?)
    }

    /// A directory with settings and a formatted log directory.
    fn prepare(
        jars: PathBuf,
        settings: impl Fn(&Path, u16, u16, u16) -> Result<String>,
        jvm: &[&str],
    ) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("testkit-kafka-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        // Left by an earlier process with the same id.
        let _ = fs::remove_dir_all(&dir);
        let data = dir.join("data");
        fs::create_dir_all(&data).with_context(|| format!("creating {}", data.display()))?;
        for file in ["meta.properties", "bootstrap.checkpoint"] {
            let from = jars.join("formatted").join(file);
            fs::copy(&from, data.join(file)).with_context(|| format!("copying {}", from.display()))?;
        }
        let (port, controller, secured_port) = (free_port(), free_port(), free_port());
        let mut text = SETTINGS.to_owned();
        text.push_str(&listeners(port, controller));
        text.push_str(&format!("log.dirs={}\n", data.display()));
        text.push_str(&settings(&dir, port, controller, secured_port)?);
        fs::write(dir.join("server.properties"), text)?;
        Ok(Self {
            dir,
            jars,
            bootstrap: format!("127.0.0.1:{port}"),
            secured_port,
            file_limit: Mutex::new(None),
            jvm: jvm.iter().map(|&flag| flag.to_owned()).collect(),
            server: Mutex::new(None),
            clients: Mutex::default(),
        })
    }

    /// Starts the broker on its directory and waits until it answers.
    fn launch(&self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let before = self.log().matches(STARTED).count();
        let mut server = self.java(log)?;
        let end = Instant::now() + START_BOUND;
        while self.log().matches(STARTED).count() == before {
            if let Some(status) = server.try_wait()? {
                bail!(
                    "Kafka ended at its start ({status}); {}:\n{}",
                    self.log_file().display(),
                    self.log_tail()
                );
            }
            if Instant::now() > end {
                let log = self.log_tail();
                bail!("Kafka did not start in {START_BOUND:?}; {}:\n{log}", self.log_file().display());
            }
            sleep(Duration::from_millis(20));
        }
        *self.server() = Some(server);
        Ok(())
    }

    fn java(&self, log: File) -> Result<Guarded> {
        let errors = log.try_clone()?;
        let mut args: Vec<String> = self.jvm.clone();
        args.push("-Xmx512m".to_owned());
        args.extend(jars::java_options(&self.jars, "info"));
        args.push("kafka.Kafka".to_owned());
        args.push(self.dir.join("server.properties").display().to_string());
        let mut program = jars::java();
        if let Some(limit) = *self.file_limit.lock().unwrap_or_else(PoisonError::into_inner) {
            // The unit of the shell is a block of 512 bytes.
            let limited = format!("ulimit -f {}; exec \"$0\" \"$@\"", limit * 2);
            args.splice(0..0, ["-c".to_owned(), limited, program]);
            program = "sh".to_owned();
        }
        Guarded::spawn(OsStr::new(&program), args, Some(&self.dir), |command| {
            command.current_dir(&self.dir).stdout(log).stderr(errors);
        })
    }

    /// `127.0.0.1:PORT`, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The directory of settings, log and data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sends SIGKILL. Acknowledged records stay, on disk or in the page cache.
    #[track_caller]
    pub fn kill(&self) {
        if let Some(mut server) = self.server().take() {
            must(server.kill());
        }
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn stop(&self) {
        if let Some(mut server) = self.server().take() {
            must(server.signal("TERM"));
            if must(server.wait(STOP_BOUND)).is_none() {
                keep(&self.dir);
                panic!("Kafka still runs {STOP_BOUND:?} after SIGTERM:\n{}", self.log_tail());
            }
        }
    }

    /// Starts a killed or stopped broker on its data and port.
    #[track_caller]
    pub fn start_again(&self) {
        assert!(self.server().is_none(), "this broker still runs: kill() or stop() it first");
        must(self.launch());
    }

    /// Stops the broker and starts it on its data and port.
    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Sends SIGSTOP. Connections stay open, and no request is answered.
    #[track_caller]
    pub fn suspend(&self) {
        self.signal("STOP");
    }

    /// Sends SIGCONT.
    #[track_caller]
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Bounds the size of the broker's files from its next start on. Writes beyond it fail as on a full disk.
    /// `None` removes the bound.
    pub fn limit_files(&self, kib: Option<u64>) {
        *self.file_limit.lock().unwrap_or_else(PoisonError::into_inner) = kib;
    }

    /// Whether the broker is running.
    #[track_caller]
    pub fn is_running(&self) -> bool {
        let mut server = self.server();
        let running = server.as_mut().is_some_and(|server| must(server.try_wait()).is_none());
        if !running {
            *server = None;
        }
        running
    }

    /// CPU time and memory of the running broker.
    #[track_caller]
    pub fn usage(&self) -> Usage {
        Usage::of(self.server().as_ref().expect("a running broker").pid())
    }

    /// Runs a command line tool of Kafka and returns its standard output. `name` is
    /// `topics`, `groups`, `configs`, `console-producer`, `console-consumer`, `dump-log`,
    /// `delete-records`, `transactions`, `acls`, or a class. The caller passes `--bootstrap-server`.
    ///
    /// # Panics
    /// The tool fails. The message shows its output.
    #[track_caller]
    pub fn cli(&self, name: &str, args: &[&str]) -> String {
        let mut command = Command::new(jars::java());
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1"]).args(jars::java_options(&self.jars, "error"));
        let output = must(command.arg(class(name)).args(args).output().context("starting java"));
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {args:?}: {}\n{stdout}{stderr}", output.status);
        stdout
    }

    #[track_caller]
    fn signal(&self, name: &str) {
        must(self.server().as_mut().expect("a running broker").signal(name));
    }

    fn server(&self) -> MutexGuard<'_, Option<Guarded>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if std::thread::panicking() {
            keep(&self.dir);
        }
        self.server().take();
        if !self.dir.join("keep").exists() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Keeps the directory for analysis.
fn keep(dir: &Path) {
    let mark = dir.join("keep");
    if !mark.exists() && File::create(&mark).is_ok() {
        eprintln!("log and data of Kafka are kept in {}", dir.display());
    }
}

fn listeners(port: u16, controller: u16) -> String {
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n"
    )
}

fn class(name: &str) -> &str {
    match name {
        "topics" => "org.apache.kafka.tools.TopicCommand",
        "groups" => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "acls" => "org.apache.kafka.tools.AclCommand",
        "configs" => "kafka.admin.ConfigCommand",
        "console-producer" => "org.apache.kafka.tools.ConsoleProducer",
        "console-consumer" => "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "dump-log" => "kafka.tools.DumpLogSegments",
        "delete-records" => "org.apache.kafka.tools.DeleteRecordsCommand",
        "transactions" => "org.apache.kafka.tools.TransactionsCommand",
        class => class,
    }
}
