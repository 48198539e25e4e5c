//! Trials of builds on dead letters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use desk_api::{DeadLetter, MAX_BUILD_BYTES};
use sandbox::capabilities;
use serde_json::{Value, json};
use settings::File;
use sha2::Digest as _;
use testkit::plugin;
use trials::{InstalledPlugin, PLACEHOLDER, Trials};

use crate::fixture::{Api, dead_letter};

const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];

/// A dead letter whose message requests this action of the guest.
fn asking(offset: i64, what: &str) -> DeadLetter {
    let mut dead_letter = dead_letter(offset, "bad-address");
    dead_letter.value = Some(base::bytes::Bytes(format!(r#"{{"id":"{offset}",{what}}}"#).into_bytes()));
    dead_letter
}

fn mixed() -> Vec<DeadLetter> {
    let mut all: Vec<DeadLetter> = [
        r#""do":"done""#,
        r#""do":"reject""#,
        r#""do":"mail""#,
        r#""do":"reject""#,
        r#""do":"trap""#,
        r#""do":"retry","until":0"#,
    ]
    .into_iter()
    .zip(0..)
    .map(|(what, offset)| asking(offset, what))
    .collect();
    let mut cut = dead_letter(6, "bad-address");
    (cut.value, cut.value_cut) = (None, Some(9_000_000));
    all.push(cut);
    all
}

async fn with(dead_letters: &[DeadLetter]) -> Api {
    let text = "[[plugin]]\npath = \"faulty_fast.wasm\"\ntopic = \"faulty-fast\"\nallow = [\"mail\"]";
    let settings = File::parse(text, &capabilities::extensions()).expect("settings").plugins.remove(0);
    let (name, digest) = (Arc::from("faulty-fast"), String::new());
    let plugin = InstalledPlugin { name, digest, settings: Some(settings) };
    Api::with_trials(dead_letters, |desk| Trials::new(desk, vec![plugin])).await
}

fn build() -> Vec<u8> {
    std::fs::read(plugin("faulty_fast")).expect("a plugin")
}

async fn ended(api: &Api, id: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let trial = api.found(&format!("/trials/{id}")).await;
        if trial["state"] != "running" {
            return trial;
        }
        assert!(Instant::now() < end, "{trial}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_reports_outcomes_and_effects() {
    let api = with(&mixed()).await;
    let begun = api.ask("POST", "/trials", &WASM, build()).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let id = begun.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(begun.headers["location"], format!("/api/v1/trials/{id}"));
    let trial = ended(&api, &id).await;
    let numbers = ["dead_letters", "tried", "passed", "undecided", "skipped"]
        .map(|name| trial[name].as_u64().expect("a number"));
    assert_eq!(
        (numbers, &trial["state"], &trial["has_settings"]),
        ([7, 7, 2, 1, 1], &json!("done"), &json!(true))
    );
    assert_eq!(trial["plugin"], "faulty-fast@0.1.0");
    let failures: Vec<_> = trial["failures"].as_array().expect("codes").iter().collect();
    assert_eq!((&failures[0]["code"], &failures[0]["dead_letters"]), (&json!("asked-reject"), &json!(2)));
    assert_eq!((&failures[1]["code"], &failures[1]["dead_letters"]), (&json!("trap"), &json!(1)));
    assert_eq!(trial["effects"], json!([{ "effect": "e-mail", "count": 1 }]));
    let with = async |verdict: &str| {
        let page = api.found(&format!("/trials/{id}/dead-letters?verdict={verdict}")).await;
        page["items"].as_array().expect("items").clone()
    };
    // A server may refuse the e-mail: only what sends nothing has passed.
    let (passed, undecided) = (with("passed").await, with("undecided").await);
    assert_eq!((passed.len(), undecided.len()), (2, 1));
    assert_eq!(undecided[0]["effects"][0]["kind"], "mail", "{undecided:?}");
    assert!(passed.iter().all(|result| result["effects"] == json!([])), "{passed:?}");
    let second = api.found(&format!("/trials/{id}/dead-letters?verdict=failed&from=1&limit=1")).await;
    assert_eq!(second["items"][0]["code"], "asked-reject");
    // Only the audit log has changed.
    assert_eq!(api.found("/dead-letters/count?state=open").await["dead_letters"], 7);
    let actions = api.found("/audit-log").await;
    assert_eq!(
        (&actions["items"][0]["action"], &actions["items"][0]["dead_letters"]),
        (&json!("try"), &json!(7))
    );
    api.get(&format!("/trials/{id}/dead-letters?verdict=lost"))
        .await
        .is_problem(400, "passed, undecided, failed");
    // Only the dead letters that did not fail are replayed.
    let replay = api.post("/replays/preview", &json!({ "trial": id, "plan": { "target": "retry" } })).await;
    assert_eq!((replay.status, replay.json()["dead_letters"].as_u64()), (200, Some(3)), "{}", replay.text());
    let started = api.post("/replays", &json!({ "trial": id, "plan": { "target": "retry" } })).await;
    assert_eq!(
        (started.status, started.json()["dead_letters"].as_u64()),
        (201, Some(3)),
        "{}",
        started.text()
    );
    let unknown = api.post("/replays", &json!({ "trial": "00ff" })).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_settings_is_a_plugin_of_this_host() {
    let (name, digest) = (Arc::from("faulty-fast"), String::new());
    let plugin = InstalledPlugin { name, digest, settings: None };
    let api = Api::with_trials(&mixed(), |desk| Trials::new(desk, vec![plugin])).await;
    let begun = api.ask("POST", "/trials", &WASM, build()).await.json();
    let trial = ended(&api, begun["id"].as_str().expect("an id")).await;
    assert_eq!((&trial["has_settings"], &trial["withheld"]), (&json!(true), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_build_that_the_host_runs_gets_secrets_and_directories() {
    let directory = std::env::temp_dir().join(format!("host-trial-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let secret = directory.join("secret");
    std::fs::write(&secret, "hush").expect("a file");
    let text = format!(
        "[[plugin]]\npath = \"faulty_fast.wasm\"\ntopic = \"faulty-fast\"\nallow = [\"env:PATH\", \"dir:{}\"]\n\
         [plugin.config]\ngreeting = {{ file = {secret:?} }}",
        directory.display()
    );
    let settings = File::parse(&text, &capabilities::extensions()).expect("settings").plugins.remove(0);
    let look = asking(0, &format!(r#""do":"look","path":{secret:?}"#));
    let tried = async |digest: String| {
        let (name, settings) = (Arc::from("faulty-fast"), Some(settings.clone()));
        let plugin = InstalledPlugin { name, digest, settings };
        let api = Api::with_trials(std::slice::from_ref(&look), |desk| Trials::new(desk, vec![plugin])).await;
        let begun = api.ask("POST", "/trials", &WASM, build()).await.json();
        let id = begun["id"].as_str().expect("an id").to_owned();
        let trial = ended(&api, &id).await;
        let results = api.found(&format!("/trials/{id}/dead-letters")).await;
        (trial["withheld"].clone(), results["items"][0]["log"].to_string())
    };
    let (withheld, log) = tried("another build".to_owned()).await;
    let names = json!(["config.greeting", "env:PATH", format!("dir:{}", directory.display())]);
    assert_eq!(withheld, names);
    assert!(log.contains(&format!("config={PLACEHOLDER} env=nothing file=nothing")), "{log}");
    let digest = sha2::Sha256::digest(build());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let (withheld, log) = tried(digest).await;
    assert_eq!(withheld, json!([]));
    assert!(log.contains("config=hush env=nothing file=hush"), "{log}");
    std::fs::remove_dir_all(&directory).expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_builds_and_selections_start_nothing() {
    let api = with(&mixed()).await;
    let refused = async |path: &str, headers: &[(&str, &str)], body: Vec<u8>, status: u16, why: &str| {
        let answer = api.ask("POST", path, headers, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(why), "{why}: {}", answer.text());
    };
    refused("/trials", &WASM, b"not a component".to_vec(), 400, "the build").await;
    refused("/trials", &WASM, vec![], 400, "the build").await;
    refused("/trials", &WASM, build()[..1000].to_vec(), 400, "damaged").await;
    refused("/trials", &[], build(), 415, "application/wasm").await;
    refused("/trials", &WASM, vec![0; MAX_BUILD_BYTES + 1], 413, "64 MiB").await;
    refused("/trials?code=nothing", &WASM, build(), 409, "no dead letters match").await;
    refused("/trials?colour=red", &WASM, build(), 400, "colour").await;
    for path in ["/trials/00ff", "/trials/zz", "/trials/00ff/dead-letters", "/trials/%2e%2e"] {
        assert_eq!(api.get(path).await.status, 404, "{path}");
    }
    assert_eq!(api.found("/trials").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trial_runs_at_a_time_and_can_be_cancelled() {
    let slow: Vec<DeadLetter> = (0..20).map(|offset| asking(offset, r#""do":"sleep","ms":60000"#)).collect();
    let api = with(&slow).await;
    let begun = api.ask("POST", "/trials", &WASM, build()).await.json();
    let id = begun["id"].as_str().expect("an id");
    let busy = api.ask("POST", "/trials", &WASM, build()).await;
    assert_eq!(busy.status, 409, "{}", busy.text());
    assert!(busy.text().contains(id), "{}", busy.text());
    let cancelled = api.post(&format!("/trials/{id}/cancel"), &json!({})).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    let again = api.ask("POST", "/trials", &WASM, build()).await;
    assert_eq!(again.status, 201, "{}", again.text());
    let id = again.json()["id"].as_str().expect("an id").to_owned();
    api.post(&format!("/trials/{id}/cancel"), &json!({})).await;
    assert_eq!(api.found("/trials").await["items"].as_array().map(Vec::len), Some(2));
}
