//! Against real SMTP servers in this process.

mod faults;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mail_parser::{HeaderForm, Message, MessageParser, MimeHeaders};
use mailin_embedded::{Action, Handler, Response, Server, SslConfig};
use parking_lot::Mutex;

use super::*;

/// The answer of a test's server to recipients and to a complete e-mail.
type Answers = fn() -> Response;
/// Recipients of the envelope, and data.
type Caught = (Vec<String>, Vec<u8>);

#[derive(Clone)]
struct Catcher {
    rcpt: Answers,
    end: Arc<dyn Fn() -> Response + Send + Sync>,
    data: Vec<u8>,
    to: Vec<String>,
    caught: Sender<Caught>,
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

pub(in crate::capabilities::mail) fn ok() -> Response {
    mailin_embedded::response::OK
}

/// A server with these answers, and a mailer for it.
pub(in crate::capabilities::mail) fn serve(
    rcpt: Answers,
    end: impl Fn() -> Response + Send + Sync + 'static,
) -> (Mailer, Receiver<Caught>) {
    let (caught, mails) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::new(Catcher { rcpt, end: Arc::new(end), data: vec![], to: vec![], caught });
    server.with_num_threads(16).with_tcp_listener(listener).with_ssl(SslConfig::None).unwrap();
    std::thread::spawn(move || server.serve().unwrap());
    (mailer(address), mails)
}

fn mailer(address: SocketAddr) -> Mailer {
    Mailer::new(&format!("smtp://{address}"), &MailServer::default()).unwrap()
}

pub(in crate::capabilities::mail) fn mailer_with(address: SocketAddr, settings: MailServer) -> Mailer {
    Mailer::new(&format!("smtp://{address}"), &settings).unwrap()
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

fn unknown(result: Result<Receipt, MailError>) -> String {
    match result {
        Err(MailError::Unknown(text)) => text,
        other => panic!("not unknown: {other:?}"),
    }
}

#[tokio::test]
async fn delivers_text_with_utf8_everywhere() {
    let (mailer, mails) = serve(ok, ok);
    let receipt = mailer.send(&email(), "0").await.unwrap();
    let (to, bytes) = mails.recv().unwrap();
    let mail = parse(&bytes);
    assert_eq!(to, ["to@example.com"]);
    assert_eq!(mail.subject(), Some("안녕하세요 👋"));
    assert_eq!(mail.from().unwrap().first().unwrap().name(), Some("보내는 이"));
    assert_eq!(mail.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), "본문\n.\n끝");
    assert_eq!(format!("<{}>", mail.message_id().unwrap()), receipt.id);
    assert_eq!(receipt.id, "<0@example.com>");
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
    mailer.send(&email, "0").await.unwrap();
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
async fn dots_at_the_beginning_of_a_line_arrive() {
    let (mailer, mails) = serve(ok, ok);
    let text = ".\r\n..\r\na.\r\n.b\r\n\r\n.";
    mailer.send(&Email { text: Some(text.to_owned()), ..email() }, "0").await.unwrap();
    let (_, bytes) = mails.recv().unwrap();
    assert_eq!(parse(&bytes).body_text(0).unwrap().trim_end(), text);
}

/// A separate end would wait for an acknowledgement that the server delays.
#[tokio::test]
async fn the_end_of_the_content_comes_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mailer = mailer(listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let answer = |text: &str| (&stream).write_all(text.as_bytes()).unwrap();
        answer("220 hi\r\n");
        for text in ["250 hello\r\n", "250 fine\r\n", "250 fine\r\n", "354 go on\r\n"] {
            reader.read_line(&mut String::new()).unwrap();
            answer(text);
        }
        let came = reader.fill_buf().unwrap().to_vec();
        answer("250 queued\r\n");
        came
    });
    mailer.send(&email(), "0").await.unwrap();
    let came = server.join().unwrap();
    assert!(came.ends_with(b"\r\n.\r\n"), "{}", String::from_utf8_lossy(&came));
}

/// Serves one connection, and accepts what comes.
pub(in crate::capabilities::mail) fn converse(listener: TcpListener) {
    answer_lines(listener, |line| if line == "DATA" { "354 go on" } else { "250 fine" }.to_owned());
}

/// A server for one connection that answers each line with `reply`. It stops listening after the first connection, so
/// a second one is refused.
fn scripted(reply: impl FnMut(&str) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || answer_lines(listener, reply));
    address
}

fn answer_lines(listener: TcpListener, mut reply: impl FnMut(&str) -> String) {
    let (stream, _) = listener.accept().unwrap();
    drop(listener);
    let answer = |text: &str| (&stream).write_all(format!("{text}\r\n").as_bytes());
    let mut lines = BufReader::new(&stream).lines();
    let mut answered = answer("220 hi");
    while let (Ok(()), Some(Ok(line))) = (answered, lines.next()) {
        answered = answer(&reply(&line));
        if line == "DATA" {
            // Without the whole content there is nothing to answer.
            let Some(_) = lines.find(|line| line.as_ref().is_ok_and(|line| line == ".")) else { return };
            answered = answer(&reply("."));
        }
    }
}

#[tokio::test]
async fn one_connection_serves_many_emails() {
    let mut taken = 0;
    let mailer = mailer(scripted(move |line| match line {
        "DATA" => "354 go on".to_owned(),
        "." => {
            taken += 1;
            format!("250 queued as {taken}")
        }
        _ => "250 fine".to_owned(),
    }));
    for n in 1..=3 {
        assert_eq!(mailer.send(&email(), "0").await.unwrap().response, format!("250 queued as {n}"));
    }
}

/// A server that refuses recipients whose name begins with a code; and the commands that it gets.
fn choosy() -> (Mailer, Receiver<String>) {
    let (sender, commands) = channel();
    let address = scripted(move |line| {
        sender.send(line.to_owned()).unwrap();
        match line.strip_prefix("RCPT TO:<").map(|rest| &rest[..3]) {
            Some(code) if code.starts_with(['4', '5']) => format!("{code} not {code}"),
            _ if line == "DATA" => "354 go on".to_owned(),
            _ => "250 fine".to_owned(),
        }
    });
    (mailer(address), commands)
}

fn to(recipients: &[&str]) -> Email {
    Email { to: recipients.iter().map(|recipient| address(recipient)).collect(), ..email() }
}

#[tokio::test]
async fn accepted_recipients_get_the_email_and_refused_ones_are_reported() {
    let (mailer, commands) = choosy();
    let mut mail = to(&["550@example.com", "a@example.com"]);
    (mail.cc, mail.bcc) = (vec![address("451@example.com")], vec![address("b@example.com")]);
    let receipt = mailer.send(&mail, "0").await.unwrap();
    let refused = |recipient: &str, transient, response: &str| Refusal {
        recipient: recipient.to_owned(),
        transient,
        response: response.to_owned(),
    };
    assert_eq!(
        receipt.refused,
        [refused("550@example.com", false, "550 not 550"), refused("451@example.com", true, "451 not 451")]
    );
    assert_eq!(commands.try_iter().filter(|line| line.starts_with("RCPT")).count(), 4);
}

#[tokio::test]
async fn no_accepted_recipient_is_transient_with_one_4xx_and_keeps_the_connection() {
    let (mailer, commands) = choosy();
    let text = transient(mailer.send(&to(&["550@example.com", "452@example.com"]), "0").await);
    assert!(text.contains("none of 2 recipients") && text.contains("452 not 452"), "{text}");
    let text = permanent(mailer.send(&to(&["550@example.com", "553@example.com"]), "0").await);
    assert!(text.contains("550 not 550"), "{text}");
    // The server has stopped listening: this is the same connection.
    assert_eq!(mailer.send(&email(), "0").await.unwrap().refused, []);
    let commands: Vec<_> = commands.try_iter().map(|line| line.chars().take(4).collect::<String>()).collect();
    let refused = ["MAIL", "RCPT", "RCPT", "RSET"];
    let taken = ["MAIL", "RCPT", "DATA"];
    // Without the greeting, and without the end of the content, which is a line of its own.
    let commands = &commands[1..commands.len() - 1];
    assert_eq!(commands, [&refused[..], &refused, &taken].concat());
}

#[tokio::test]
async fn a_server_that_says_goodbye_to_a_recipient_is_transient() {
    let address =
        scripted(|line| if line.starts_with("RCPT") { "421 closing" } else { "250 fine" }.to_owned());
    let mailer = mailer(address);
    let text = transient(mailer.send(&to(&["a@example.com", "b@example.com"]), "0").await);
    assert!(text.contains("421 closing"), "{text}");
    assert_eq!(mailer.idle.len(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_soon() {
    let (mailer, _mails) = serve(ok, ok);
    mailer.send(&email(), "0").await.unwrap();
    assert_eq!(mailer.idle.len(), 1);
    sleep(Duration::from_millis(5500)).await;
    assert_eq!(mailer.idle.len(), 0);
    mailer.send(&email(), "0").await.unwrap();
}
