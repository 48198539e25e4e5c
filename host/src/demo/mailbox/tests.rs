//! E-mails sent by the host's mailer, read over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use mail_parser::decoders::base64::base64_decode;
use sandbox::capabilities::mail::mailer::{Address, Attachment, Email, MailError, Mailer};
use sha2::{Digest, Sha256};

use super::*;

struct Demo {
    mailer: Mailer,
    http: SocketAddr,
}

impl Demo {
    async fn start(limits: Limits) -> Self {
        let (mailbox, smtp) = Mailbox::start_with("127.0.0.1:0", limits).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let app = router(mailbox, "127.0.0.1:8080".parse().unwrap(), true);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            mailer: Mailer::new(&format!("smtp://{smtp}"), &settings::MailServer::default()).unwrap(),
            http,
        }
    }

    async fn send(&self, subject: &str, text: &str) {
        self.mailer.send(&email(subject, text), "0").await.unwrap();
    }

    /// The answer, with its head.
    async fn get(&self, headers: &str) -> String {
        let http = self.http;
        let request =
            format!("GET /demo/mailbox HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n{headers}\r\n");
        let exchange = move || {
            let mut stream = TcpStream::connect(http).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }

    async fn page(&self) -> String {
        self.get("Accept: text/html,*/*;q=0.8\r\n").await
    }

    async fn json(&self) -> serde_json::Value {
        let answer = self.get("Accept: */*\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-type: application/json"), "{head}");
        serde_json::from_str(body).unwrap()
    }
}

fn address(email: &str) -> Address {
    Address { name: None, email: email.to_owned() }
}

fn email(subject: &str, text: &str) -> Email {
    Email {
        sender: Address { name: Some("홍길동".to_owned()), email: "hong@example.com".to_owned() },
        to: vec![address("to@example.com")],
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: subject.to_owned(),
        text: Some(text.to_owned()),
        html: None,
        headers: vec![],
        attachments: vec![],
    }
}

#[tokio::test]
async fn json_shows_every_part_newest_first() {
    let demo = Demo::start(LIMITS).await;
    assert_eq!(demo.json().await, serde_json::json!([]));
    demo.send("첫 메일", "본문\n둘째 줄").await;
    let rich = Email {
        bcc: vec![address("hidden@example.com")],
        html: Some("<p>two</p>".to_owned()),
        headers: vec![("X-Campaign".to_owned(), "spring".to_owned())],
        attachments: vec![Attachment {
            filename: "청구서.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            content: vec![1, 2, 3],
        }],
        ..email("둘째", "two")
    };
    demo.mailer.send(&rich, "0").await.unwrap();
    let mails = demo.json().await;
    let [second, first] = mails.as_array().unwrap().as_slice() else { panic!("{mails}") };
    assert_eq!(first["id"], 1);
    assert_eq!(first["from"], "홍길동 <hong@example.com>");
    assert_eq!(first["to"], serde_json::json!(["to@example.com"]));
    assert_eq!(first["subject"], "첫 메일");
    assert_eq!(first["text"].as_str().unwrap().replace("\r\n", "\n"), "본문\n둘째 줄");
    assert!(first.get("html").is_none());
    assert!(first["received"].as_str().unwrap().ends_with('Z'), "{first}");
    assert_eq!(second["html"], "<p>two</p>");
    assert_eq!(second["recipients"], serde_json::json!(["to@example.com", "hidden@example.com"]));
    let file = serde_json::json!([{"filename": "청구서.pdf", "content_type": "application/pdf", "size": 3}]);
    assert_eq!(second["attachments"], file);
    assert!(second["headers"].as_array().unwrap().contains(&serde_json::json!(["X-Campaign", "spring"])));
}

#[tokio::test]
async fn the_page_escapes_the_content_of_emails() {
    let demo = Demo::start(LIMITS).await;
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let hostile = Email {
        sender: Address { name: Some(evil.to_owned()), email: "a@example.com".to_owned() },
        html: Some(format!("<b>{evil}</b>")),
        headers: vec![("X-Evil".to_owned(), evil.to_owned())],
        attachments: vec![Attachment {
            filename: evil.to_owned(),
            content_type: "text/plain".to_owned(),
            content: vec![],
        }],
        ..email(evil, evil)
    };
    demo.mailer.send(&hostile, "0").await.unwrap();
    let page = demo.page().await;
    assert_eq!(demo.json().await[0]["subject"], evil);
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    assert!(!page.contains("<img") && !page.contains("onerror=alert(2)>"), "{page}");
    assert!(page.matches("&#60;script&#62;alert(1)").count() >= 5, "{page}");
    assert!(page.contains("content-security-policy: default-src 'none';"));
}

#[tokio::test]
async fn the_language_follows_the_browser() {
    let demo = Demo::start(LIMITS).await;
    for (accepted, lang) in [
        ("", "en"),
        ("Accept-Language: ko-KR,ko;q=0.9,en-US;q=0.8\r\n", "ko"),
        ("Accept-Language: en-US,en;q=0.9,ko;q=0.8\r\n", "en"),
        ("Accept-Language: en;q=0.1, KO\r\n", "ko"),
        ("Accept-Language: fr, ko;q=0.2\r\n", "ko"),
        ("Accept-Language: fr, ;q=x, ko;q=nonsense\r\n", "en"),
    ] {
        let page = demo.get(&format!("Accept: text/html\r\n{accepted}")).await;
        assert!(page.contains(&format!("<html lang=\"{lang}\">")), "{accepted}: {page}");
        assert!(page.contains("curl http://127.0.0.1:8080/api/emails/send"));
        assert!(page.to_lowercase().contains("vary: accept, accept-language"));
    }
}

#[tokio::test]
async fn an_unchanged_page_is_not_modified() {
    let demo = Demo::start(LIMITS).await;
    let page = demo.page().await;
    let tag = page.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim().to_owned();
    let again = format!("Accept: text/html\r\nIf-None-Match: {tag}\r\n");
    assert!(demo.get(&again).await.starts_with("HTTP/1.1 304"));
    demo.send("new", "").await;
    assert!(demo.get(&again).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_oldest_are_deleted_above_the_maximum_number() {
    let demo = Demo::start(Limits { mails: 3, ..LIMITS }).await;
    for n in 1..=5 {
        demo.send(&n.to_string(), "").await;
    }
    let mails = demo.json().await;
    let subjects: Vec<_> = mails.as_array().unwrap().iter().map(|mail| mail["subject"].clone()).collect();
    assert_eq!(subjects, ["5", "4", "3"]);
}

#[tokio::test]
async fn the_oldest_are_deleted_above_the_maximum_size() {
    let demo = Demo::start(Limits { bytes: 10_000, ..LIMITS }).await;
    for n in 1..=4 {
        demo.send(&n.to_string(), &"x".repeat(4000)).await;
    }
    let mails = demo.json().await;
    let subjects: Vec<_> = mails.as_array().unwrap().iter().map(|mail| mail["subject"].clone()).collect();
    assert_eq!(subjects, ["4", "3"]);
}

#[tokio::test]
async fn a_large_email_is_rejected_and_the_next_one_is_accepted() {
    let demo = Demo::start(Limits { mail_bytes: 10_000, ..LIMITS }).await;
    let refused = demo.mailer.send(&email("large", &"x".repeat(20_000)), "0").await;
    assert!(matches!(&refused, Err(MailError::Permanent(text)) if text.contains("552")), "{refused:?}");
    demo.send("small", "").await;
    assert_eq!(demo.json().await.as_array().unwrap().len(), 1);
}

#[test]
fn any_bytes_become_an_email() {
    let cases: [&[u8]; 4] = [
        b"",
        b"\xff\xfe\0",
        b"Subject: =?utf-8?b?4pyT?=\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x",
    ];
    for data in cases {
        let envelope =
            Envelope { from: "a@example.com".to_owned(), data: data.to_vec(), ..Envelope::default() };
        assert_eq!(read(&envelope).from, "a@example.com");
    }
}

/// Browsers refuse a style or script whose hash is not in the policy.
#[test]
fn the_policy_lists_the_hashes_of_style_and_script() {
    for (file, text) in [("css", page::STYLE), ("js", page::SCRIPT)] {
        let hash = Sha256::digest(text).to_vec();
        let listed = page::POLICY.split('\'').filter_map(|word| word.strip_prefix("sha256-"));
        assert!(
            listed.filter_map(|word| base64_decode(word.as_bytes())).any(|listed| listed == hash),
            "put the new hash into POLICY in page.rs: \
             openssl dgst -sha256 -binary host/templates/mailbox.{file} | base64"
        );
    }
}
