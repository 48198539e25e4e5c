//! Apache Kafka 4.1.1, one node (KRaft), from Maven's jars.

mod client;
pub mod jars;
mod produce;
pub(crate) mod secured;
mod segments;

use std::collections::HashMap;
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

/// A start takes 2 to 5 s; much longer where many processes share few cores.
const START_BOUND: Duration = Duration::from_secs(120);
const STOP_BOUND: Duration = Duration::from_secs(60);
/// How often a start is tried with other ports.
const STARTS: u32 = 5;
const SETTINGS: &str = include_str!("../../kafka/server.properties");
/// Starts in half the time, at half the speed.
const QUICK_START: &[&str] = &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
const STARTED: &str = "Kafka Server started";

/// A broker of its own: killed on drop and when this process ends, its data removed. After a
/// panic the data stays, and its path is printed.
pub struct Kafka {
    dir: PathBuf,
    jars: PathBuf,
    bootstrap: String,
    /// For a listener that the settings may add.
    secured_port: u16,
    /// How large a file of the broker may become, where it has a bound; KiB.
    file_limit: Mutex<Option<u64>>,
    jvm: Vec<String>,
    server: Mutex<Option<Guarded>>,
    /// Clients that look at offsets, by group.
    clients: Mutex<HashMap<String, Arc<BaseConsumer>>>,
}

impl Kafka {
    /// Starts a broker.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a broker with more broker settings, e.g. `("num.partitions", "4")`.
    #[track_caller]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        must(Self::try_start(settings, QUICK_START))
    }

    /// Starts a broker that is slow to start and fast when it runs.
    #[track_caller]
    pub fn start_for_speed() -> Self {
        must(Self::try_start(&[], &[]))
    }

    /// One broker for all tests of this executable. Never kill or suspend it.
    #[track_caller]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| {
            let kafka = Self::start();
            let dir = kafka.dir.clone();
            // A static is never dropped, so it has to be told of a failing test in another way.
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

    /// `settings` is given the broker's directory and its ports: plain, controller, one to spare.
    fn try_start_with(
        jvm: &[&str],
        settings: impl Fn(&Path, u16, u16, u16) -> Result<String>,
    ) -> Result<Self> {
        let jars = jars::resolve()?;
        let mut failure = None;
        for _ in 0..STARTS {
            let kafka = Self::prepare(jars.clone(), &settings, jvm)?;
            match kafka.launch() {
                Ok(()) => return Ok(kafka),
                Err(error) if kafka.log().contains("Address already in use") => failure = Some(error),
                Err(error) => {
                    keep(&kafka.dir);
                    return Err(error);
                }
            }
        }
        Err(failure.context("no start was tried")?)
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
        // What a process of the same id left behind.
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
            clients: Mutex::new(HashMap::new()),
        })
    }

    /// Runs the broker on its directory until it answers.
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
            // The shell counts blocks of 512 bytes.
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

    /// Where settings, log and data lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// SIGKILL: what the broker acked is on disk or in the system's page cache, so it stays.
    #[track_caller]
    pub fn kill(&self) {
        if let Some(mut server) = self.server().take() {
            must(server.kill());
        }
    }

    /// SIGTERM, and waits for the end.
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

    /// SIGSTOP: connections stay open, nothing is answered.
    #[track_caller]
    pub fn suspend(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    #[track_caller]
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// From its next start on, no file of the broker's becomes larger than so many KiB: writing
    /// fails as on a full disk. None lifts the bound.
    pub fn limit_files(&self, kib: Option<u64>) {
        *self.file_limit.lock().unwrap_or_else(PoisonError::into_inner) = kib;
    }

    /// Whether the broker runs.
    #[track_caller]
    pub fn is_running(&self) -> bool {
        let mut server = self.server();
        let running = server.as_mut().is_some_and(|server| must(server.try_wait()).is_none());
        if !running {
            *server = None;
        }
        running
    }

    /// What the running broker has used.
    #[track_caller]
    pub fn usage(&self) -> Usage {
        Usage::of(self.server().as_ref().expect("a broker that runs").pid())
    }

    /// Runs one of Kafka's own command line classes and returns its standard output. `name` is
    /// `topics`, `groups`, `configs`, `console-producer`, `console-consumer`, `dump-log`,
    /// `delete-records`, `transactions`, `acls`, or a class; `--bootstrap-server` is for the caller to give.
    ///
    /// # Panics
    /// When it fails; shows what it printed.
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
        must(self.server().as_mut().expect("a broker that runs").signal(name));
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

/// Leaves the directory for a person to look at.
fn keep(dir: &Path) {
    let mark = dir.join("keep");
    if !mark.exists() && File::create(&mark).is_ok() {
        eprintln!("Kafka's log and data are kept in {}", dir.display());
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
