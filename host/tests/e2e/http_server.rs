//! A small HTTP/1.1 server that records every request and answers as the test requires.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::spawn;
use std::time::Instant;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The time of its last byte.
    pub at: Instant,
    /// Method and path.
    pub line: String,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The whole body, as text.
    pub body: String,
}

impl Request {
    /// The first header with this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A running server. It runs until the tests end.
pub struct HttpServer {
    /// Its address.
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Request>,
}

impl HttpServer {
    /// Starts a server. `answer` writes the whole response, head and body, which ends the connection.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
        spawn(move || {
            for stream in listener.incoming().flatten() {
                lock(&kept).connections += 1;
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                spawn(move || serve(stream, &kept, &*answer));
            }
        });
        Self { address, seen }
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.seen).requests.clone()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        lock(&self.seen).connections
    }
}

/// Writes a response with a body of JSON or text.
pub fn answer(stream: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: &str) {
    let mut head =
        format!("HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    // The client may have disconnected.
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes());
}

fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, answer: &dyn Fn(&Request, &mut TcpStream)) {
    let Ok(reading) = stream.try_clone() else { return };
    // An incomplete request does not count.
    let Some(request) = read(&mut BufReader::new(reading)) else { return };
    lock(seen).requests.push(request.clone());
    answer(&request, &mut stream);
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut next = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = next()?;
    let line = first.rsplit_once(' ')?.0.to_owned();
    let mut headers = Vec::new();
    loop {
        let line = next()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { at: Instant::now(), line, headers, body: String::new() };
    let body = match request.header("transfer-encoding") {
        Some("chunked") => chunked(stream)?,
        _ => {
            let mut body =
                vec![0; request.header("content-length").map_or(Some(0), |text| text.parse().ok())?];
            stream.read_exact(&mut body).ok()?;
            body
        }
    };
    request.body = String::from_utf8_lossy(&body).into_owned();
    request.at = Instant::now();
    Some(request)
}

fn chunked(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
