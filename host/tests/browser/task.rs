//! A shop and its mail server. The operator's task: the server refuses a template; at the end, nothing of it is left.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Kafka, Postfix, Process, Record, binary, eventually, plugin};

use crate::chromium::{BOUND, Browser, ENTER, Options};
use crate::keyboard::{press, tab_to};

/// E-mails with the template, and others.
const REFUSED: usize = 12;
const OTHERS: usize = 20;
/// What an operator has for it.
const CLICKS: u32 = 12;

/// A host that sends e-mail through a real Postfix, which refuses invoices.
struct Shop {
    kafka: Kafka,
    postfix: Postfix,
    process: Process,
    url: String,
    directory: PathBuf,
}

impl Shop {
    fn start(name: &str) -> Self {
        let (kafka, postfix) = (Kafka::start(), Postfix::start());
        postfix.refuse_subjects("Invoice");
        kafka.create_topic("email", 2, &[]);
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("task-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join("host.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[kafka]\nbootstrap-servers = {:?}\n[store]\nurl = \"sqlite:{}/host.db\"\n[mail]\nurl = {:?}\nca = {:?}\n[[plugin]]\npath = {:?}\ntopic = \"email\"\nallow = [\"mail\"]\n",
            kafka.bootstrap(),
            directory.display(),
            postfix.starttls(),
            postfix.ca(),
            plugin("email"),
        );
        std::fs::write(&file, text).expect("written");
        let process = Process::start("host", &["--config", &file.display().to_string()]);
        process.wait_for(|line| line.starts_with("Ready in"), BOUND);
        let line = process.wait_for(|line| line.contains("  console  http://"), BOUND);
        let url = line.split_whitespace().last().expect("a URL").trim_end_matches('/').to_owned();
        kafka.produce("email", (0..REFUSED + OTHERS).map(email));
        let shop = Self { kafka, postfix, process, url, directory };
        eventually(BOUND, || shop.postfix.count() == OTHERS && shop.open() == REFUSED);
        shop
    }

    /// The number of open dead letters.
    fn open(&self) -> usize {
        let count = self.host(&["dlt", "list", "--state", "open", "-o", "json"], &Cell::new(0));
        count.matches("\"state\":").count()
    }

    /// Host and port of the mail server.
    fn server(&self) -> String {
        let url = self.postfix.starttls();
        url.rsplit('@').next().and_then(|rest| rest.split('?').next()).expect("host and port").to_owned()
    }

    /// The server takes invoices again.
    fn mend(&self) {
        self.postfix.refuse_no_subjects();
    }

    /// Every e-mail was delivered once.
    fn ends_well(self, way: &str, started: Instant, clicks: u32) {
        let took = started.elapsed();
        eventually(BOUND, || self.postfix.count() == REFUSED + OTHERS);
        let mut recipients: Vec<String> = self.postfix.mails().iter().map(|mail| recipient(mail)).collect();
        recipients.sort();
        recipients.dedup();
        assert_eq!((self.postfix.count(), recipients.len()), (REFUSED + OTHERS, REFUSED + OTHERS));
        assert!(clicks <= CLICKS, "{clicks} clicks");
        println!("{way}: {clicks} clicks or commands, {:.1} s", took.as_secs_f64());
        self.stops();
    }

    fn stops(mut self) {
        self.process.terminate();
        assert_eq!(self.process.wait(Duration::from_secs(40)).code(), Some(0));
        let _ = std::fs::remove_dir_all(&self.directory);
    }

    /// Standard output of a command that must succeed.
    fn host(&self, args: &[&str], count: &Cell<u32>) -> String {
        count.set(count.get() + 1);
        let output =
            Command::new(binary("host")).args(args).env("HOST_API", &self.url).env("USER", "kim").output();
        let output = output.expect("the exit of the command");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// The first ones are refused.
fn email(number: usize) -> Record {
    let subject = if number < REFUSED { "Invoice" } else { "Welcome" };
    Record::new(format!(
        r#"{{"from":"shop@example.com","to":"c{number}@example.com","subject":"{subject} {number}","body":"Hi"}}"#
    ))
    .with_key(format!("c{number}"))
}

fn recipient(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail).into_owned();
    let line = text.lines().find(|line| line.starts_with("To: "));
    line.unwrap_or_else(|| panic!("no recipient: {text}")).to_owned()
}

#[test]
fn a_refused_template_is_mended_with_a_mouse() {
    let shop = Shop::start("mouse");
    let browser = Browser::start(Options::default());
    let started = Instant::now();
    browser.goto(&shop.url);
    browser.reads("smtp-550");
    browser.reads(&format!("Open {REFUSED}"));
    browser.click("smtp-550");
    browser.reads("unsubscribe link is missing");
    shop.mend();
    browser.click("Replay");
    browser.reads(&format!("{REFUSED} dead letters"));
    browser.fill("#reason", "the server takes the template now");
    browser.click("Start replay");
    browser.reads("All dead letters were sent and have an outcome.");
    browser.click("Overview");
    browser.reads("No open failures");
    let clicks = browser.clicks();
    browser.close();
    shop.ends_well("mouse", started, clicks);
}

#[test]
fn a_refused_template_is_mended_with_a_keyboard() {
    let shop = Shop::start("keyboard");
    let browser = Browser::start(Options::default());
    let started = Instant::now();
    browser.goto(&shop.url);
    browser.reads("smtp-550");
    tab_to(&browser, "smtp-550");
    press(&browser, ENTER);
    browser.reads("unsubscribe link is missing");
    shop.mend();
    tab_to(&browser, "Replay");
    press(&browser, ENTER);
    browser.reads(&format!("{REFUSED} dead letters"));
    tab_to(&browser, "reason");
    browser.keys("the server takes the template now");
    press(&browser, ENTER);
    browser.reads("All dead letters were sent and have an outcome.");
    browser.keys("go");
    browser.reads("No open failures");
    assert_eq!(browser.clicks(), 0);
    browser.close();
    shop.ends_well("keyboard", started, 0);
}

#[test]
fn a_refused_template_is_mended_with_commands() {
    let shop = Shop::start("commands");
    let started = Instant::now();
    let count = Cell::new(0);
    let failures = shop.host(&["dlt", "failures"], &count);
    let line = failures.lines().find(|line| line.contains("smtp-550"));
    let id = line.and_then(|line| line.split_whitespace().next());
    let id = id.unwrap_or_else(|| panic!("no failure: {failures}"));
    assert!(failures.contains("unsubscribe link is missing"), "{failures}");
    shop.mend();
    let reason = "the server takes the template now";
    // Its exit code is 1 if a dead letter fails again.
    shop.host(&["dlt", "replay", "--failure", id, "--reason", reason, "--yes"], &count);
    let failures = shop.host(&["dlt", "failures"], &count);
    assert!(!failures.contains("smtp-550"), "{failures}");
    shop.ends_well("commands", started, count.get());
}

#[test]
fn a_trial_does_not_promise_what_the_server_decides() {
    let shop = Shop::start("trial");
    let browser = Browser::start(Options::default());
    browser.goto(&format!("{}/try?code=smtp-550", shop.url));
    browser.find("#build").send_keys(&plugin("email").display().to_string());
    browser.click("Start trial");
    browser.reads(&format!("Passed 0 / {REFUSED}"));
    browser.reads(&format!("Would send; the destination decides {REFUSED}"));
    browser.find("a.button[href^='/replay?trial=']");
    assert!(!browser.text().contains("Replay what passed"), "{}", browser.text());
    browser.close();
    assert_eq!((shop.postfix.count(), shop.open()), (OTHERS, REFUSED), "a trial sends nothing");
    shop.stops();
}

#[test]
fn an_outage_of_the_mail_server_is_seen_while_its_messages_wait() {
    const MORE: usize = 30;
    let shop = Shop::start("outage");
    let browser = Browser::start(Options::default());
    browser.goto(&shop.url);
    browser.reads("smtp-550");
    shop.postfix.stop();
    shop.kafka.produce("email", (REFUSED..REFUSED + MORE).map(email));
    // The page is not reloaded: the server by name, its state, and the messages that wait.
    let down = "return document.querySelector('#health .troubles li.down')?.innerText ?? ''";
    eventually(BOUND, || {
        let text = browser.run(down).as_str().unwrap_or_default().to_owned();
        text.contains(&shop.server()) && text.contains("down") && text.contains(" waiting")
    });
    assert_eq!(shop.open(), REFUSED, "none of them fails");
    shop.postfix.start_again();
    eventually(BOUND, || shop.postfix.count() == OTHERS + MORE && browser.run(down) == "");
    assert_eq!(shop.open(), REFUSED);
    browser.close();
    shop.stops();
}
