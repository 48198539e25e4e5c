//! A double of an HTTP proxy, as operators run them.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Duration;

use anyhow::Result;

use crate::must;

/// The pause between two looks at a listener.
const PAUSE: Duration = Duration::from_millis(10);

/// A running proxy for CONNECT. Every tunnel ends at one server, whatever its name. It runs until this process ends.
#[derive(Debug)]
pub struct Proxy {
    /// Its address.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// What a proxy does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It opens the tunnel.
    Works,
    /// It answers with this status.
    Answers(u16),
    /// It says nothing.
    Hangs,
    /// Nobody listens.
    Away,
}

/// A request to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Its first line, such as `CONNECT name:443 HTTP/1.1`.
    pub line: String,
    /// The value of `Proxy-Authorization`, or empty.
    pub authorization: String,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    /// Requests need this value of `Proxy-Authorization`, unless it is empty.
    authorization: &'static str,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Tunnel>>,
}

impl Proxy {
    /// Starts a proxy that works. Its tunnels lead to `to`.
    #[track_caller]
    pub fn start(to: SocketAddr, authorization: &'static str) -> Self {
        must(Self::try_start(to, authorization))
    }

    fn try_start(to: SocketAddr, authorization: &'static str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let behaviour = Mutex::new(Behaviour::Works);
        let shared = Arc::new(Shared { to, authorization, behaviour, seen: Mutex::default() });
        let server = Arc::clone(&shared);
        spawn(move || run(&server, address, listener));
        Ok(Self { address, shared })
    }

    /// Changes its behaviour.
    pub fn set(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
        // Until the listener is closed or open.
        sleep(PAUSE * 5);
    }

    /// Every request so far, in order.
    pub fn seen(&self) -> Vec<Tunnel> {
        lock(&self.shared.seen).clone()
    }
}

fn run(shared: &Arc<Shared>, address: SocketAddr, first: TcpListener) -> Option<()> {
    let mut listener = Some(first);
    loop {
        if *lock(&shared.behaviour) == Behaviour::Away {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).ok();
        }
        let accepted = listener.as_ref().and_then(|listener| {
            listener.set_nonblocking(true).ok()?;
            Some(listener.accept().ok()?.0)
        });
        let Some(stream) = accepted else {
            sleep(PAUSE);
            continue;
        };
        stream.set_nonblocking(false).ok()?;
        let shared = Arc::clone(shared);
        spawn(move || serve(&shared, stream));
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut tunnel = Tunnel { line: String::new(), authorization: String::new() };
    reader.read_line(&mut tunnel.line)?;
    tunnel.line = tunnel.line.trim_end().to_owned();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("proxy-authorization")
        {
            tunnel.authorization = value.trim().to_owned();
        }
    }
    let is_known = shared.authorization.is_empty() || tunnel.authorization == shared.authorization;
    lock(&shared.seen).push(tunnel);
    let behaviour = *lock(&shared.behaviour);
    let status = match behaviour {
        Behaviour::Hangs => {
            // Until the client disconnects.
            return reader.read_line(&mut String::new()).map(drop);
        }
        Behaviour::Answers(status) => status,
        _ if !is_known => 407,
        _ => 200,
    };
    stream.write_all(format!("HTTP/1.1 {status} Said\r\n\r\n").as_bytes())?;
    if status != 200 {
        return Ok(());
    }
    let (mut inside, mut back) = (TcpStream::connect(shared.to)?, stream.try_clone()?);
    let mut outside = inside.try_clone()?;
    spawn(move || {
        let _ = std::io::copy(&mut outside, &mut back);
        back.shutdown(Shutdown::Write)
    });
    // The client waits for an answer before it sends more, so the reader holds nothing else.
    std::io::copy(&mut stream, &mut inside)?;
    inside.shutdown(Shutdown::Write)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
