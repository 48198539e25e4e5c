use super::*;

const JSON: &str = r#"{"from":"a@example.com","to":"b@example.com","subject":"제목","body":"본문"}"#;

fn message(value: Option<&str>) -> Message {
    Message {
        id: "1".into(),
        topic: "email.send".into(),
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

fn after_sending(sent: Option<Result<Receipt, mail::MailError>>) -> Outcome {
    let mut sent = Some(sent);
    deliver(&message(Some(JSON)), |_| (), |_| sent.take().expect("one e-mail"))
}

fn assert_rejected(outcome: Outcome, code: &str, detail: &str) {
    let Outcome::Reject(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!((&*failure.code, &*failure.detail), (code, detail));
}

#[test]
fn a_message_is_logged_and_then_sent() {
    let mut lines = vec![];
    let mut mails = 0;
    let outcome = deliver(
        &message(Some(JSON)),
        |line| lines.push(line.to_owned()),
        |email| {
            mails += 1;
            assert_eq!((email.sender.email, email.sender.name), ("a@example.com", None));
            let to: Vec<_> = email.to.iter().map(|address| (address.email, address.name)).collect();
            assert_eq!(to, [("b@example.com", None)]);
            assert_eq!((email.subject, email.text, email.html), ("제목", Some("본문"), None));
            Some(Ok(Receipt { id: "x".into(), response: "250 queued".into(), refused: vec![] }))
        },
    );
    assert!(matches!(outcome, Outcome::Done(receipt) if receipt == "250 queued"));
    assert_eq!(lines, ["이메일 발송: from=a@example.com, to=b@example.com, subject=제목"]);
    assert_eq!(mails, 1);
}

#[test]
fn invalid_messages_are_rejected_unsent() {
    let refuse = |value| deliver(&message(value), |_| panic!("logged"), |_| panic!("sent"));
    assert_rejected(refuse(None), "tombstone", "the message has no value");
    assert_rejected(refuse(Some("hello")), "invalid-message", "expected a JSON object");
    assert_rejected(refuse(Some(r#"{"to":"b"}"#)), "missing-from", "발신자는 필수입니다");
    assert_rejected(refuse(Some(r#"{"from":"a","to":" "}"#)), "missing-to", "수신자는 필수입니다");
    let nobody = "to: \"nobody\" is not an e-mail address: expected `user@example.com`";
    assert_rejected(refuse(Some(r#"{"from":"a@b","to":"nobody"}"#)), "invalid-to", nobody);
}

#[test]
fn a_transient_failure_is_retried_by_the_policy() {
    let busy = |detail: &str| Some(Err(mail::MailError::Transient(detail.into())));
    for (sent, code) in [
        (busy("451 busy"), "smtp-451"),
        (busy("usual (smtp://mail:25) answered 421 4.3.2 closing"), "smtp-421"),
        (busy("no connection to usual (smtp://mail:25): refused"), "smtp-transient"),
        (None, "smtp-transient"),
    ] {
        let outcome = after_sending(sent);
        let Outcome::Retry(RetryLater { failure, after_ms: None }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(failure.code, code);
    }
}

#[test]
fn a_permanent_failure_is_rejected() {
    let permanent = Some(Err(mail::MailError::Permanent("550 no such user".into())));
    assert_rejected(after_sending(permanent), "smtp-550", "550 no such user");
    for (detail, code) in [
        ("usual (smtp://mail:25) answered 554 5.7.1 spam", "smtp-554"),
        ("usual (smtp://mail:25) accepted none of 2 recipients; it answered 550 gone", "smtp-550"),
        ("usual (smtp://mail:25) answered 5500 cats", "smtp-permanent"),
        (
            "an address is not ASCII, and usual (smtp://mail:25) does not support such addresses",
            "smtp-permanent",
        ),
    ] {
        assert_rejected(after_sending(Some(Err(mail::MailError::Permanent(detail.into())))), code, detail);
    }
    let denied = Some(Err(mail::MailError::Denied("mail is not granted".into())));
    assert_rejected(after_sending(denied), "mail-denied", "mail is not granted");
}

fn refusal(recipient: &str, transient: bool) -> mail::Refusal {
    mail::Refusal {
        recipient: recipient.into(),
        transient,
        response: if transient { "450" } else { "550" }.into(),
    }
}

/// The outcome for these answers, and the recipients of each e-mail.
fn sent_in_part(answers: Vec<Result<Vec<mail::Refusal>, mail::MailError>>) -> (Outcome, Vec<Vec<String>>) {
    let json = r#"{"from":"\"Shop\" <s@bücher.de>","to":"a@x, B <b@x>, c@x"}"#;
    let (mut answers, mut sent) = (answers.into_iter(), vec![]);
    let outcome = deliver(
        &message(Some(json)),
        |_| (),
        |email| {
            assert_eq!((email.sender.name, email.sender.email), (Some("Shop"), "s@bücher.de"));
            sent.push(email.to.iter().map(|to| to.email.to_owned()).collect());
            let answer = answers.next().expect("a further e-mail");
            Some(answer.map(|refused| Receipt { id: "x".into(), response: "250".into(), refused }))
        },
    );
    assert!(answers.next().is_none(), "{outcome:?}");
    (outcome, sent)
}

#[test]
fn recipients_that_were_refused_for_now_are_sent_to_alone() {
    let (outcome, sent) = sent_in_part(vec![
        Ok(vec![refusal("b@x", true), refusal("c@x", true)]),
        Ok(vec![refusal("c@x", true)]),
        Ok(vec![]),
    ]);
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(sent, [vec!["a@x", "b@x", "c@x"], vec!["b@x", "c@x"], vec!["c@x"]]);
    // The host writes an international domain in ASCII.
    let (outcome, sent) = sent_in_part(vec![Ok(vec![refusal("x@xn--bcher-kva.de", true)]), Ok(vec![])]);
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(sent[1], ["x@xn--bcher-kva.de"]);
    let busy = mail::MailError::Transient("450 busy".into());
    let (outcome, _) = sent_in_part(vec![Ok(vec![refusal("b@x", true)]), Err(busy)]);
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
}

#[test]
fn recipients_that_were_refused_for_good_are_in_the_dead_letter() {
    let (outcome, _) = sent_in_part(vec![Ok(vec![refusal("b@x", false)])]);
    assert_rejected(outcome, "smtp-550", "b@x: 550");
    let (outcome, _) = sent_in_part(vec![Ok(vec![refusal("b@x", false), refusal("c@x", true)]), Ok(vec![])]);
    assert_rejected(outcome, "smtp-550", "b@x: 550");
    let gone = mail::MailError::Permanent("550 gone".into());
    let (outcome, _) = sent_in_part(vec![Ok(vec![refusal("b@x", false), refusal("c@x", true)]), Err(gone)]);
    assert_rejected(outcome, "smtp-550", "b@x: 550; 550 gone");
}
