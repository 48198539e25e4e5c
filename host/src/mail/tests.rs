//! Against real SMTP servers in this process.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mail_parser::{HeaderForm, Message, MessageParser, MimeHeaders};
use mailin_embedded::{Action, Handler, Response, Server, SslConfig};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

/// What a test's server does with recipients and with the finished e-mail.
type Answer = fn() -> Response;

#[derive(Clone)]
struct Catcher {
    rcpt: Answer,
    end: Arc<dyn Fn() -> Response + Send + Sync>,
    data: Vec<u8>,
    to: Vec<String>,
    caught: Sender<(Vec<String>, Vec<u8>)>,
}

impl Handler for Catcher {
    fn rcpt(&mut self, _: &str) -> Response {
        (self.rcpt)()
    }
    fn data_start(&mut self, _: &str, _: &str, _: bool, to: &[String]) -> Response {
        self.data.clear();
        self.to = to.to_vec();
        mailin_embedded::response::START_DATA
    }
    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.data.extend_from_slice(line);
        Ok(())
    }
    fn data_end(&mut self) -> Response {
        let response = (self.end)();
        if !response.is_error {
            self.caught.send((self.to.clone(), self.data.clone())).ok();
        }
        response
    }
}

fn ok() -> Response {
    mailin_embedded::response::OK
}

fn serve(
    rcpt: Answer,
    end: impl Fn() -> Response + Send + Sync + 'static,
) -> (Mailer, Receiver<(Vec<String>, Vec<u8>)>) {
    let (caught, mails) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::new(Catcher { rcpt, end: Arc::new(end), data: vec![], to: vec![], caught });
    server.with_num_threads(16).with_tcp_listener(listener).with_ssl(SslConfig::None).unwrap();
    std::thread::spawn(move || server.serve().unwrap());
    (mailer(address), mails)
}

fn mailer(address: SocketAddr) -> Mailer {
    Mailer::from_url(&format!("smtp://{address}")).unwrap()
}

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
        subject: "안녕하세요 👋".to_owned(),
        text: Some("본문\n.\n끝".to_owned()),
        html: None,
        headers: vec![],
        attachments: vec![],
    }
}

fn parse(bytes: &[u8]) -> Message<'_> {
    MessageParser::default().parse(bytes).unwrap()
}

fn permanent(result: Result<Receipt, MailError>) -> String {
    match result {
        Err(MailError::Permanent(text)) => text,
        other => panic!("not permanent: {other:?}"),
    }
}

fn transient(result: Result<Receipt, MailError>) -> String {
    match result {
        Err(MailError::Transient(text)) => text,
        other => panic!("not transient: {other:?}"),
    }
}

#[tokio::test]
async fn delivers_text_with_utf8_everywhere() {
    let (mailer, mails) = serve(ok, ok);
    let receipt = mailer.send(&email()).await.unwrap();
    let (to, bytes) = mails.recv().unwrap();
    let mail = parse(&bytes);
    assert_eq!(to, ["to@example.com"]);
    assert_eq!(mail.subject(), Some("안녕하세요 👋"));
    assert_eq!(mail.from().unwrap().first().unwrap().name(), Some("보내는 이"));
    assert_eq!(mail.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), "본문\n.\n끝");
    assert_eq!(format!("<{}>", mail.message_id().unwrap()), receipt.id);
    assert!(receipt.id.ends_with("@example.com>"), "{}", receipt.id);
    assert_eq!(receipt.response, "250 OK");
    assert!(bytes.is_ascii());
}

#[tokio::test]
async fn delivers_every_part_of_an_email() {
    let (mailer, mails) = serve(ok, ok);
    let email = Email {
        to: vec![address("a@example.com"), address("b@example.com")],
        cc: vec![address("c@example.com")],
        bcc: vec![address("hidden@example.com")],
        reply_to: Some(address("answers@example.com")),
        html: Some("<p>본문</p>".to_owned()),
        headers: vec![("X-Campaign".to_owned(), "봄 행사".to_owned())],
        attachments: vec![Attachment {
            filename: "청구서.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            content: vec![0, 255, 13, 10, 46],
        }],
        ..email()
    };
    mailer.send(&email).await.unwrap();
    let (to, bytes) = mails.recv().unwrap();
    let mail = parse(&bytes);
    assert_eq!(to, ["a@example.com", "b@example.com", "c@example.com", "hidden@example.com"]);
    assert!(!String::from_utf8_lossy(&bytes).contains("hidden@example.com"));
    assert_eq!(mail.to().unwrap().iter().count(), 2);
    assert_eq!(mail.reply_to().unwrap().first().unwrap().address(), Some("answers@example.com"));
    assert!(mail.body_text(0).unwrap().contains("본문"));
    assert_eq!(mail.body_html(0).unwrap(), "<p>본문</p>");
    let campaign = mail.header_as("X-Campaign", HeaderForm::Text);
    assert_eq!(campaign.first().and_then(|value| value.as_text()), Some("봄 행사"));
    let file = mail.attachment(0).unwrap();
    assert_eq!(file.attachment_name(), Some("청구서.pdf"));
    assert_eq!(file.contents(), [0, 255, 13, 10, 46]);
}

#[tokio::test]
async fn one_connection_serves_many_emails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = std::thread::spawn(move || {
        // Ends with the first connection: a second one would find nobody.
        let (stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let say = |text: &str| (&stream).write_all(format!("{text}\r\n").as_bytes()).unwrap();
        say("220 hi");
        let mut mails = 0;
        while let Some(Ok(line)) = lines.next() {
            match line.as_str() {
                "DATA" => {
                    say("354 go on");
                    lines.find(|line| line.as_ref().is_ok_and(|line| line == "."));
                    mails += 1;
                    say(&format!("250 queued as {mails}"));
                }
                _ => say("250 fine"),
            }
        }
        mails
    });
    let mailer = mailer(address);
    for n in 1..=3 {
        assert_eq!(mailer.send(&email()).await.unwrap().response, format!("250 queued as {n}"));
    }
    drop(mailer);
    assert_eq!(connections.join().unwrap(), 3);
}

#[tokio::test]
async fn an_answer_of_4xx_is_transient_and_5xx_permanent() {
    let (mailer, _mails) = serve(|| Response::custom(450, "mailbox busy".to_owned()), ok);
    let text = transient(mailer.send(&email()).await);
    assert!(text.contains("450 mailbox busy"), "{text}");
    let (mailer, _mails) = serve(|| Response::custom(550, "no such user".to_owned()), ok);
    let text = permanent(mailer.send(&email()).await);
    assert!(text.contains("550 no such user"), "{text}");
}

/// This server answers nothing after refusing the data, QUIT included.
#[tokio::test]
async fn a_refusal_is_reported_although_the_server_goes_silent() {
    let (mailer, _mails) = serve(ok, || Response::custom(554, "spam".to_owned()));
    let start = Instant::now();
    let text = permanent(mailer.send(&email()).await);
    assert!(text.contains("554 spam"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_connection_the_server_closed_is_replaced() {
    let (mailer, mails) = serve(ok, || {
        let mut last = Response::custom(250, "OK".to_owned());
        last.action = Action::Close;
        last
    });
    for _ in 0..3 {
        mailer.send(&email()).await.unwrap();
        mails.recv().unwrap();
    }
}

#[tokio::test]
async fn nobody_listening_is_transient() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = transient(mailer(address).send(&email()).await);
    assert!(text.contains(&format!("smtp://{address}")), "{text}");
}

#[tokio::test]
async fn a_hung_server_is_transient_within_the_bound() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mailer = mailer(silent.local_addr().unwrap()).with_bound(Duration::from_millis(300));
    let start = Instant::now();
    let text = transient(mailer.send(&email()).await);
    assert!(text.contains("within 0.3 s"), "{text}");
    assert!((300..1500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

/// The answer to the e-mail that was given up must not be taken for the answer to the next one.
#[tokio::test]
async fn an_email_cut_off_by_the_bound_does_not_disturb_the_next() {
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(Some(gate));
    let (mailer, mails) = serve(ok, move || {
        // The first e-mail waits to be released, the others are refused.
        let first = gate.lock().take();
        match first {
            Some(gate) => {
                gate.recv().ok();
                ok()
            }
            None => Response::custom(554, "not this one".to_owned()),
        }
    });
    let mailer = mailer.with_bound(Duration::from_millis(300));
    transient(mailer.send(&email()).await);
    release.send(()).unwrap();
    mails.recv().unwrap();
    let text = permanent(mailer.send(&email()).await);
    assert!(text.contains("554 not this one"), "{text}");
}

#[tokio::test]
async fn at_most_ten_connections_and_every_email_arrives() {
    let (mailer, mails) = serve(ok, ok);
    let mailer = Arc::new(mailer);
    let sends: Vec<_> = (0..200)
        .map(|_| {
            let mailer = Arc::clone(&mailer);
            tokio::spawn(async move { mailer.send(&email()).await })
        })
        .collect();
    for send in sends {
        send.await.unwrap().unwrap();
    }
    assert_eq!(mails.try_iter().count(), 200);
    assert!(mailer.idle.lock().len() <= CONNECTIONS);
}

#[tokio::test]
async fn a_server_without_starttls_or_login_is_transient() {
    let (mailer, _mails) = serve(ok, ok);
    let address = mailer.to_string().replace("smtp://", "");
    let required = Mailer::from_url(&format!("smtp://{address}?tls=required")).unwrap();
    assert!(transient(required.send(&email()).await).contains("STARTTLS"));
    let login = Mailer::from_url(&format!("smtp://user:hunter2@{address}")).unwrap();
    let text = transient(login.send(&email()).await);
    assert!(text.contains("login") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_refused_login_is_transient_and_shows_no_secret() {
    #[derive(Clone)]
    struct Locked;
    impl Handler for Locked {
        fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
            Response::custom(535, format!("{user} with {password}?"))
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::new(Locked);
    // This server offers AUTH over TLS only, so a plain one is spoken to by hand.
    server.with_tcp_listener(listener).with_auth(mailin_embedded::AuthMechanism::Plain);
    std::thread::spawn(move || server.serve().unwrap());
    let mailer = Mailer::from_url(&format!("smtp://user:hunter2@{address}")).unwrap();
    let text = transient(mailer.send(&email()).await);
    assert!(text.contains("login") && !text.contains("hunter2"), "{text}");
    assert!(!format!("{mailer:?} {mailer}").contains("hunter2"));
}

fn refused(change: impl FnOnce(&mut Email)) -> String {
    let mut email = email();
    change(&mut email);
    match compose::compose(&email) {
        Ok(mail) => panic!("accepted: {}", String::from_utf8_lossy(&mail.message)),
        Err(text) => text,
    }
}

#[test]
fn headers_cannot_be_injected() {
    let evil = "x\r\nBcc: victim@example.com";
    let named = |name: &str| Address { name: Some(name.to_owned()), email: "a@example.com".to_owned() };
    assert!(refused(|mail| mail.subject = evil.to_owned()).contains("subject"));
    refused(|mail| mail.subject = "x\ny".to_owned());
    refused(|mail| mail.subject = "x\0y".to_owned());
    refused(|mail| mail.sender = named(evil));
    refused(|mail| mail.to = vec![named(evil)]);
    refused(|mail| mail.cc = vec![named(evil)]);
    refused(|mail| mail.bcc = vec![named(evil)]);
    refused(|mail| mail.reply_to = Some(named(evil)));
    refused(|mail| mail.to = vec![address("a@example.com\r\nRCPT TO:<victim@example.com>")]);
    refused(|mail| mail.to = vec![address("a@example.com>\r\nDATA")]);
    refused(|mail| mail.to = vec![address("a@example.com> SIZE=1")]);
    refused(|mail| mail.headers = vec![("X-A".to_owned(), evil.to_owned())]);
    refused(|mail| mail.headers = vec![("X-A\r\nBcc".to_owned(), "v@example.com".to_owned())]);
    for name in ["", "X A", "X:A", "X-é", "X-\u{7f}", "X\tA", &"x".repeat(77)] {
        refused(|mail| mail.headers = vec![(name.to_owned(), "v".to_owned())]);
    }
    for name in ["Bcc", "FROM", "content-type", "Content-Transfer-Encoding", "Message-ID", "ARC-Seal"] {
        assert!(refused(|mail| mail.headers = vec![(name.to_owned(), "v".to_owned())]).contains(name));
    }
    let file = |filename: &str, content_type: &str| Attachment {
        filename: filename.to_owned(),
        content_type: content_type.to_owned(),
        content: vec![],
    };
    for (filename, content_type) in [
        (evil, "text/plain"),
        ("a", "text/plain\r\nBcc: v@example.com"),
        ("a", "nonsense"),
        ("a", "multipart/mixed"),
    ] {
        refused(|mail| mail.attachments = vec![file(filename, content_type)]);
    }
}

#[test]
fn what_is_no_address_is_refused_in_clear_words() {
    assert!(refused(|mail| mail.to.clear()).contains("no recipient"));
    let text = refused(|mail| mail.to = vec![address("010-1234-5678")]);
    assert!(text.contains("to: \"010-1234-5678\" is not an e-mail address"), "{text}");
    assert!(refused(|mail| mail.sender = address(" ")).contains("the sender"));
    let text = refused(|mail| mail.headers = vec![("X".into(), "1".into()), ("x".into(), "2".into())]);
    assert!(text.contains("twice"), "{text}");
}

#[tokio::test]
async fn an_address_that_is_not_ascii_needs_the_servers_consent() {
    let (mailer, _mails) = serve(ok, ok);
    let text = permanent(mailer.send(&Email { to: vec![address("사용자@example.com")], ..email() }).await);
    assert!(text.contains("SMTPUTF8"), "{text}");
}

proptest! {
    /// Whatever people are called and write, it is accepted, arrives, and stays in its place.
    #[test]
    fn any_printable_text_survives(
        name in "\\PC{0,40}", subject in "\\PC{0,120}", text in "[\\PC\n]{0,200}", filename in "\\PC{1,60}",
    ) {
        let email = Email {
            sender: Address { name: Some(name.clone()), email: "from@example.com".to_owned() },
            to: vec![Address { name: Some(name.clone()), email: "to@example.com".to_owned() }],
            subject: subject.clone(),
            text: Some(text),
            attachments: vec![Attachment {
                filename, content_type: "text/plain".to_owned(), content: b"x".to_vec(),
            }],
            ..email()
        };
        let mail = compose::compose(&email).map_err(TestCaseError::fail)?;
        prop_assert!(!mail.international);
        let parsed = parse(&mail.message);
        prop_assert_eq!(parsed.from().and_then(|from| from.first()).and_then(|a| a.address()), Some("from@example.com"));
        prop_assert_eq!(parsed.to().map(|to| to.iter().count()), Some(1));
        prop_assert_eq!(parsed.attachment_count(), 1);
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        prop_assert_eq!(squeezed(parsed.subject().unwrap_or_default()), squeezed(&subject));
        for (header, _) in parsed.headers_raw() {
            prop_assert!(
                ["From", "To", "Subject", "Message-ID", "Date", "MIME-Version", "Content-Type"].contains(&header),
                "{}", header
            );
        }
    }
}

#[test]
fn urls_are_read_and_shown_without_secrets() {
    for (url, shown) in [
        ("smtp://localhost", "smtp://localhost:25"),
        ("smtp://127.0.0.1:1025", "smtp://127.0.0.1:1025"),
        ("smtp://[::1]:1025", "smtp://[::1]:1025"),
        ("smtp://u:p%40ss@mail.example.com?tls=required", "smtp://mail.example.com:587"),
        ("smtp://mail.example.com:2525/client.example.com?tls=opportunistic", "smtp://mail.example.com:2525"),
        ("smtps://u:p@mail.example.com", "smtps://mail.example.com:465"),
    ] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        assert_eq!(Mailer::from_url(url).unwrap().to_string(), shown);
    }
}

#[test]
fn wrong_urls_say_what_to_write_and_repeat_nothing() {
    for url in [
        "",
        "hunter2",
        "localhost:1025",
        "http://u:hunter2@host",
        "smtp://",
        "smtp://:hunter2@host",
        "smtp://hunter2@host",
        "smtp://u:hunter2/x@host",
        "smtp://u:1/hunter2@host",
        "smtp://u:1#hunter2@host",
        "smtp://u:1?hunter2@host",
        "smtp://u:hunter2@host:0",
        "smtp://host:99999",
        "smtp://host?tls=hunter2",
        "smtp://host?tls=required&x=hunter2",
        "smtps://host?tls=required",
        "smtp://host/a%20b",
    ] {
        let failure = Mailer::from_url(url).expect_err(url);
        assert_eq!(failure.code(), 2);
        let text = failure.to_string();
        assert!(text.contains("help: write smtp://HOST:PORT") && !text.contains("hunter2"), "{url}: {text}");
    }
}
