//! `host.toml`: all checks that need only the text.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use std::sync::LazyLock;

use base::error::UserError;
use consumer::subscription::Subscription;
use contract::{RetryPolicy, Subscription as Described};
use libfuzzer_sys::fuzz_target;
use sandbox::capabilities;
use sandbox::capabilities::mail::mailer::Mailer;
use sandbox::grants::Grants;
use sandbox::limits::Limits;
use settings::{Allow, Extension, File, MailServer, PluginSettings, Value};
use store::StoreUrl;

static EXTENSIONS: LazyLock<Vec<&'static Extension>> = LazyLock::new(capabilities::extensions);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(mut file) = good(File::parse(text, &EXTENSIONS)) else { return };
    let _ = format!("{file:?}");
    good(file.store.keep());
    if let Some(Value::Text(url)) = &file.store.url {
        good(StoreUrl::parse(url).map(|url| url.to_string()));
    }
    if let Some(Value::Text(url)) = &file.mail.url {
        good(Mailer::new(url, &MailServer::default()).map(|mailer| mailer.to_string()));
    }
    file.plugins.iter_mut().for_each(plugin);
});

fn plugin(settings: &mut PluginSettings) {
    named(Limits::new(&settings.limits).map(|limits| limits.hand_over()));
    if let Some(subscription) = named(Subscription::new(described(), Some(settings))) {
        let topics = subscription.retry_topics();
        assert!(topics.len() <= 32 && !topics.contains(&subscription.topic));
        assert!(!topics.contains(&subscription.dead_letter_topic));
        subscription.policy.ruling("smtp-transient", false);
    }
    assert!(settings.sections.tables().all(|table| table.heading.starts_with("[plugin.")));
    let needs_io = settings.values_mut().any(|value| !matches!(value, Value::Text(_)))
        || settings.allow.iter().any(|allow| matches!(allow, Allow::Directory(_)));
    if !needs_io {
        good(Grants::new(Some(settings), None));
    }
}

fn described() -> Described {
    Described {
        topic: "email.send".into(),
        group: "email-send-group".into(),
        dead_letter_topic: "email.send.dlt".into(),
        retry: RetryPolicy {
            retries: 5,
            delay_ms: 1000,
            multiplier: 2.0,
            max_delay_ms: 3_600_000,
            jitter: 0.0,
            max_age_ms: 86_400_000,
        },
    }
}

/// An error has a text, and the exit code of a usage error.
fn good<T>(result: Result<T, UserError>) -> Option<T> {
    result.inspect_err(|failure| assert!(failure.code() == 2 && !failure.to_string().trim().is_empty())).ok()
}

fn named<T>(result: Result<T, String>) -> Option<T> {
    result.inspect_err(|what| assert!(!what.trim().is_empty())).ok()
}
