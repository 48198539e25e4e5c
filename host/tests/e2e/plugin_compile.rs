//! `host plugin compile`: plugins in the cache before their first start.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use testkit::{binary, plugin};

use crate::plugin_command::{config, stderr, stdout, text};
use crate::support::file;

/// A cache that does not exist yet.
fn cache(name: &str) -> PathBuf {
    let path = file("cache.txt", b"").with_file_name(format!("cache-{name}"));
    let _ = fs::remove_dir_all(&path);
    path
}

#[track_caller]
fn host(args: &[&str], cache: &Path, code: i32) -> Output {
    let output = Command::new(binary("host")).args(args).env("HOST_CACHE", cache).output().expect("it runs");
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(&output), stderr(&output));
    output
}

/// The number of compiled modules and components.
fn compiled(cache: &Path) -> usize {
    written(cache).len()
}

/// When the compiled modules and components were written.
fn written(cache: &Path) -> Vec<SystemTime> {
    let Ok(entries) = fs::read_dir(cache) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| match (path.is_dir(), path.extension()) {
            (true, _) => written(&path),
            (false, None) => vec![fs::metadata(&path).and_then(|it| it.modified()).expect("its time")],
            // Statistics are kept beside what is compiled.
            (false, Some(_)) => Vec::new(),
        })
        .collect()
}

#[test]
fn a_host_finds_what_was_compiled() {
    let (email, cache) = (plugin("email"), cache("found"));
    let args = ["plugin", "compile", text(&email), "--cache", text(&cache)];
    let output = host(&args, Path::new("/nonexistent"), 0);
    assert!(stdout(&output).contains("compiled in "), "{}", stdout(&output));
    assert!(stderr(&output).contains(&format!("HOST_CACHE={}", text(&cache))), "{}", stderr(&output));
    let count = compiled(&cache);
    assert!(count > 0);
    let again = host(&["plugin", "compile", text(&email)], &cache, 0);
    assert!(stdout(&again).contains("was compiled already"), "{}", stdout(&again));
    // Neither the number of calls nor the memory of an instance changes what is compiled.
    let more = "allow = [\"mail\"]\nconcurrency = 7\nlimits.memory = \"256 MiB\"";
    let path = config("compiled", &email, more);
    host(&["config", "check", "--config", text(&path), "--bootstrap-servers", "127.0.0.1:1"], &cache, 0);
    assert_eq!(compiled(&cache), count);
    // Another isolation does.
    let path = config("compiled-as-it-is", &email, "isolation = \"instance\"");
    let output = host(&["plugin", "compile", text(&email), "--config", text(&path)], &cache, 0);
    assert!(stdout(&output).contains("compiled in "), "{}", stdout(&output));
}

#[test]
fn a_cache_that_others_can_write_to_is_an_error() {
    let cache = cache("open");
    fs::create_dir_all(&cache).expect("a directory");
    fs::set_permissions(&cache, Permissions::from_mode(0o777)).expect("permissions");
    let output = host(&["plugin", "compile", text(&plugin("email"))], &cache, 1);
    assert!(stderr(&output).contains("that only this user can write to"), "{}", stderr(&output));
    assert_eq!(compiled(&cache), 0);
    // It was no plugin that failed.
    let output = host(&["plugin", "compile", "/nowhere.wasm", "--cache", "/dev/null/x"], &cache, 1);
    assert!(stderr(&output).contains("/dev/null/x"), "{}", stderr(&output));
}

/// A component that takes long to compile, and is no plugin.
fn large(functions: usize) -> PathBuf {
    let function = format!(
        "(func (param i32) (result i32) local.get 0 {})",
        "local.get 0 i32.add i32.clz i32.popcnt ".repeat(150)
    );
    let text = format!("(component (core module {}))", function.repeat(functions));
    file("large.wasm", &wat::parse_str(text).expect("a component"))
}

#[test]
fn a_long_compilation_is_announced_once() {
    const BOUND: Duration = Duration::from_secs(20);
    let cache = cache("large");
    let said = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    // It is announced after a second. How much is compiled in that time is a matter of the machine.
    let mut sizes = std::iter::successors(Some(2_000), |functions| Some(functions * 2));
    let announced = |functions| {
        let (large, since) = (large(functions), Instant::now());
        let text = said(host(&["plugin", "inspect", text(&large)], &cache, 2));
        let count = text.matches("compiling large.wasm…").count();
        assert!(count == 1 || count == 0 && since.elapsed() < BOUND, "{functions}: {text}");
        (count == 1).then_some(large)
    };
    let large = sizes.find_map(announced).expect("a size");
    // It is in the cache then. How long that takes to read is a matter of the machine.
    let times = || {
        let mut times = written(&cache);
        times.sort();
        times
    };
    let before = times();
    assert!(!before.is_empty());
    host(&["plugin", "inspect", text(&large)], &cache, 2);
    assert_eq!(times(), before);
}
