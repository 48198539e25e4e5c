//! A double of a mail server with the manners of real ones: slow, with few connections, with terse or foreign
//! replies, away for a while. The real server is [`crate::Postfix`]; [`crate::FaultySmtp`] fails at random.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::smtp::lock;

/// The interval at which a listening server looks for its stop.
const POLL: Duration = Duration::from_millis(2);

/// The manners of a server.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// The time before the answer to a content. The e-mail is accepted at its end, even if the client has gone.
    pub slowness: Duration,
    /// The maximum number of sessions at the same time.
    pub sessions: Option<usize>,
    /// Whether a session too many is refused at MAIL with 432, not at the greeting with 421.
    pub refuses_at_mail: bool,
    /// The number of e-mails after which a session gets 421.
    pub per_session: Option<usize>,
    /// The end of each line of the server.
    pub line_end: &'static str,
    /// The whole answer to everything that is accepted.
    pub accepted: &'static [u8],
    /// The whole answer to recipients that begin with `refused-`.
    pub refused: &'static [u8],
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            slowness: Duration::ZERO,
            sessions: None,
            refuses_at_mail: false,
            per_session: None,
            line_end: "\r\n",
            accepted: b"250 OK",
            refused: b"550 5.1.1 unknown",
        }
    }
}

/// A running server. It accepts every e-mail.
#[derive(Debug)]
pub struct ManneredSmtp {
    shared: Arc<Shared>,
    running: Mutex<Arc<AtomicBool>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    manners: Manners,
    /// The number of copies of each subject.
    subjects: Mutex<HashMap<String, usize>>,
    contents: AtomicUsize,
    latest: Mutex<Option<Instant>>,
    /// Open sessions by number.
    open: Mutex<HashMap<usize, TcpStream>>,
    greeted: AtomicUsize,
    most: AtomicUsize,
    refusals: AtomicUsize,
}

impl ManneredSmtp {
    /// Starts a server.
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shared = Shared {
            address: listener.local_addr().expect("an address"),
            manners,
            subjects: Mutex::default(),
            contents: AtomicUsize::new(0),
            latest: Mutex::default(),
            open: Mutex::default(),
            greeted: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
        };
        let server = Self { shared: Arc::new(shared), running: Mutex::default() };
        server.listen(listener);
        server
    }

    /// `smtp://…`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.shared.address)
    }

    /// Ends all sessions and refuses connections until [`ManneredSmtp::come_back`].
    pub fn go_away(&self) {
        lock(&self.running).store(false, Ordering::SeqCst);
        // The listener is closed when its thread sees that.
        while TcpStream::connect(self.shared.address).is_ok() {
            sleep(POLL);
        }
        lock(&self.shared.open).values().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
    }

    /// Accepts connections again, on the same port.
    pub fn come_back(&self) {
        self.listen(TcpListener::bind(self.shared.address).expect("the port is free"));
    }

    fn listen(&self, listener: TcpListener) {
        let running = Arc::new(AtomicBool::new(true));
        *lock(&self.running) = Arc::clone(&running);
        listener.set_nonblocking(true).expect("a socket");
        let shared = Arc::clone(&self.shared);
        spawn(move || {
            while running.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    sleep(POLL);
                    continue;
                };
                stream.set_nonblocking(false).expect("a socket");
                let shared = Arc::clone(&shared);
                spawn(move || shared.serve(stream));
            }
        });
    }

    /// The number of accepted copies of each subject.
    pub fn subjects(&self) -> HashMap<String, usize> {
        lock(&self.shared.subjects).clone()
    }

    /// The number of contents that came whole, accepted or not yet.
    pub fn contents(&self) -> usize {
        self.shared.contents.load(Ordering::SeqCst)
    }

    /// The number of accepted e-mails, copies included.
    pub fn accepted(&self) -> usize {
        lock(&self.shared.subjects).values().sum()
    }

    /// When the latest e-mail was accepted.
    pub fn latest(&self) -> Option<Instant> {
        *lock(&self.shared.latest)
    }

    /// The highest number of sessions at the same time that were not refused.
    pub fn most_sessions(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// The number of sessions and transactions that were refused because there were too many.
    pub fn refusals(&self) -> usize {
        self.shared.refusals.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::SeqCst);
        // Replies are small, and the client waits for each.
        let _ = stream.set_nodelay(true);
        let Ok(copy) = stream.try_clone() else { return };
        lock(&self.open).insert(number, copy);
        let greeted = self.greeted.fetch_add(1, Ordering::SeqCst) + 1;
        let is_too_many = self.manners.sessions.is_some_and(|max| greeted > max);
        if is_too_many {
            self.refusals.fetch_add(1, Ordering::SeqCst);
        } else {
            self.most.fetch_max(greeted, Ordering::SeqCst);
        }
        let mut session = Session { server: self, wire: BufReader::new(stream), is_too_many, mails: 0 };
        let _ended = session.dialogue();
        // Before the client sees the end: its next session is not one too many.
        self.greeted.fetch_sub(1, Ordering::SeqCst);
        lock(&self.open).remove(&number);
        let _ = session.wire.get_ref().shutdown(Shutdown::Both);
    }
}

struct Session<'a> {
    server: &'a Shared,
    wire: BufReader<TcpStream>,
    is_too_many: bool,
    mails: usize,
}

impl Session<'_> {
    fn dialogue(&mut self) -> io::Result<()> {
        let manners = self.server.manners;
        if self.is_too_many && !manners.refuses_at_mail {
            return self.reply(b"421 4.7.0 too many connections");
        }
        self.reply(b"220 mannered.test")?;
        while let Some(line) = self.line()? {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.reply(b"250 mannered.test")?,
                "MAIL" if self.is_too_many => self.reply(b"432 4.3.2 too many connections")?,
                "MAIL" if manners.per_session.is_some_and(|max| self.mails >= max) => {
                    return self.reply(b"421 4.7.0 too many e-mails in this session");
                }
                "RCPT" if line.contains("<refused-") => self.reply(manners.refused)?,
                "MAIL" | "RCPT" | "RSET" => self.reply(manners.accepted)?,
                "DATA" => self.data()?,
                "QUIT" => return self.reply(b"221 bye"),
                _ => self.reply(b"502 unknown command")?,
            }
        }
        Ok(())
    }

    fn data(&mut self) -> io::Result<()> {
        self.reply(b"354 go on")?;
        let mut subject = String::new();
        loop {
            let Some(line) = self.line()? else { return Ok(()) };
            if line == "." {
                break;
            }
            if let Some(text) = line.strip_prefix("Subject: ") {
                text.clone_into(&mut subject);
            }
        }
        self.server.contents.fetch_add(1, Ordering::SeqCst);
        sleep(self.server.manners.slowness);
        self.mails += 1;
        *lock(&self.server.subjects).entry(subject).or_default() += 1;
        *lock(&self.server.latest) = Some(Instant::now());
        self.reply(self.server.manners.accepted)
    }

    /// A line without its end; None at the end of the connection.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let count = self.wire.read_until(b'\n', &mut line)?;
        Ok((count > 0).then(|| String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn reply(&mut self, text: &[u8]) -> io::Result<()> {
        let line = [text, self.server.manners.line_end.as_bytes()].concat();
        self.wire.get_mut().write_all(&line)
    }
}
