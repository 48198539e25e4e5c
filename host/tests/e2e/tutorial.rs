//! `docs/tutorial/first-plugin.md`, word for word: every command is run, and every output is compared. `…` stands for what
//! differs.

mod page;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{Kafka, Process, binary, eventually};

use self::page::{Block, blocks, matches};
use crate::support::{BOUND, SHUTDOWN};

/// A component is compiled with its dependencies.
const BUILD: Duration = Duration::from_secs(600);

/// A shell between whose commands directory and variables stay.
struct Shell {
    state: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Shell {
    fn new(name: &str, kafka: &Kafka) -> Self {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(format!("tutorial-{name}"));
        let _ = fs::remove_dir_all(&state);
        let (home, programs) = (state.join("work"), binary("host"));
        fs::create_dir_all(&home).expect("a directory");
        fs::write(state.join("cwd"), home.display().to_string()).expect("written");
        fs::write(state.join("exports"), "").expect("written");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
        let path = std::env::var("PATH").unwrap_or_default();
        let programs = programs.parent().expect("a directory").display();
        let variables = vec![
            ("PATH", format!("{programs}:{path}")),
            ("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap().to_owned()),
            ("HOST_LISTEN", free.to_string()),
            ("HOST_API", format!("http://{free}")),
            // Everything that the build needs is there.
            ("CARGO_NET_OFFLINE", "true".to_owned()),
            // In the project, and not with the host.
            ("CARGO_TARGET_DIR", "target".to_owned()),
        ];
        Self { state, variables }
    }

    /// The script for commands that follow those before.
    fn script(&self, commands: &str) -> String {
        let state = self.state.display();
        format!(
            "source {state}/exports; cd \"$(cat {state}/cwd)\"\n{commands}\nstatus=$?\npwd >{state}/cwd\n\
             export -p >{state}/exports\nexit $status\n"
        )
    }

    /// Runs commands and returns what they print.
    #[track_caller]
    fn run(&self, commands: &str, must_succeed: bool) -> String {
        let script =
            format!("exec 2>&1\n{}{}", if must_succeed { "set -e\n" } else { "" }, self.script(commands));
        let output = Command::new("bash")
            .args(["-c", &script])
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() || !must_succeed, "{commands}\n{text}");
        text
    }

    /// Starts a command that runs until it is stopped.
    fn start(&self, command: &str) -> Process {
        let script = self.script(&format!("exec {command}"));
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Process::start_with(Path::new("/bin/bash"), &["-c", &script], &variables)
    }
}

/// Follows the page in one language.
#[track_caller]
fn follow(language: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tutorial/first-plugin.md");
    let page = fs::read_to_string(page).expect("the tutorial");
    let kafka = Kafka::start();
    let shell = Shell::new(&language.to_lowercase(), &kafka);
    let mut host: Option<Process> = None;
    for block in blocks(&page, language) {
        match block {
            // Done before the test.
            Block::Commands(commands) if commands.contains("make build") => {}
            Block::Commands(commands) if commands.starts_with("host --plugin") => {
                let process = shell.start(&commands);
                process.wait_for(|line| line.starts_with("Ready in"), BUILD);
                host = Some(process);
            }
            Block::Commands(commands) => _ = shell.run(&commands, true),
            Block::Session(command, expected) => {
                let mut seen = String::new();
                // What the host stores is there a moment later.
                let run = || {
                    seen = shell.run(&command, false);
                    matches(&expected, &seen)
                };
                assert!(eventually_true(run), "$ {command}\n{seen}\nexpected:\n{expected}");
            }
            Block::Log(expected) => {
                let host = host.as_ref().expect("a host");
                host.wait_for(|line| matches(&expected, line), BOUND);
            }
            Block::Source(expected) => {
                let source = shell.run("cat src/lib.rs", true);
                assert!(source.starts_with(&expected), "the page and the template differ:\n{source}");
            }
        }
    }
    let mut host = host.expect("the page starts a host");
    eventually(BOUND, || kafka.lag("greeter-group", "greetings") == 0);
    host.terminate();
    assert_eq!(host.wait(SHUTDOWN).code(), Some(0));
    let configured = shell.run("host config show", true);
    assert!(configured.contains("greeter"), "{configured}");
}

/// From an empty directory to a message that is handled, by the commands that `host plugin new` prints and three of the
/// host's own.
#[track_caller]
fn first_message(language: &str, steps: &[&str], plugin: &str) {
    let kafka = Kafka::start();
    let shell = Shell::new(&format!("first-{language}"), &kafka);
    let new = format!("host plugin new hello --lang {language} --dir .");
    let printed = shell.run(&new, true);
    for step in steps {
        shell.run(step, true);
    }
    let set_up = steps.iter().filter(|step| !step.contains("build"));
    assert!(set_up.clone().all(|step| printed.contains(step)), "{printed}");
    let mut host = shell.start(&format!("host --plugin {plugin}"));
    host.wait_for(|line| line.starts_with("Ready in"), BUILD);
    shell.run(r#"echo '{"name": "Kim"}' | host produce greetings"#, true);
    host.wait_for(|line| line.contains("Hello, Kim!"), BOUND);
    eventually(BOUND, || kafka.lag("hello-group", "greetings") == 0);
    host.terminate();
    assert_eq!(host.wait(SHUTDOWN).code(), Some(0));
    assert!(steps.len() + 3 <= 5, "{language}: new, {steps:?}, host, produce");
}

#[test]
#[ignore = "compiles a project: make test runs it after the others"]
fn a_message_is_handled_after_five_commands_in_rust() {
    let build = ["cargo build --release --target wasm32-wasip2"];
    first_message("rust", &build, "target/wasm32-wasip2/release/hello.wasm");
}

#[test]
#[ignore = "needs npm"]
fn languages_a_message_is_handled_after_five_commands_in_javascript() {
    for language in ["ts", "js"] {
        first_message(language, &["npm ci", "npm run build"], "dist/hello.wasm");
    }
}

#[test]
#[ignore = "needs pip"]
fn languages_a_message_is_handled_after_five_commands_in_python() {
    let set_up = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
    let build = ".venv/bin/python -m kafka_host_plugin build app -o hello.wasm";
    first_message("python", &[set_up, build], "hello.wasm");
}

fn eventually_true(mut is_true: impl FnMut() -> bool) -> bool {
    (0..20).any(|turn| {
        std::thread::sleep(Duration::from_millis(if turn == 0 { 0 } else { 500 }));
        is_true()
    })
}

#[test]
#[ignore = "compiles a project: make test runs it after the others"]
fn the_tutorial_works_word_for_word_in_rust() {
    follow("Rust");
}

#[test]
#[ignore = "needs npm"]
fn languages_the_tutorial_works_word_for_word_in_typescript() {
    follow("TypeScript");
}

#[test]
#[ignore = "needs pip"]
fn languages_the_tutorial_works_word_for_word_in_python() {
    follow("Python");
}
