use super::*;

const JSON: &str = r#"{"from":"01012345678","to":"01087654321","body":"본문"}"#;

fn message(value: Option<&str>) -> Message {
    Message {
        id: "1".into(),
        topic: "sms.send".into(),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: None,
        value: value.map(|text| text.as_bytes().to_vec()),
        headers: vec![],
        attempt: 1,
        max_attempts: 6,
        attributes: vec![],
    }
}

fn solapi(key: &str) -> Option<String> {
    (key == "gateway").then(|| "solapi".to_owned())
}

#[test]
fn without_a_gateway_a_message_is_only_logged() {
    let mut lines = vec![];
    let log = |line: &str| lines.push(line.to_owned());
    let outcome = deliver(&message(Some(JSON)), |_| None, log, |_| panic!("sent"));
    assert!(matches!(outcome, Outcome::Done(receipt) if receipt == "logged only"));
    assert_eq!(lines, ["SMS 발송: from=01012345678, to=01087654321"]);
}

#[test]
fn a_message_is_logged_and_sent_and_the_gateways_id_is_its_receipt() {
    let mut lines = 0;
    let outcome = deliver(
        &message(Some(JSON)),
        solapi,
        |_| lines += 1,
        |request| {
            assert_eq!(request.path, "/messages/v4/send");
            let body = br#"{"statusCode":"2000","messageId":"M4V"}"#.to_vec();
            Ok(Answer { status: 200, retry_after: None, body })
        },
    );
    assert!(matches!(outcome, Outcome::Done(receipt) if receipt == "M4V"));
    assert_eq!(lines, 1);
}

#[test]
fn invalid_messages_are_rejected_unlogged_and_unsent() {
    for (value, code, detail) in [
        (None, "tombstone", "the message has no value"),
        (Some("hello"), "invalid-message", "expected a JSON object"),
        (Some(r#"{"to":"b"}"#), "missing-from", "발신자는 필수입니다"),
        (Some(r#"{"from":"a","to":" "}"#), "missing-to", "수신자는 필수입니다"),
        (
            Some(r#"{"from":"a","to":"12"}"#),
            "invalid-to",
            "to: \"12\" is not a phone number: expected 3 to 15 digits",
        ),
    ] {
        let outcome = deliver(&message(value), solapi, |_| panic!("logged"), |_| panic!("sent"));
        let Outcome::Reject(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!((&*failure.code, &*failure.detail), (code, detail));
    }
}

#[test]
fn failures_to_send_have_codes() {
    let retried = |outcome: Outcome| match outcome {
        Outcome::Retry(RetryLater { failure, after_ms }) => (failure.code, after_ms),
        outcome => panic!("{outcome:?}"),
    };
    let rejected = |outcome: Outcome| match outcome {
        Outcome::Reject(failure) => failure.code,
        outcome => panic!("{outcome:?}"),
    };
    let after = |answer: Result<Answer, SendError>| deliver(&message(Some(JSON)), solapi, |_| (), |_| answer);
    assert_eq!(rejected(after(Err(SendError::Denied("no".into())))), "http-denied");
    assert_eq!(retried(after(Err(SendError::Transient("no".into())))), ("sms-transient".into(), None));
    let throttled = Answer { status: 429, retry_after: Some("2".into()), body: vec![] };
    assert_eq!(retried(after(Ok(throttled))), ("rate-limited".into(), Some(2000)));
    let wrong = |_: &str| Some("smoke".to_owned());
    let outcome = deliver(&message(Some(JSON)), wrong, |_| (), |_| panic!("sent"));
    assert_eq!(retried(outcome), ("gateway-config".into(), None));
    let long = format!(r#"{{"from":"114","to":"114","body":"{}"}}"#, "가".repeat(1001));
    let outcome = deliver(&message(Some(&long)), solapi, |_| (), |_| panic!("sent"));
    assert_eq!(rejected(outcome), "message-too-long");
}
