//! Replies of a mail server. The first byte decides whether the host logs in. The rest is all the data of the
//! server on a connection.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sandbox::capabilities::mail::mailer::{Address, Email, MailError, Mailer};
use settings::MailServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

const BOUND: Duration = Duration::from_secs(2);
const PASSWORD: &str = "hunter2-hunter2";
/// The bound on an error: a reply, truncated at 300 characters, and the name of the server.
const MAX_ERROR_LEN: usize = 400;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));
/// One listener for all runs, to save ports.
static LISTENER: LazyLock<TcpListener> =
    LazyLock::new(|| RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port"));

fuzz_target!(|data: &[u8]| {
    let Some((kind, script)) = data.split_first() else { return };
    let port = LISTENER.local_addr().expect("an address").port();
    RUNTIME.block_on(async {
        let login = if kind % 2 == 1 { format!("user:{PASSWORD}@") } else { String::new() };
        let mailer = Mailer::new(&format!("smtp://{login}127.0.0.1:{port}"), &settings());
        let mailer = mailer.expect("a URL");
        let sending = async {
            // The second e-mail uses the connection of the first, if it is still open.
            for name in ["first", "second"] {
                let sent = mailer.send(&email(), name).await;
                check(sent.map(|receipt| (receipt.response, receipt.refused.len())));
            }
            drop(mailer);
        };
        tokio::select! {
            () = serve(&LISTENER, script) => {}
            () = sending => {}
        }
    });
});

fn settings() -> MailServer {
    let bound = Some(BOUND);
    MailServer {
        greeting_timeout: bound,
        command_timeout: bound,
        data_timeout: bound,
        end_timeout: bound,
        ..MailServer::default()
    }
}

/// Sends everything at once, and closes the connection after the client.
async fn serve(listener: &TcpListener, script: &[u8]) {
    loop {
        let Ok((mut connection, _)) = listener.accept().await else { continue };
        let _ = connection.write_all(script).await;
        let _ = connection.shutdown().await;
        let mut heard = [0; 4096];
        while connection.read(&mut heard).await.is_ok_and(|count| count > 0) {}
    }
}

fn email() -> Email {
    let address = |email: &str| Address { name: None, email: email.to_owned() };
    Email {
        sender: address("a@example.com"),
        to: vec![address("b@example.com"), address("c@example.com")],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: None,
        subject: "subject".to_owned(),
        text: Some("text".to_owned()),
        html: None,
        headers: Vec::new(),
        attachments: Vec::new(),
    }
}

fn check(sent: Result<(String, usize), MailError>) {
    let said = match sent {
        Ok((response, refused)) => {
            assert!(refused < 2 && response.starts_with(['2', '3']), "{refused} {response}");
            response
        }
        Err(error) => error.to_string(),
    };
    assert!(!said.contains(char::is_control) && said.chars().count() <= MAX_ERROR_LEN, "{said:?}");
    assert!(!said.contains(PASSWORD), "{said:?}");
}
