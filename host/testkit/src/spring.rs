//! Real Spring Boot applications for the tests and a benchmark. Maven builds them once per version of their
//! sources.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::kafka::jars::{self, with_extension};
use crate::must;
use crate::process::{Process, profile_dir};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/spring");
/// The JVM starts in half the time and uses less CPU than the code under test.
const JVM: [&str; 3] = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

/// A release line of Spring Boot. Each has its own version of spring-kafka and its own retry library.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Boot {
    /// Version 3.5, with spring-retry.
    Three,
    /// Version 4.1, with the retry of Spring itself.
    Four,
}

/// The applications of `host/tests/spring`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Application {
    /// The consumer of the tests.
    Interop,
    /// The e-mail sender of `bench mail`.
    Mail,
    /// The listener of `bench run`.
    Speed,
}

/// Starts the consumer of `host/tests/spring` on this release line, with these properties.
///
/// # Panics
/// Maven cannot build it. The message shows the output of Maven.
#[track_caller]
pub fn spring(boot: Boot, properties: &[(&str, &str)]) -> Process {
    start(Application::Interop, boot, &JVM, properties)
}

/// Starts the application that sends e-mails with `JavaMailSender`, with the default JVM flags of a server.
///
/// # Panics
/// Maven cannot build it. The message shows the output of Maven.
#[track_caller]
pub fn spring_mail(boot: Boot, properties: &[(&str, &str)]) -> Process {
    start(Application::Mail, boot, &[], properties)
}

/// Starts the application that reads JSON, with the default JVM flags of a server.
///
/// # Panics
/// Maven cannot build it. The message shows the output of Maven.
#[track_caller]
pub fn spring_speed(boot: Boot, properties: &[(&str, &str)]) -> Process {
    start(Application::Speed, boot, &[], properties)
}

#[track_caller]
fn start(application: Application, boot: Boot, jvm: &[&str], properties: &[(&str, &str)]) -> Process {
    let jar = must(resolve(application, boot).context("building host/tests/spring"));
    let jar = jar.display().to_string();
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("--{key}={value}")).collect();
    let mut args = jvm.to_vec();
    args.extend(["-jar", &jar]);
    args.extend(properties.iter().map(String::as_str));
    Process::start_with(Path::new(&jars::java()), &args, &[])
}

/// The jar, in a build directory named after the sources, the application and the release line.
fn resolve(application: Application, boot: Boot) -> Result<PathBuf> {
    let sources = files(Path::new(SOURCES))?;
    let mut hasher = DefaultHasher::new();
    (application, boot, &sources).hash(&mut hasher);
    let dir = profile_dir()?.join("spring").join(format!("{:016x}", hasher.finish()));
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    // Parallel tests share one build.
    let lock = with_extension(&dir, "lock");
    let file = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
    file.lock().with_context(|| format!("locking {}", lock.display()))?;
    let jar = dir.join("spring-consumer.jar");
    if !jar.is_file() {
        build(&dir, &sources, application, boot)?;
        // The rename comes last, so an existing directory is complete.
        fs::rename(dir.join("build/target/spring-consumer.jar"), &jar)
            .with_context(|| format!("renaming {}", jar.display()))?;
        fs::remove_dir_all(dir.join("build"))?;
    }
    Ok(jar)
}

/// Builds a copy, so that no file is written to the sources.
fn build(dir: &Path, sources: &[(PathBuf, Vec<u8>)], application: Application, boot: Boot) -> Result<()> {
    let copy = dir.join("build");
    let _ = fs::remove_dir_all(&copy);
    for (name, bytes) in sources {
        let path = copy.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&copy))?;
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-f"]).arg(copy.join("pom.xml")).arg("package");
    if boot == Boot::Four {
        command.arg("-Pboot4");
    }
    match application {
        Application::Interop => {}
        Application::Mail => _ = command.arg("-Pmail"),
        Application::Speed => _ = command.arg("-Pspeed"),
    }
    jars::run(command, "mvn")
}

/// Every file below a directory: its relative path and its bytes.
fn files(root: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                // Left by a manual build with Maven.
                open.extend((!path.ends_with("target")).then_some(path));
            } else {
                found.push((path.strip_prefix(root)?.to_owned(), fs::read(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}
