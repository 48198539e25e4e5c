//! One line in [`super::super::ALL`] registers a capability: everything else follows.

use std::path::Path;

use contract::{Message, Outcome};
use effects::Effects;
use settings::{File, PluginSettings, reference};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;
use crate::Plugin;
use crate::call::Services;
use crate::capabilities;
use crate::capture::{Capture, CapturedCall};
use crate::cause::Cause;
use crate::file::PluginFile;
use crate::output::{At, Place};
use engine::Engines;

const WIT: &str = "package test:ping@1.0.0;
    interface ping { ping: func(to: string) -> result<_, string>; }
    world plugin { import ping; include kafka-host:plugin/handler-only@0.2.0; }";

fn component() -> Vec<u8> {
    let mut module = wat::parse_str(include_str!("plugin.wat")).expect("a module");
    let mut contract = Resolve::default();
    contract.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).expect("the contract");
    let package = contract.push_str("ping.wit", WIT).expect("an interface");
    let world = contract.select_world(&[package], Some("plugin")).expect("a world");
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).expect("metadata");
    let encoder = ComponentEncoder::default();
    let mut encoder = encoder.module(&module).expect("a module of the contract");
    encoder.encode().expect("a component")
}

/// A `[[plugin]]` with these lines.
fn settings(lines: &str) -> PluginSettings {
    let text = format!("[[plugin]]\npath = \"a\"\ntopic = \"a\"\n{lines}");
    File::parse(&text, &capabilities::extensions()).expect(lines).plugins.remove(0)
}

async fn load(lines: &str, outside: Outside) -> Plugin {
    let engines = Engines::with_cache(1, 1 << 20, None).expect("engines");
    let file = PluginFile::from_bytes(Path::new("ping.wasm"), &component(), &engines).expect("a component");
    let settings = settings(lines);
    Plugin::load(file, |_| Some(&settings), outside).await.expect("a plugin").plugin
}

async fn call(plugin: &Plugin, at: At) -> Result<Outcome, Cause> {
    let message = Message {
        id: "1",
        topic: "a",
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: None,
        value: None,
        headers: Vec::new(),
        attempt: 1,
        max_attempts: 1,
    };
    let place = Place { plugin: Arc::clone(&plugin.name), at };
    plugin.handle("group", message, place, std::future::pending::<()>).await
}

async fn dry(lines: &str) -> (Result<Outcome, Cause>, CapturedCall) {
    let plugin = load(lines, Outside::Captured(Arc::default())).await;
    let capture = Arc::new(Capture::default());
    (call(&plugin, At::Captured(Arc::clone(&capture))).await, capture.take())
}

#[tokio::test]
async fn a_dry_run_captures_its_effects() {
    let (outcome, seen) = dry("allow = [\"ping\"]\n[plugin.ping]\nto = \"two\"").await;
    assert_eq!(outcome, Ok(Outcome::Done(String::new())));
    let [captured] = &seen.effects[..] else { panic!("{seen:?}") };
    assert_eq!((captured.lines(), captured.summary()), (vec!["ping to two".to_owned()], "ping".to_owned()));
    assert!(captured.get::<Pinged>().is_some());
}

#[tokio::test]
async fn it_is_denied_without_its_word() {
    let (outcome, seen) = dry("").await;
    let Ok(Outcome::Reject(failure)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((&failure.detail[..], seen.effects.len()), ("not granted", 0));
}

#[tokio::test]
async fn its_limit_ends_a_call() {
    let (outcome, _) = dry("allow = [\"ping\"]\nlimits.ping = \"2 B\"").await;
    let cause = outcome.expect_err("too large");
    assert_eq!((&cause.code[..], &cause.detail[..]), ("ping-too-large", "a ping has more than 2 B"));
}

#[tokio::test]
async fn it_performs_effects_and_is_in_the_summary() {
    let effects = || Effects::new(tokio::runtime::Handle::current());
    let sent = Sent::default();
    let services = Services::new(effects()).with(Some(Arc::clone(&sent)));
    let plugin = load("allow = [\"ping\"]", Outside::Sent(Arc::new(services))).await;
    call(&plugin, At::Nowhere).await.expect("an outcome");
    assert!(plugin.has_effects() && sent.lock()[0].starts_with("one "), "{:?}", sent.lock());
    assert_eq!(plugin.permissions(), "may ping");
    let plugin = load("", Outside::Sent(Arc::new(Services::new(effects())))).await;
    assert!(!plugin.has_effects() && plugin.permissions().starts_with("ping is not granted"));
}

#[test]
fn its_settings_are_in_the_reference_and_checked() {
    let page = reference::markdown(&capabilities::extensions());
    for part in ["`ping`: sending pings.", "## `[plugin.ping]`", "(`ping-too-large`)"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for (lines, expected) in [
        ("[plugin.pnig]\nto = \"a\"", "did you mean ping?"),
        ("[plugin.ping]\nat = \"a\"", "expected `to`"),
        (
            "allow = [\"pong\"]",
            "`mail`, a URL, `network:CIDR`, `produce:TOPIC`, `ping`, `env:NAME` or `dir:PATH`",
        ),
    ] {
        let text = format!("[[plugin]]\npath = \"a\"\ntopic = \"a\"\n{lines}");
        let error = File::parse(&text, &capabilities::extensions()).expect_err(lines).to_string();
        assert!(error.contains(expected) && error.contains("line "), "{error}");
    }
}

#[test]
fn capabilities_do_not_share_names() {
    let all = capabilities::ALL;
    let mut keys: Vec<&str> =
        all.iter().flat_map(|it| it.settings().section.as_ref()).map(|it| it.key).collect();
    let mut names: Vec<&str> = all.iter().map(|it| it.name()).collect();
    let mut limits: Vec<&str> = all.iter().flat_map(|it| it.settings().limits).map(|it| it.key).collect();
    for list in [&mut keys, &mut names, &mut limits] {
        let count = list.len();
        list.sort_unstable();
        list.dedup();
        assert_eq!(list.len(), count, "{list:?}");
    }
    let entries = || all.iter().flat_map(|it| it.settings().allow);
    for entry in entries() {
        let of = entries().filter(|other| (other.matches)(entry.example)).count();
        assert!(of == 1 && (entry.parse)(entry.example).is_ok(), "{}", entry.example);
    }
}
