//! Servers that fail, and bounds.

use super::*;

/// It makes a difference whether the server answers the content with an error or only closes the connection.
#[tokio::test]
async fn a_connection_that_breaks_is_unknown_once_the_content_began() {
    for (at, sent) in [("MAIL", false), ("RCPT", false), ("DATA", false), (".", true)] {
        let address = scripted(move |line| match line.split(' ').next() {
            Some(word) if word == at => panic!("the connection breaks at {at}"),
            Some("DATA") => "354 go on".to_owned(),
            _ => "250 fine".to_owned(),
        });
        let result = mailer(address).send(&email(), "0").await;
        let text = if sent { unknown(result) } else { transient(result) };
        assert!(text.contains("broke"), "{at}: {text}");
    }
}

#[tokio::test]
async fn an_answer_of_4xx_is_transient_and_5xx_permanent() {
    let (mailer, _mails) = serve(|| Response::custom(450, "mailbox busy".to_owned()), ok);
    let text = transient(mailer.send(&email(), "0").await);
    assert!(text.contains("450 mailbox busy"), "{text}");
    let (mailer, _mails) = serve(|| Response::custom(550, "no such user".to_owned()), ok);
    let text = permanent(mailer.send(&email(), "0").await);
    assert!(text.contains("550 no such user"), "{text}");
}

/// This server answers nothing after refusing the data, QUIT included.
#[tokio::test]
async fn a_refusal_is_reported_although_the_server_goes_silent() {
    let (mailer, _mails) = serve(ok, || Response::custom(554, "spam".to_owned()));
    let start = Instant::now();
    let text = permanent(mailer.send(&email(), "0").await);
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
        mailer.send(&email(), "0").await.unwrap();
        mails.recv().unwrap();
    }
}

#[tokio::test]
async fn nobody_listening_is_transient() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = transient(mailer(address).send(&email(), "0").await);
    assert!(text.contains(&format!("smtp://{address}")), "{text}");
}

#[tokio::test]
async fn a_hung_server_is_transient_within_the_bound() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let greeting_timeout = Some(Duration::from_millis(300));
    let settings = MailServer { greeting_timeout, ..MailServer::default() };
    let mailer = mailer_with(silent.local_addr().unwrap(), settings);
    let start = Instant::now();
    let text = transient(mailer.send(&email(), "0").await);
    assert!(text.contains("no answer to the connection within 0.3 s"), "{text}");
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
}

#[tokio::test]
async fn slow_phases_have_time_outs_of_their_own() {
    // Each answer is slower than the time-outs of the other phases.
    let slow = |at: &'static str| {
        scripted(move |line| {
            let verb = line.split(' ').next().unwrap_or_default();
            if verb == at {
                std::thread::sleep(Duration::from_millis(300));
            }
            if verb == "DATA" { "354 go on".to_owned() } else { "250 fine".to_owned() }
        })
    };
    let (short, long) = (Some(Duration::from_millis(150)), Some(Duration::from_secs(5)));
    for (at, settings) in [
        (
            "MAIL",
            MailServer {
                command_timeout: long,
                data_timeout: short,
                end_timeout: short,
                ..MailServer::default()
            },
        ),
        (
            "DATA",
            MailServer {
                command_timeout: short,
                data_timeout: long,
                end_timeout: short,
                ..MailServer::default()
            },
        ),
        (
            ".",
            MailServer {
                command_timeout: short,
                data_timeout: short,
                end_timeout: long,
                ..MailServer::default()
            },
        ),
    ] {
        mailer_with(slow(at), settings)
            .send(&email(), "0")
            .await
            .unwrap_or_else(|error| panic!("{at}: {error}"));
    }
    let too_short = MailServer { end_timeout: short, ..MailServer::default() };
    let text = unknown(mailer_with(slow("."), too_short).send(&email(), "0").await);
    assert!(text.contains("no answer to the content within 0.15 s"), "{text}");
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
    let end_timeout = Some(Duration::from_millis(300));
    let settings = MailServer { end_timeout, ..MailServer::default() };
    let mailer = Mailer::new(&mailer.to_string(), &settings).unwrap();
    unknown(mailer.send(&email(), "0").await);
    release.send(()).unwrap();
    mails.recv().unwrap();
    let text = permanent(mailer.send(&email(), "0").await);
    assert!(text.contains("554 not this one"), "{text}");
}

#[tokio::test]
async fn at_most_ten_connections_and_every_email_arrives() {
    let (mailer, mails) = serve(ok, ok);
    let mailer = Arc::new(mailer);
    let sends: Vec<_> = (0..200)
        .map(|_| {
            let mailer = Arc::clone(&mailer);
            tokio::spawn(async move { mailer.send(&email(), "0").await })
        })
        .collect();
    for send in sends {
        send.await.unwrap().unwrap();
    }
    assert_eq!(mails.try_iter().count(), 200);
    assert!(mailer.idle.len() <= CONNECTIONS);
}

#[tokio::test]
async fn a_server_without_starttls_or_login_is_transient() {
    let (mailer, _mails) = serve(ok, ok);
    let address = mailer.to_string().replace("smtp://", "");
    let required = Mailer::new(&format!("smtp://{address}?tls=required"), &MailServer::default()).unwrap();
    assert!(transient(required.send(&email(), "0").await).contains("STARTTLS"));
    let login = Mailer::new(&format!("smtp://user:hunter2@{address}"), &MailServer::default()).unwrap();
    let text = transient(login.send(&email(), "0").await);
    assert!(text.contains("login") && !text.contains("hunter2"), "{text}");
}

/// Each answer is one that servers give and a strict client refuses.
#[tokio::test]
async fn the_code_decides_whatever_the_text() {
    for (rcpt, end, expected) in [
        ("250", "250", Ok("250")),
        ("250 ", "250 ", Ok("250")),
        ("250-first\n250", "299 unheard of", Ok("299 unheard of")),
        ("250 fine\n", "250 queued", Ok("250 queued")),
        ("250", "571 5.7.1 blocked", Err(true)),
        ("250", "571", Err(true)),
        ("250", "471 not now", Err(false)),
        ("571", "250", Err(true)),
        ("471", "250", Err(false)),
    ] {
        let address = scripted(move |line| match line.split(' ').next() {
            Some("EHLO") => "250-hello\r\n\r\n250 \t".to_owned(),
            Some("RCPT") => rcpt.to_owned(),
            Some("DATA") => "354".to_owned(),
            Some(".") => end.to_owned(),
            _ => "250".to_owned(),
        });
        let sent = mailer(address).send(&email(), "0").await;
        match expected {
            Ok(response) => assert_eq!(sent.unwrap().response, response),
            Err(true) => _ = permanent(sent),
            Err(false) => _ = transient(sent),
        }
    }
}

#[tokio::test]
async fn a_refusal_that_is_not_utf8_concerns_one_recipient_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mailer = mailer(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let answer = |bytes: &[u8]| (&stream).write_all(bytes).unwrap();
        answer(b"220 \xbe\xc8\xb3\xe7\n");
        for line in BufReader::new(&stream).lines().map_while(Result::ok) {
            match line.split(':').next().unwrap_or_default() {
                "RCPT TO" if line.contains("b@") => {
                    answer(b"550 \xbe\xf8\xb4\xc2 \xbb\xe7\xbf\xeb\xc0\xda\n")
                }
                "DATA" => answer(b"354 \xb0\xe8\xbc\xd3\n"),
                _ if line.contains(':') && !line.contains(" TO:") && !line.contains(" FROM:") => {}
                "MAIL FROM" | "RCPT TO" | "." => answer(b"250 \xc1\xc1\xc0\xbd\n"),
                _ if line.starts_with("EHLO") => answer(b"250 \xbe\xc8\xb3\xe7\n"),
                _ => {}
            }
        }
    });
    let receipt = mailer.send(&to(&["a@example.com", "b@example.com", "c@example.com"]), "0").await.unwrap();
    assert!(receipt.response.starts_with("250 \u{fffd}"), "{receipt:?}");
    let refused: Vec<_> = receipt.refused.iter().map(|refusal| refusal.recipient.as_str()).collect();
    assert_eq!(refused, ["b@example.com"]);
    assert!(!receipt.refused[0].transient && receipt.refused[0].response.starts_with("550 "), "{receipt:?}");
}

#[tokio::test]
async fn a_refused_login_is_transient_and_shows_no_secret() {
    let (sender, commands) = channel();
    let address = scripted(move |line| match line.split(' ').next() {
        Some("EHLO") => "250-hello\r\n250 AUTH PLAIN".to_owned(),
        Some("AUTH") => {
            sender.send(line.to_owned()).unwrap();
            format!("535 not with {line} hunter2")
        }
        _ => "250 fine".to_owned(),
    });
    let mailer = Mailer::new(&format!("smtp://user:hunter%32@{address}"), &MailServer::default()).unwrap();
    let text = transient(mailer.send(&email(), "0").await);
    assert_eq!(commands.recv().unwrap(), "AUTH PLAIN AHVzZXIAaHVudGVyMg==");
    assert!(text.contains("login with 535") && !text.contains("hunter2") && !text.contains("AHVz"), "{text}");
    assert!(!format!("{mailer:?} {mailer}").contains("hunter"));
}

#[tokio::test]
async fn an_address_that_is_not_ascii_needs_the_servers_consent() {
    let (mailer, _mails) = serve(ok, ok);
    let text =
        permanent(mailer.send(&Email { to: vec![address("사용자@example.com")], ..email() }, "0").await);
    assert!(text.contains("SMTPUTF8"), "{text}");
}
