//! The targets of hostile components: servers and files that count every access.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mailin_embedded::{Handler, Response, Server, SslConfig, response};

/// Servers and files outside the sandbox.
pub struct Outside {
    tcp: TcpListener,
    udp: UdpSocket,
    mail: Caught,
    smtp: SocketAddr,
    /// A directory that is granted for reading.
    pub directory: PathBuf,
}

/// Envelope recipients and data of each e-mail.
type Caught = Arc<Mutex<Vec<(Vec<String>, String)>>>;

impl Outside {
    /// Starts the servers and creates the directory, which is named after the test.
    pub fn new(name: &str) -> Self {
        let any = "127.0.0.1:0";
        let tcp = TcpListener::bind(any).expect("a listener");
        tcp.set_nonblocking(true).expect("a listener that does not block");
        let udp = UdpSocket::bind(any).expect("a socket");
        udp.set_nonblocking(true).expect("a socket that does not block");
        let (smtp, mail) = serve_smtp();
        Self { tcp, udp, mail, smtp, directory: directory(name) }
    }

    /// The text with its placeholders replaced.
    pub fn fill(&self, text: &str) -> String {
        let address = |address: std::io::Result<SocketAddr>| address.expect("an address").to_string();
        text.replace("{tcp}", &address(self.tcp.local_addr()))
            .replace("{udp}", &address(self.udp.local_addr()))
            .replace("{smtp}", &self.smtp.to_string())
            .replace("{dir}", &self.directory.display().to_string())
    }

    /// Checks that no target without a grant was reached.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert!(self.tcp.accept().is_err(), "a connection was made");
        assert!(self.udp.recv_from(&mut [0; 16]).is_err(), "a datagram arrived");
        let mut names: Vec<_> = std::fs::read_dir(&self.directory)
            .expect("the directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["absolute", "inside.txt", "link"]);
        let text = |path: PathBuf| std::fs::read_to_string(path).expect("the file");
        assert_eq!(text(self.directory.join("inside.txt")), "inside");
        assert_eq!(text(self.directory.with_extension("txt")), "outside");
    }

    /// Checks that every e-mail has its own recipient and no smuggled header. Returns the number of e-mails.
    #[track_caller]
    pub fn assert_nothing_smuggled(&self) -> usize {
        let mails = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        for (to, data) in mails.iter() {
            assert_eq!(to, &["to@example.com"], "{data}");
            let head = data.split("\r\n\r\n").next().unwrap_or_default();
            let smuggled = |line: &&str| {
                let line = line.to_ascii_lowercase();
                line.starts_with("x-smuggled") || line.starts_with("bcc")
            };
            assert_eq!(head.split(['\r', '\n']).find(smuggled), None, "{data}");
        }
        mails.len()
    }
}

/// A directory with a file and links that lead outside.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(format!("outside-{name}"));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("inside.txt"), "inside").expect("a file in the directory");
    let outside = directory.with_extension("txt");
    std::fs::write(&outside, "outside").expect("a file outside the directory");
    let relative = Path::new("..").join(outside.file_name().expect("a name"));
    std::os::unix::fs::symlink(relative, directory.join("link")).expect("a link to a file outside");
    std::os::unix::fs::symlink("/etc/passwd", directory.join("absolute")).expect("a link to the system");
    directory
}

#[derive(Clone, Default)]
struct Catcher {
    to: Vec<String>,
    data: Vec<u8>,
    caught: Caught,
}

impl Handler for Catcher {
    fn data_start(&mut self, _: &str, _: &str, _: bool, to: &[String]) -> Response {
        self.data.clear();
        self.to = to.to_vec();
        response::START_DATA
    }

    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.data.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let data = String::from_utf8_lossy(&self.data).into_owned();
        let mail = (std::mem::take(&mut self.to), data);
        self.caught.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        response::OK
    }
}

fn serve_smtp() -> (SocketAddr, Caught) {
    let catcher = Catcher::default();
    let caught = Arc::clone(&catcher.caught);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut server = Server::new(catcher);
    server.with_num_threads(8).with_tcp_listener(listener).with_ssl(SslConfig::None).expect("no TLS");
    std::thread::spawn(move || server.serve().expect("e-mails are accepted"));
    (address, caught)
}
