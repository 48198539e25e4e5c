//! The jars of Kafka. Maven fetches them once into a cache that parallel tests share.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Kafka, SETTINGS, listeners};

const POM: &str = include_str!("../../kafka/pom.xml");
const LOGGING: &str = include_str!("../../kafka/log4j2.properties");
const HELP: &str = "run `make setup`";
/// The cluster id of all brokers, which never connect to each other.
const CLUSTER_ID: &str = "dGVzdGtpdC1rYWZrYS0wMA";

/// The directory with the jars, a logging configuration, a `formatted` log directory and an archive of classes:
/// `KAFKA_LIBS`, or `apache-kafka-4.1.1` in the cache of the user.
pub fn resolve() -> Result<PathBuf> {
    let dir = location()?;
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    }
    let lock = with_extension(&dir, "lock");
    let file = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
    file.lock().with_context(|| format!("locking {}", lock.display()))?;
    // Each step ends with a rename, so an existing directory is complete.
    if !dir.join(".ok").is_file() {
        fetch(&dir)?;
    }
    fs::write(dir.join("log4j2.properties"), LOGGING)?;
    if !dir.join("formatted").is_dir() {
        format(&dir)?;
    }
    if !archive(&dir).is_file() {
        archive_classes(&dir)?;
    }
    Ok(dir)
}

/// `java` of `JAVA_HOME`, or of the path.
pub fn java() -> String {
    std::env::var("JAVA_HOME").map_or_else(|_| "java".to_owned(), |home| format!("{home}/bin/java"))
}

/// The options of every class of Kafka. `level` is the level of log4j.
pub fn java_options(jars: &Path, level: &str) -> Vec<String> {
    let mut options = vec![
        format!("-Dkafka.loglevel={level}"),
        format!("-Dlog4j2.configurationFile={}", jars.join("log4j2.properties").display()),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
    ];
    let archive = archive(jars);
    if archive.is_file() {
        // Another JVM ignores it. A word about that would be among the output of a tool.
        options.extend([format!("-XX:SharedArchiveFile={}", archive.display()), "-Xlog:disable".to_owned()]);
    }
    options
}

fn archive(dir: &Path) -> PathBuf {
    dir.join("classes.jsa")
}

fn location() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("KAFKA_LIBS") {
        return Ok(dir);
    }
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache
        .context("neither KAFKA_LIBS nor HOME is set, so there is no directory for the jars of Kafka")?
        .join("apache-kafka-4.1.1"))
}

fn fetch(dir: &Path) -> Result<()> {
    let partial = with_extension(dir, "partial");
    let _ = fs::remove_dir_all(&partial);
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(&partial)?;
    let pom = partial.join("pom.xml");
    fs::write(&pom, POM)?;
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    command.arg(format!("-DoutputDirectory={}", partial.display())).arg("-DincludeScope=runtime");
    run(command, "mvn")?;
    fs::write(partial.join(".ok"), "")?;
    fs::rename(&partial, dir).with_context(|| format!("renaming {}", partial.display()))
}

/// Formats a log directory. This takes a JVM one or two seconds, and the result fits every broker.
fn format(dir: &Path) -> Result<()> {
    let partial = dir.join("formatted.partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)?;
    let settings = partial.join("format.properties");
    let text = format!("{SETTINGS}{}log.dirs={}\n", listeners(9092, 9093), partial.display());
    fs::write(&settings, text)?;
    let mut command = Command::new(java());
    command.args(java_options(dir, "error")).args(["kafka.tools.StorageTool", "format"]);
    command.args(["-t", CLUSTER_ID, "-c"]).arg(&settings);
    run(command, "java")?;
    fs::rename(&partial, dir.join("formatted")).with_context(|| format!("renaming {}", partial.display()))
}

/// Archives the loaded classes of a broker. With them a broker starts with half the CPU time.
fn archive_classes(dir: &Path) -> Result<()> {
    let partial = dir.join("classes.partial");
    let flag = format!("-XX:ArchiveClassesAtExit={}", partial.display());
    Kafka::launch_new(dir, &[&flag, "-XX:+UseSerialGC"], |_, _, _, _| Ok(String::new()))?.stop();
    if !partial.is_file() {
        // This JVM has no archive of its own classes to build on. It ignores an empty file.
        fs::write(&partial, "")?;
    }
    fs::rename(&partial, archive(dir)).with_context(|| format!("renaming {}", partial.display()))
}

/// Runs a command to its end. An error shows its output.
pub fn run(mut command: Command, name: &str) -> Result<()> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{name} is not installed; the tests need it: {HELP}")
        }
        Err(error) => return Err(error).with_context(|| format!("starting {name}")),
    };
    if !output.status.success() {
        let printed = [output.stdout, output.stderr].concat();
        bail!("{command:?}: {}; {HELP}\n{}", output.status, String::from_utf8_lossy(&printed));
    }
    Ok(())
}

/// The path of a file or directory with an extension appended.
pub fn with_extension(dir: &Path, extension: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{extension}"));
    dir.with_file_name(name)
}
