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
    let mailer = mailer(silent.local_addr().unwrap()).with_bound(Duration::from_millis(300));
    let start = Instant::now();
    let text = transient(mailer.send(&email(), "0").await);
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
    assert!(mailer.idle.lock().len() <= MAX_CONNECTIONS);
}

#[tokio::test]
async fn at_most_twenty_reservations_and_the_next_waits_no_longer_than_the_bound() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mailer = mailer(silent.local_addr().unwrap()).with_bound(Duration::from_millis(300));
    let mut reservations = Vec::new();
    for _ in 0..MAX_RESERVATIONS {
        reservations.push(mailer.reserve().await.unwrap());
    }
    let asked = Instant::now();
    let late = mailer.reserve().await.err().expect("no reservation");
    assert_eq!(late.to_string(), format!("{mailer} did not accept the e-mail within 0.3 s"));
    assert!(asked.elapsed() >= Duration::from_millis(300));
    reservations.pop();
    let reservation = mailer.reserve().await.unwrap();
    transient(mailer.send_reserved(reservation, &email(), "0").await);
    assert!(mailer.reserve().await.is_ok(), "it is given back");
}

#[tokio::test]
async fn a_server_without_starttls_or_login_is_transient() {
    let (mailer, _mails) = serve(ok, ok);
    let address = mailer.to_string().replace("smtp://", "");
    let required = Mailer::from_url(&format!("smtp://{address}?tls=required"), None).unwrap();
    assert!(transient(required.send(&email(), "0").await).contains("STARTTLS"));
    let login = Mailer::from_url(&format!("smtp://user:hunter2@{address}"), None).unwrap();
    let text = transient(login.send(&email(), "0").await);
    assert!(text.contains("login") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_greeting_with_a_line_of_blanks_is_transient() {
    let address = scripted(|_| "250-hello\r\n250 \t".to_owned());
    let mailer = mailer(address);
    assert!(transient(mailer.send(&email(), "0").await).contains("response to EHLO"));
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
    let mailer = Mailer::from_url(&format!("smtp://user:hunter%32@{address}"), None).unwrap();
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
