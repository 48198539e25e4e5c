//! A pooler that shares a session. PgBouncer in transaction mode is not available to tests: the double does what matters
//! here, and hands one session of a real PostgreSQL to all connections, a transaction at a time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use store::{Store, StoreUrl};
use testkit::Postgres;

/// The code of a request for TLS.
const TLS: u32 = 80_877_103;

/// The session with PostgreSQL, and what it answered to its first client.
struct Session {
    server: TcpStream,
    welcome: Vec<u8>,
}

/// A message: its type, and the bytes of the whole.
fn message(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut bytes = head.to_vec();
    bytes.resize(1 + length, 0);
    stream.read_exact(&mut bytes[5..])?;
    Ok((head[0], bytes))
}

/// The first message of a client, without TLS.
fn start(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    loop {
        let mut head = [0; 4];
        client.read_exact(&mut head)?;
        let mut bytes = head.to_vec();
        bytes.resize(u32::from_be_bytes(head) as usize, 0);
        client.read_exact(&mut bytes[4..])?;
        if bytes[4..8] != TLS.to_be_bytes() {
            return Ok(bytes);
        }
        client.write_all(b"N")?;
    }
}

/// What the server says until it is ready for a query, and whether a transaction is open then.
fn answer(server: &mut TcpStream) -> std::io::Result<(Vec<u8>, bool)> {
    let mut all = Vec::new();
    loop {
        let (kind, bytes) = message(server)?;
        all.extend(&bytes);
        if kind == b'Z' {
            return Ok((all, bytes.last() != Some(&b'I')));
        }
    }
}

fn serve(mut client: TcpStream, port: u16, shared: &Mutex<Option<Session>>) -> std::io::Result<()> {
    let first = start(&mut client)?;
    let mut session = shared.lock().expect("no panic");
    if session.is_none() {
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        server.write_all(&first)?;
        let (welcome, _) = answer(&mut server)?;
        *session = Some(Session { server, welcome });
    }
    client.write_all(&session.as_ref().expect("a session").welcome)?;
    drop(session);
    loop {
        let mut next = message(&mut client)?;
        let mut session = shared.lock().expect("no panic");
        let server = &mut session.as_mut().expect("a session").server;
        loop {
            if next.0 == b'X' {
                return Ok(());
            }
            server.write_all(&next.1)?;
            if matches!(next.0, b'Q' | b'S') {
                let (bytes, is_open) = answer(server)?;
                client.write_all(&bytes)?;
                if !is_open {
                    break;
                }
            }
            next = message(&mut client)?;
        }
    }
}

/// Starts the pooler in front of this port. It runs until the tests end.
fn pooler(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let shared = Arc::new(Mutex::new(None));
    spawn(move || {
        for client in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            spawn(move || serve(client, port, &shared));
        }
    });
    address.port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_shares_sessions_is_refused() {
    let postgres = Postgres::start();
    let direct = postgres.url();
    let port = direct.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
    let shared = pooler(port.parse().expect("a number"));
    let through = direct.replace(port, &shared.to_string());
    let refused = Store::open(StoreUrl::parse(&through).expect("a URL")).await.expect_err("one session");
    assert_eq!(refused.code(), 2);
    let text = refused.to_string();
    assert!(text.contains("PgBouncer in transaction mode") && text.contains("pool_mode = session"), "{text}");
    assert!(!text.contains("hush"), "{text}");
    let looked = store::look(&StoreUrl::parse(&through).expect("a URL")).await.expect_err("one session");
    assert_eq!(looked.to_string(), text);
    Store::open(StoreUrl::parse(&direct).expect("a URL")).await.expect("sessions of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_database_creates_nothing() {
    let postgres = Postgres::start();
    let url = StoreUrl::parse(&postgres.url()).expect("a URL");
    for _ in 0..2 {
        let new = store::look(&url).await.expect("an empty database");
        assert!(new.migrations.is_none() && new.pending > 0, "{new:?}");
    }
    let desk = crate::fixture::open(&postgres.url()).await;
    let found = store::look(&url).await.expect("a store");
    assert_eq!((found.pending, found.id.as_deref()), (0, Some(desk.store_id())));
    let away = postgres.url();
    drop(postgres);
    let error = store::look(&StoreUrl::parse(&away).expect("a URL")).await.expect_err("it is away");
    assert!(
        error.to_string().contains("cannot open the store") && error.to_string().contains("help: "),
        "{error}"
    );
}
