//! The programs that `bench run` compares: the host in several settings, or several builds of it, and Spring.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use testkit::{Boot, Kafka, Process, binary, free_port, plugin, spring_speed};

/// A setting to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Setting {
    /// The host, `isolation = "message"`, one message per call
    Message,
    /// The host, `isolation = "new-instance"`
    NewInstance,
    /// The host, `isolation = "instance"`, one message per call
    Instance,
    /// The host, `isolation = "message"`, up to 64 messages per call
    MessageBatch,
    /// The host, `isolation = "instance"`, up to 64 messages per call
    InstanceBatch,
    /// The host, `isolation = "message"`, one worker
    OneWorker,
    /// Spring Boot 3.5, `concurrency = 4`
    Boot3,
    /// Spring Boot 3.5, a batch listener, `concurrency = 4`
    Boot3Batch,
    /// Spring Boot 3.5, `concurrency = 1`
    Boot3One,
    /// Spring Boot 4.1, `concurrency = 4`
    Boot4,
    /// Spring Boot 4.1, a batch listener, `concurrency = 4`
    Boot4Batch,
    /// Spring Boot 4.1, `concurrency = 1`
    Boot4One,
}

/// A program to measure.
pub struct Candidate {
    pub name: String,
    program: Program,
}

enum Program {
    Host { file: PathBuf, config: PathBuf },
    Spring { boot: Boot, concurrency: u32, batch: bool },
}

/// The candidates for these settings. Several hosts are compared in those of the host. Configurations are written to
/// `dir`.
pub fn candidates(
    hosts: &[PathBuf],
    settings: &[Setting],
    guest: &str,
    dir: &Path,
) -> Result<Vec<Candidate>> {
    let built = [binary("host")];
    let hosts = if hosts.is_empty() { &built[..] } else { hosts };
    let mut candidates = Vec::new();
    for setting in settings {
        let Some((words, keys)) = host_keys(*setting) else {
            candidates.extend(spring(*setting));
            continue;
        };
        let config = dir.join(format!("{setting:?}.toml"));
        let text = format!("[[plugin]]\npath = {:?}\ntopic = {guest:?}\n{keys}", plugin(guest));
        std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        for file in hosts {
            let host = if hosts.len() > 1 { file.display().to_string() } else { "host".to_owned() };
            let program = Program::Host { file: file.clone(), config: config.clone() };
            candidates.push(Candidate { name: format!("{host}, {words}"), program });
        }
    }
    Ok(candidates)
}

fn host_keys(setting: Setting) -> Option<(&'static str, &'static str)> {
    Some(match setting {
        Setting::Message => {
            ("`isolation = \"message\"`, one message a call", "isolation = \"message\"\nmax-batch = 1\n")
        }
        Setting::NewInstance => ("`isolation = \"new-instance\"`", "isolation = \"new-instance\"\n"),
        Setting::Instance => {
            ("`isolation = \"instance\"`, one message a call", "isolation = \"instance\"\nmax-batch = 1\n")
        }
        Setting::MessageBatch => {
            ("`isolation = \"message\"`, batches of 64", "isolation = \"message\"\nmax-batch = 64\n")
        }
        Setting::InstanceBatch => {
            ("`isolation = \"instance\"`, batches of 64", "isolation = \"instance\"\nmax-batch = 64\n")
        }
        Setting::OneWorker => {
            ("`isolation = \"message\"`, one message a call, one worker", "max-batch = 1\nconcurrency = 1\n")
        }
        _ => return None,
    })
}

fn spring(setting: Setting) -> Option<Candidate> {
    let (boot, batch, concurrency) = match setting {
        Setting::Boot3 => (Boot::Three, false, 4),
        Setting::Boot3Batch => (Boot::Three, true, 4),
        Setting::Boot3One => (Boot::Three, false, 1),
        Setting::Boot4 => (Boot::Four, false, 4),
        Setting::Boot4Batch => (Boot::Four, true, 4),
        Setting::Boot4One => (Boot::Four, false, 1),
        _ => return None,
    };
    let version = match boot {
        Boot::Three => "3.5",
        Boot::Four => "4.1",
    };
    let listener = if batch { ", batch listener" } else { "" };
    let name = format!("Spring Boot {version}{listener}, `concurrency = {concurrency}`");
    Some(Candidate { name, program: Program::Spring { boot, concurrency, batch } })
}

impl Candidate {
    /// Starts it on the topic of this guest, in this group.
    pub fn start(&self, kafka: &Kafka, guest: &str, group: &str, host_args: &[String]) -> Result<Process> {
        match &self.program {
            Program::Host { file, config } => {
                let listen = format!("127.0.0.1:{}", free_port());
                let config = config.to_str().context("a path that is not UTF-8")?;
                let mut arguments =
                    vec!["--config", config, "--bootstrap-servers", kafka.bootstrap(), "--listen", &listen];
                arguments.extend(host_args.iter().map(String::as_str));
                Ok(Process::start_with(file, &arguments, &[]))
            }
            Program::Spring { boot, concurrency, batch } => Ok(spring_speed(
                *boot,
                &[
                    ("spring.kafka.bootstrap-servers", kafka.bootstrap()),
                    ("speed.topic", guest),
                    ("speed.group", group),
                    ("speed.concurrency", &concurrency.to_string()),
                    ("speed.batch", &batch.to_string()),
                ],
            )),
        }
    }

    /// Whether a process of it that was terminated ended well: by code 0, or by the one of Java after SIGTERM.
    pub fn ended_well(&self, status: std::process::ExitStatus) -> bool {
        match self.program {
            Program::Host { .. } => status.success(),
            Program::Spring { .. } => status.code() == Some(143),
        }
    }

    /// Whether it is Spring.
    pub fn is_spring(&self) -> bool {
        matches!(self.program, Program::Spring { .. })
    }
}
