//! Runs `host plugin …` as a command.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testkit::binary;

use crate::support::file;

/// Runs the host in an empty directory, which must stay empty: no store is created.
#[track_caller]
pub fn host(name: &str, args: &[&str], input: &str) -> Output {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(format!("{name}.dir"));
    std::fs::create_dir_all(&directory).expect("a directory");
    let mut command = Command::new(binary("host"));
    command.args(args).current_dir(&directory).env("SECRET", "hush-hush");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the host starts");
    // A command with invalid arguments does not read its input.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the host ends");
    let left: Vec<_> = std::fs::read_dir(&directory).expect("the directory").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    let all = stdout(&output) + &stderr(&output);
    assert!(!all.contains("hush-hush") && !all.contains("panicked at host/"), "{all}");
    output
}

/// Standard output of the command.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Standard error of the command, without what it says about a compilation that takes long on a busy machine.
pub fn stderr(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !(line.starts_with("compiling ") && line.ends_with("…\n"))).collect()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A configuration with one plugin, whose topic is named after the file.
pub fn config(name: &str, plugin: &Path, more: &str) -> PathBuf {
    let entry = format!("[[plugin]]\npath = {plugin:?}\ntopic = \"{name}\"\n{more}\n");
    file(&format!("{name}.toml"), entry.as_bytes())
}
