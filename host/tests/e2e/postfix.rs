//! E-mail through a real Postfix, with TLS and a login.

use std::path::Path;

use mail_parser::{HeaderForm, MessageParser, MimeHeaders};
use sandbox::capabilities::mail::mailer::{Address, Attachment, Email, MailError, Mailer};
use settings::MailServer;
use testkit::{Kafka, Postfix, Record, eventually, get, plugin};

use crate::support::{BOUND, Host, file};

fn address(email: &str) -> Address {
    Address { name: None, email: email.to_owned() }
}

fn email() -> Email {
    Email {
        sender: Address { name: Some("보내는 이".to_owned()), email: "from@example.com".to_owned() },
        to: vec![address("to@example.com")],
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: "안녕하세요 👋 ".repeat(20).trim_end().to_owned(),
        text: Some("본문\n.\n끝".to_owned()),
        html: None,
        headers: vec![],
        attachments: vec![],
    }
}

fn mailer(url: &str, ca: Option<&Path>) -> Mailer {
    let settings = MailServer { ca: ca.map(Path::to_owned), ..MailServer::default() };
    Mailer::new(url, &settings).expect("a mailer")
}

#[tokio::test]
async fn starttls_and_smtps_with_a_login_deliver_utf8() {
    let postfix = Postfix::start();
    for (count, url) in [postfix.starttls(), postfix.smtps()].iter().enumerate() {
        let mailer = mailer(url, Some(&postfix.ca()));
        let receipt = mailer.send(&email(), &format!("key-{count}")).await.expect("taken");
        assert!(receipt.response.starts_with("250 ") && receipt.refused.is_empty(), "{receipt:?}");
        eventually(BOUND, || postfix.count() == count + 1);
    }
    let mails = postfix.mails();
    let mut ids = Vec::new();
    for bytes in &mails {
        let mail = MessageParser::default().parse(bytes).expect("an e-mail");
        assert_eq!(mail.subject(), Some(email().subject.as_str()));
        let from = mail.from().and_then(|from| from.first()).expect("a sender");
        assert_eq!((from.name(), from.address()), (Some("보내는 이"), Some("from@example.com")));
        let body = mail.body_text(0).expect("a text").replace("\r\n", "\n");
        assert_eq!(body.trim_end(), "본문\n.\n끝");
        ids.push(mail.message_id().expect("an id").to_owned());
    }
    ids.sort();
    assert_eq!(ids, ["key-0@example.com", "key-1@example.com"]);
    let log = postfix.log();
    assert_eq!(log.matches("sasl_method=PLAIN, sasl_username=host").count(), 2, "{log}");
}

#[tokio::test]
async fn html_and_attachments_arrive_intact() {
    let postfix = Postfix::start();
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let html = "<p>본문 &amp; 끝</p>";
    let mail = Email {
        html: Some(html.to_owned()),
        headers: vec![("X-Campaign".to_owned(), "봄 행사".to_owned())],
        attachments: vec![Attachment {
            filename: "청구서.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            content: content.clone(),
        }],
        ..email()
    };
    mailer(&postfix.smtps(), Some(&postfix.ca())).send(&mail, "0").await.expect("taken");
    eventually(BOUND, || postfix.count() == 1);
    let mails = postfix.mails();
    let mail = MessageParser::default().parse(&mails[0]).expect("an e-mail");
    assert_eq!(mail.body_html(0).as_deref(), Some(html));
    assert!(mail.body_text(0).is_some_and(|text| text.contains("본문")));
    let campaign = mail.header_as("X-Campaign", HeaderForm::Text);
    assert_eq!(campaign.first().and_then(|value| value.as_text()), Some("봄 행사"));
    let file = mail.attachment(0).expect("a file");
    assert_eq!(file.attachment_name(), Some("청구서.pdf"));
    assert!(file.contents() == content, "{} bytes", file.contents().len());
}

#[tokio::test]
async fn refused_recipients_are_reported_and_the_others_get_the_e_mail() {
    let postfix = Postfix::start();
    let mailer = mailer(&postfix.starttls(), Some(&postfix.ca()));
    let mut mail = email();
    mail.to = vec![address("refused@example.com"), address("a@example.com")];
    (mail.cc, mail.bcc) = (vec![address("busy@example.com")], vec![address("b@example.com")]);
    let receipt = mailer.send(&mail, "0").await.expect("taken");
    let refused: Vec<_> = receipt.refused.iter().map(|one| (one.recipient.as_str(), one.transient)).collect();
    assert_eq!(refused, [("refused@example.com", false), ("busy@example.com", true)]);
    assert!(receipt.refused[0].response.starts_with("550 5.1.1"), "{receipt:?}");
    eventually(BOUND, || postfix.count() == 2);
    (mail.to, mail.bcc) = (vec![address("refused@example.com")], vec![]);
    let refused = mailer.send(&mail, "1").await;
    assert!(matches!(&refused, Err(MailError::Transient(text)) if text.contains("450 4.2.1")), "{refused:?}");
    mail.cc = vec![];
    let refused = mailer.send(&mail, "2").await;
    assert!(matches!(&refused, Err(MailError::Permanent(text)) if text.contains("550 5.1.1")), "{refused:?}");
    // All e-mails use one connection.
    assert_eq!(postfix.log().matches(": connect from").count(), 2, "{}", postfix.log());
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let postfix = Postfix::start();
    for url in [postfix.starttls(), postfix.smtps()] {
        let sent = mailer(&url, None).send(&email(), "0").await;
        let Err(MailError::Transient(text)) = &sent else { panic!("{sent:?}") };
        assert!(
            text.contains("issuer of its certificate is not trusted; set mail.ca")
                && !text.contains(postfix.password()),
            "{text}"
        );
    }
    assert!(!postfix.log().contains("sasl_username"), "{}", postfix.log());
    assert!(postfix.is_idle() && postfix.count() == 0);
}

/// The host with the e-mail plugin on a topic of its own. `more` follows the table of the plugin.
fn start(kafka: &Kafka, postfix: &Postfix, name: &str, url: &str, more: &str) -> Host {
    kafka.create_topic(name, 2, &[]);
    run(kafka, postfix, name, url, more)
}

/// The host on an existing topic.
fn run(kafka: &Kafka, postfix: &Postfix, name: &str, url: &str, more: &str) -> Host {
    let text = format!(
        "[mail]\nurl = {url:?}\nca = {:?}\n[[plugin]]\npath = {:?}\ntopic = {name:?}\n\
         group = \"{name}-group\"\nallow = [\"mail\"]\n{more}",
        postfix.ca(),
        plugin("email"),
    );
    let path = file(&format!("{name}.toml"), text.as_bytes());
    let path = path.to_str().expect("a path in UTF-8").to_owned();
    Host::run(&["--config", &path, "--bootstrap-servers", kafka.bootstrap()], &[])
}

fn message(from: &str, to: &str, subject: &str) -> Record {
    Record::new(format!(r#"{{"from":"{from}","to":"{to}","subject":"{subject}","body":""}}"#))
}

#[test]
fn names_and_lists_of_a_message_are_sent_and_refused_recipients_are_named() {
    let (kafka, postfix) = (Kafka::shared(), Postfix::start());
    let host = start(kafka, &postfix, "mail-lists", &postfix.smtps(), "");
    kafka.produce(
        "mail-lists",
        [
            message(
                r#"\"Shop, Seoul\" <from@example.com>"#,
                "홍길동 <a@example.com>, <b@example.com>",
                "both",
            ),
            message("from@example.com", "refused@example.com, c@example.com", "one"),
        ],
    );
    eventually(BOUND, || postfix.count() == 3);
    eventually(BOUND, || kafka.end_offsets("mail-lists.dlt").iter().sum::<i64>() == 1);
    host.stop();
    let mails = postfix.mails();
    let both = mails.iter().filter_map(|mail| MessageParser::default().parse(mail));
    let both: Vec<_> = both.filter(|mail| mail.subject() == Some("both")).collect();
    assert_eq!(both.len(), 2, "a copy for each");
    let from = both[0].from().and_then(|from| from.first()).expect("a sender");
    assert_eq!((from.name(), from.address()), (Some("Shop, Seoul"), Some("from@example.com")));
    let to: Vec<_> =
        both[0].to().into_iter().flat_map(|to| to.iter()).map(|to| (to.name(), to.address())).collect();
    assert_eq!(to, [(Some("홍길동"), Some("a@example.com")), (None, Some("b@example.com"))]);
    let dead = kafka.read_all("mail-lists.dlt");
    assert_eq!(dead[0].header("host-failure-code"), Some(&b"smtp-550"[..]));
    let cause = dead[0].header("kafka_exception-message").map(String::from_utf8_lossy).expect("a cause");
    assert!(cause.contains("refused@example.com: 550 5.1.1") && !cause.contains("c@example.com"), "{cause}");
}

/// A wrong password concerns the server: messages wait until it is corrected.
#[test]
fn with_a_wrong_password_messages_wait_and_it_is_not_shown() {
    let (kafka, postfix) = (Kafka::shared(), Postfix::start());
    let retry = "[plugin.retry]\nretries = 2\ndelay = \"50ms\"\n";
    let host = start(kafka, &postfix, "mail-password", &postfix.starttls_as("wrong-0815"), retry);
    kafka.produce(
        "mail-password",
        (0..5).map(|n| message("a@example.com", "b@example.com", &format!("x{n}"))),
    );
    let log = host.process.wait_for(|line| line.contains("does not work"), BOUND);
    assert!(log.contains("refused the login with 535"), "{log}");
    let ready = get(host.port, "/readyz").expect("an answer").text();
    assert!(ready.starts_with("ok\n") && ready.contains("refused the login with 535"), "{ready}");
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    assert!(
        metrics.lines().any(|line| line.starts_with("host_destination_works{") && line.ends_with(" 0")),
        "{metrics}"
    );
    let shown = [host.stop().join("\n"), ready, metrics].concat();
    // Nor in base64, as in the SMTP dialogue.
    assert!(!shown.contains("wrong-0815") && !shown.contains("d3JvbmctMDgxN"), "{shown}");
    assert_eq!(postfix.count(), 0);
    assert_eq!(kafka.end_offsets("mail-password.dlt").iter().sum::<i64>(), 0);
    let host = run(kafka, &postfix, "mail-password", &postfix.starttls(), retry);
    eventually(BOUND, || postfix.count() == 5);
    host.stop();
    assert_eq!((postfix.count(), kafka.end_offsets("mail-password.dlt").iter().sum::<i64>()), (5, 0));
}

#[test]
fn only_granted_e_mails_are_sent_and_no_faster_than_their_rate() {
    const RATE: usize = 60;
    let (kafka, postfix) = (Kafka::shared(), Postfix::start());
    let grant = "[plugin.retry]\nretries = 1\ndelay = \"1s\"\n[plugin.mail]\nsenders = [\"*@example.com\"]\n\
                 recipients = [\"*.example.com\"]\nper-minute = 60\nredirect-all = \"staging@example.org\"\n";
    let host = start(kafka, &postfix, "mail-narrowed", &postfix.smtps(), grant);
    let to = |number: usize| format!("u{number}@a.example.com");
    let count = RATE + 3;
    kafka.produce(
        "mail-narrowed",
        [
            message("a@example.com.evil.org", "b@a.example.com", "as another"),
            message("a@example.com", "b@example.com", "to another"),
        ],
    );
    let good = (0..count).map(|number| message("a@example.com", &to(number), "good"));
    kafka.produce("mail-narrowed", good);
    eventually(BOUND, || postfix.count() >= count);
    eventually(BOUND, || kafka.end_offsets("mail-narrowed.dlt").iter().sum::<i64>() >= 2);
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    host.stop();
    let mails: Vec<String> =
        postfix.mails().iter().map(|mail| String::from_utf8_lossy(mail).into_owned()).collect();
    assert_eq!(mails.len(), count);
    for number in 0..count {
        let meant = format!("\nX-Original-To: {}", to(number));
        let of_it =
            mails.iter().filter(|mail| mail.replace('\r', "").contains(&format!("{meant}\n"))).count();
        assert_eq!(of_it, 1, "{meant}");
    }
    assert!(mails.iter().all(|mail| mail.contains("To: staging@example.org")));
    let dead = kafka.read_all("mail-narrowed.dlt");
    let mut cause: Vec<_> = dead
        .iter()
        .map(|dead| {
            assert_eq!(dead.header("host-failure-code"), Some(&b"mail-denied"[..]));
            dead.header("kafka_exception-message").map(String::from_utf8_lossy).expect("a cause").into_owned()
        })
        .collect();
    cause.sort();
    assert!(
        cause[0].contains("a@example.com.evil.org") && cause[1].contains("to: b@example.com"),
        "{cause:?}"
    );
    // Above the rate, messages wait where they are.
    assert!(!metrics.contains("too-many-mails"), "{metrics}");
    assert_eq!(kafka.end_offsets("mail-narrowed-retry").iter().sum::<i64>(), 0);
    assert!(metrics.contains(r#"host_mails_total{plugin="email",result="denied"} 2"#), "{metrics}");
}
