//! `bench mail`: e-mails per second to a local sink with TLS, from the host and from JavaMailSender of
//! Spring.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use testkit::{Boot, Kafka, Process, Usage, binary, certificate, plugin, spring_mail};

use crate::load;
use crate::retries::{PARTITIONS, conditions};
use crate::sink::{Counts, Sink};
use crate::spread::spread;

const TOPIC: &str = "email.send";
const GROUP: &str = "email-send-group";
const POLL: Duration = Duration::from_millis(5);
/// The bound on the wait for the next e-mail. The first one includes the start of a JVM and a group.
const STALLED: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(60);
/// The time after the last e-mail in which another one is an error.
const AFTER: Duration = Duration::from_secs(1);
/// The exit code of Java after SIGTERM.
const SPRING_STOPPED: i32 = 143;
const MEASURED: &str = "\
The rate is the sink's: e-mails between the first one and the last. CPU and memory are those of the
process: user and system time between these two, VmHWM at the end. sink CPU is this program's, whose
threads are the sink; the broker and it run on the same cores. Everything waits in the topic at first.
A run fails unless the sink took each e-mail exactly once, over STARTTLS, and the group has committed
all of them. host: its store is a new SQLite file for each run. Spring: @KafkaListener, JavaMailSender
and no flag for the JVM; each: send(message) for each record, which opens and closes a connection each
time, as JavaMailSender does; batch: a batch listener and send(messages...) for what a poll brought,
500 at most, over one connection. Both sides log a line for each e-mail.";

/// Arguments of `bench mail`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of e-mails
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// Number of runs of each sender
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The senders to measure
    #[arg(long, value_enum, value_delimiter = ',', default_value = "host,each-1,each-4,batch-4")]
    only: Vec<Sender>,
    /// Spring Boot 4.1 instead of 3.5
    #[arg(long)]
    boot4: bool,
    /// The host to measure instead of the built one
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// Further arguments of the host, after --
    #[arg(last = true)]
    host_args: Vec<String>,
}

/// The senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sender {
    /// The host with the plugin `email`
    Host,
    /// Spring, one connection per e-mail, concurrency 1
    #[value(name = "each-1")]
    EachOne,
    /// Spring, one connection per e-mail, concurrency 4
    #[value(name = "each-4")]
    EachFour,
    /// Spring, one connection per batch, concurrency 4
    #[value(name = "batch-4")]
    BatchFour,
}

/// The figures of one run.
struct Figures {
    counts: Counts,
    /// From the first e-mail to the last.
    cpu: Duration,
    sink_cpu: Duration,
    peak_rss: u64,
}

struct Setup<'a> {
    args: &'a Args,
    kafka: Kafka,
    sink: Sink,
    /// The authority of the certificate of the sink.
    ca: String,
}

/// Runs the benchmark and prints its table.
///
/// # Errors
/// An e-mail is missing or duplicated, or a process ended.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.runs > 0 && args.count > 1, "nothing to measure: --runs starts at 1, --count at 2");
    let kafka = Kafka::start_for_speed();
    let tls = kafka.dir().join("tls");
    std::fs::create_dir(&tls).with_context(|| format!("creating {}", tls.display()))?;
    certificate(&tls);
    let setup = Setup { args, sink: Sink::start(&tls)?, ca: tls.join("ca.pem").display().to_string(), kafka };
    setup.kafka.create_topic(TOPIC, PARTITIONS, &[]);
    load::run(&load::Args {
        bootstrap_servers: setup.kafka.bootstrap().to_owned(),
        topic: TOPIC.to_owned(),
        messages: args.count,
        no_headers: false,
    })?;
    let mut all: Vec<(Sender, Vec<Figures>)> = args.only.iter().map(|&sender| (sender, vec![])).collect();
    for number in 1..=args.runs {
        for (sender, runs) in &mut all {
            let name = setup.name(*sender);
            let figures = setup.measure(*sender, number).with_context(|| format!("{name}, run {number}"))?;
            println!("run {number} {name}: {}", setup.line(&figures));
            runs.push(figures);
        }
    }
    setup.table(&all);
    Ok(())
}

impl Setup<'_> {
    fn measure(&self, sender: Sender, number: usize) -> Result<Figures> {
        self.kafka.delete_group(GROUP);
        self.sink.reset();
        let mut process = match sender {
            Sender::Host => self.host(number)?,
            Sender::EachOne => self.spring(false, 1),
            Sender::EachFour => self.spring(false, 4),
            Sender::BatchFour => self.spring(true, 4),
        };
        let (begun, end) = self.watch(&mut process)?;
        sleep(AFTER);
        let status = stop(&mut process);
        let ended_well = match sender {
            Sender::Host => status.success(),
            _ => status.code() == Some(SPRING_STOPPED),
        };
        ensure!(ended_well, "after SIGTERM it ended with {status}:\n{}", process.lines().join("\n"));
        let counts = self.sink.counts();
        let Counts { mails, recipients, .. } = counts;
        let expected = self.args.count;
        ensure!(
            mails == expected && recipients == expected,
            "the sink got {mails} e-mails to {recipients} recipients instead of {expected} to as many"
        );
        let lag = self.kafka.lag(GROUP, TOPIC);
        ensure!(lag == 0, "{lag} messages are not committed");
        let ((used, sink), (used_at_end, sink_at_end)) = (begun, end);
        Ok(Figures {
            counts,
            cpu: used_at_end.cpu - used.cpu,
            sink_cpu: sink_at_end.cpu - sink.cpu,
            peak_rss: used_at_end.peak_rss,
        })
    }

    /// The usage of the process and of this process, at the first e-mail and at the last.
    fn watch(&self, process: &mut Process) -> Result<((Usage, Usage), (Usage, Usage))> {
        let (mut begun, mut before, mut since) = (None, 0, Instant::now());
        loop {
            let mails = self.sink.counts().mails;
            if mails > before {
                (before, since) = (mails, Instant::now());
            }
            if begun.is_none() && mails > 0 {
                begun = Some((process.usage(), Usage::own()));
            }
            if let (Some(begun), true) = (begun, mails >= self.args.count) {
                return Ok((begun, (process.usage(), Usage::own())));
            }
            if !process.is_running() || since.elapsed() > STALLED {
                let (lines, count) = (process.lines(), self.args.count);
                let last = &lines[lines.len().saturating_sub(60)..];
                bail!("the sink got {mails} of {count} e-mails, then:\n{}", last.join("\n"));
            }
            sleep(POLL);
        }
    }

    fn host(&self, number: usize) -> Result<Process> {
        let directory = self.kafka.dir();
        let config = directory.join("host.toml");
        let text = format!(
            "[mail]\nurl = \"smtp://localhost:{}?tls=required\"\nca = \"{}\"\n\
             [store]\nurl = \"sqlite:{}\"\n\
             [[plugin]]\npath = \"{}\"\ntopic = \"{TOPIC}\"\nallow = [\"mail\"]\n",
            self.sink.port(),
            self.ca,
            directory.join(format!("host-{number}.db")).display(),
            plugin("email").display()
        );
        std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let config = config.to_str().context("the path of host.toml is not UTF-8")?;
        let mut args = vec!["--config", config, "--bootstrap-servers", self.kafka.bootstrap()];
        args.extend(["--listen", "127.0.0.1:0"]);
        args.extend(self.args.host_args.iter().map(String::as_str));
        let host = self.args.host.clone().unwrap_or_else(|| binary("host"));
        Ok(Process::start_with(Path::new(&host), &args, &[]))
    }

    fn spring(&self, batch: bool, concurrency: u32) -> Process {
        spring_mail(
            self.boot(),
            &[
                ("spring.kafka.bootstrap-servers", self.kafka.bootstrap()),
                ("mail.topic", TOPIC),
                ("mail.group", GROUP),
                ("mail.batch", &batch.to_string()),
                ("mail.concurrency", &concurrency.to_string()),
                ("spring.mail.host", "localhost"),
                ("spring.mail.port", &self.sink.port().to_string()),
                ("spring.mail.properties.mail.smtp.starttls.enable", "true"),
                ("spring.mail.properties.mail.smtp.starttls.required", "true"),
                ("spring.ssl.bundle.pem.sink.truststore.certificate", &format!("file:{}", self.ca)),
                ("spring.mail.ssl.bundle", "sink"),
                // An SSL bundle on its own means SMTPS.
                ("spring.mail.ssl.enabled", "false"),
            ],
        )
    }

    fn boot(&self) -> Boot {
        if self.args.boot4 { Boot::Four } else { Boot::Three }
    }

    fn name(&self, sender: Sender) -> String {
        let spring = match self.boot() {
            Boot::Three => "Spring Boot 3.5",
            Boot::Four => "Spring Boot 4.1",
        };
        match sender {
            Sender::Host => "host".to_owned(),
            Sender::EachOne => format!("{spring}, each, `concurrency = 1`"),
            Sender::EachFour => format!("{spring}, each, `concurrency = 4`"),
            Sender::BatchFour => format!("{spring}, batch, `concurrency = 4`"),
        }
    }

    fn line(&self, figures: &Figures) -> String {
        format!(
            "{:.0}/s  CPU {:.0} µs an e-mail  sink CPU {:.0} µs  peak {:.0} MiB  {} connections",
            figures.rate(),
            self.per_mail(figures.cpu),
            self.per_mail(figures.sink_cpu),
            mib(figures),
            figures.counts.connections
        )
    }

    fn table(&self, all: &[(Sender, Vec<Figures>)]) {
        let (count, runs) = (self.args.count, self.args.runs);
        println!(
            "\n{count} e-mails, {runs} runs each, alternating: median (min–max). {}.\n",
            conditions(PARTITIONS)
        );
        println!(
            "| | e-mails/s | CPU µs an e-mail | sink CPU µs an e-mail | peak memory MiB | connections | e-mails taken |"
        );
        println!("|---|---|---|---|---|---|---|");
        for (sender, runs) in all {
            println!(
                "| {} | {} | {} | {} | {} | {} | {} |",
                self.name(*sender),
                spread(runs, Figures::rate, 0),
                spread(runs, |run| self.per_mail(run.cpu), 0),
                spread(runs, |run| self.per_mail(run.sink_cpu), 0),
                spread(runs, mib, 0),
                spread(runs, |run| run.counts.connections as f64, 0),
                spread(runs, |run| run.counts.mails as f64, 0),
            );
        }
        println!("\n{MEASURED}");
    }

    /// CPU time per e-mail, in microseconds.
    fn per_mail(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.args.count as f64
    }
}

impl Figures {
    /// E-mails per second.
    fn rate(&self) -> f64 {
        (self.counts.mails - 1) as f64 / self.counts.took.as_secs_f64()
    }
}

fn mib(figures: &Figures) -> f64 {
    figures.peak_rss as f64 / 1024.0 / 1024.0
}

fn stop(process: &mut Process) -> ExitStatus {
    process.terminate();
    process.wait(STOP)
}
