//! Responses of the SMS gateways, as read by the plugin. The plugin is a component, so its files are included
//! here.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use std::time::{Duration, UNIX_EPOCH};

use fuzz::Input;
use libfuzzer_sys::fuzz_target;
use messages::SmsSendMessage;

use self::answer::{Answer, Verdict};
use self::gateway::Gateway;

#[allow(dead_code, missing_docs, reason = "the plugin's own file")]
#[path = "../../../../plugins/sms/src/answer.rs"]
mod answer;
#[allow(dead_code, missing_docs, reason = "the plugin's own file")]
#[path = "../../../../plugins/sms/src/gateway.rs"]
mod gateway;
#[allow(dead_code, missing_docs, reason = "the plugin's own file")]
#[path = "../../../../plugins/sms/src/http.rs"]
mod http;
#[allow(dead_code, missing_docs, reason = "the plugin's own file")]
#[path = "../../../../plugins/sms/src/solapi.rs"]
mod solapi;
#[allow(dead_code, missing_docs, reason = "the plugin's own file")]
#[path = "../../../../plugins/sms/src/twilio.rs"]
mod twilio;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let status = 100 + u16::from_be_bytes([input.byte(), input.byte()]) % 500;
    let retry_after = input.optional().and_then(|value| String::from_utf8(value.to_vec()).ok());
    let url = input.text();
    let body = input.rest();
    let answer = Answer { status, retry_after, body: body.to_vec() };
    let now = UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    let config = |name: &'static str, url: Option<String>| {
        move |key: &str| match key {
            "gateway" => Some(name.to_owned()),
            "account" => Some("AC1".to_owned()),
            _ => url.clone(),
        }
    };
    for name in ["solapi", "twilio"] {
        let _ = Gateway::from_config(config(name, Some(url.to_string())));
        let gateway = Gateway::from_config(config(name, None)).expect("a configuration").expect("a gateway");
        match gateway.judge(&answer, now) {
            Verdict::Accepted(_) => assert!(answer.is_success()),
            Verdict::Retry(code, detail, after_ms) => {
                assert!(!code.is_empty() && detail.starts_with("HTTP "));
                assert!(after_ms.is_none() || [429, 503].contains(&status));
            }
            Verdict::Reject(code, detail) => assert!(!code.is_empty() && detail.starts_with("HTTP ")),
        }
        if let Ok(sms) = SmsSendMessage::from_json(body)
            && let Ok(request) = gateway.request(&sms)
        {
            assert!(!request.body.is_empty() && request.path.is_ascii());
        }
    }
});
