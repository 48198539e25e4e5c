//! A real Postfix, as packaged by Debian, for one test: submission and SMTPS with a certificate of its own, a
//! login, and a maildir.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::guard::Guarded;
use crate::must;
use crate::wait::free_port;

/// User and password of the login.
const LOGIN: (&str, &str) = ("host", "hunter2-4711");
/// Its host name, and the realm of its login.
const NAME: &str = "mail.test";
/// The master process of Postfix, in the path of Debian.
const MASTER: &str = "/usr/lib/postfix/sbin/master";
/// The owner of delivered e-mails: `nobody`.
const OWNER: u32 = 65534;
const START_BOUND: Duration = Duration::from_secs(30);

/// A running Postfix, which ends on drop.
///
/// It accepts e-mail for every address. It refuses `refused@example.com` with 550 and `busy@example.com` with
/// 450.
#[derive(Debug)]
pub struct Postfix {
    dir: PathBuf,
    submission: u16,
    smtps: u16,
    master: Mutex<Guarded>,
}

impl Postfix {
    /// Starts a Postfix.
    ///
    /// # Panics
    /// A required program is missing. The message names the command that installs it.
    #[track_caller]
    pub fn start() -> Self {
        must(Self::try_start())
    }

    fn try_start() -> Result<Self> {
        for program in [MASTER, "/usr/sbin/saslpasswd2"] {
            ensure!(Path::new(program).is_file(), "{program} is missing: run `make setup`");
        }
        ensure!(user("-u", "root")? == user("-u", "")?, "Postfix needs root: run the test with sudo -E");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("testkit-postfix-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        // Left by an earlier process with the same id.
        let _ = fs::remove_dir_all(&dir);
        let (submission, smtps) = (free_port(), free_port());
        prepare(&dir, submission, smtps)?;
        let master = launch(&dir)?;
        let postfix = Self { dir, submission, smtps, master: Mutex::new(master) };
        postfix.wait()?;
        Ok(postfix)
    }

    /// Waits for the greeting.
    fn wait(&self) -> Result<()> {
        let end = Instant::now() + START_BOUND;
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.submission)) {
                let mut greeting = String::new();
                BufReader::new(stream).read_line(&mut greeting)?;
                ensure!(
                    greeting.starts_with("220"),
                    "the greeting of Postfix is {greeting:?}:\n{}",
                    self.log()
                );
                return Ok(());
            }
            if let Some(status) = self.master().try_wait()? {
                bail!("Postfix ended at its start ({status}):\n{}", self.log());
            }
            ensure!(Instant::now() < end, "Postfix did not start in {START_BOUND:?}:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// From now on, refuses e-mails whose subject begins with this text: 550, after all of the e-mail.
    #[track_caller]
    pub fn refuse_subjects(&self, start: &str) {
        must(self.check_headers(&format!("/^Subject: {start}/ REJECT unsubscribe link is missing\n")));
    }

    /// Takes the last [`Self::refuse_subjects`] back.
    #[track_caller]
    pub fn refuse_no_subjects(&self) {
        must(self.check_headers(""));
    }

    /// Ends it; [`Self::start_again`] is possible. What it has delivered stays.
    #[track_caller]
    pub fn stop(&self) {
        let mut master = self.master();
        must(master.signal("TERM"));
        let _ = master.wait(Duration::from_secs(10));
    }

    /// Starts a stopped one, on the same ports.
    #[track_caller]
    pub fn start_again(&self) {
        *self.master() = must(launch(&self.dir));
        must(self.wait());
    }

    /// Replaces the rules, and has the services read them.
    fn check_headers(&self, rules: &str) -> Result<()> {
        fs::write(self.dir.join("etc/header_checks"), rules)?;
        self.master().signal("HUP")
    }

    fn master(&self) -> MutexGuard<'_, Guarded> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL for submission with STARTTLS and the valid login.
    pub fn starttls(&self) -> String {
        self.starttls_as(LOGIN.1)
    }

    /// The URL for submission with STARTTLS and this password.
    pub fn starttls_as(&self, password: &str) -> String {
        format!("smtp://{}:{password}@localhost:{}?tls=required", LOGIN.0, self.submission)
    }

    /// The URL for SMTPS with the valid login.
    pub fn smtps(&self) -> String {
        format!("smtps://{}:{}@localhost:{}", LOGIN.0, LOGIN.1, self.smtps)
    }

    /// The valid password.
    pub fn password(&self) -> &'static str {
        LOGIN.1
    }

    /// The authority of its certificate, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("tls/ca.pem")
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Every delivered e-mail, one per recipient.
    #[track_caller]
    pub fn mails(&self) -> Vec<Vec<u8>> {
        let read = || -> Result<Vec<Vec<u8>>> {
            let paths = self.delivered()?.map(|entry| Ok(entry?.path()));
            paths.map(|path: Result<PathBuf>| Ok(fs::read(path?)?)).collect()
        };
        must(read())
    }

    /// The number of delivered e-mails.
    #[track_caller]
    pub fn count(&self) -> usize {
        must(self.delivered()).count()
    }

    fn delivered(&self) -> Result<impl Iterator<Item = std::io::Result<fs::DirEntry>>> {
        // The directory exists from the first delivery on.
        let new = self.dir.join("mail/all/new");
        Ok(if new.exists() { Some(fs::read_dir(new)?) } else { None }.into_iter().flatten())
    }

    /// Whether the queue is empty.
    #[track_caller]
    pub fn is_idle(&self) -> bool {
        let holds_file = |name: &str| -> Result<bool> {
            let path = self.dir.join("spool").join(name);
            let mut entries = fs::read_dir(&path).with_context(|| path.display().to_string())?;
            // The active queue is flat. The deferred queue has one directory per first digit.
            Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_file())))
        };
        !["maildrop", "incoming", "active"].iter().any(|queue| must(holds_file(queue)))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- last lines of postfix ---\n{}",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
        // Postfix ends its own processes.
        let mut master = self.master();
        let _ = master.signal("TERM");
        let _ = master.wait(Duration::from_secs(10));
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Configuration, certificates, login and directories.
fn prepare(dir: &Path, submission: u16, smtps: u16) -> Result<()> {
    for name in ["etc/sasl", "tls", "sasl", "spool", "data", "mail"] {
        fs::create_dir_all(dir.join(name))?;
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    fs::write(
        dir.join("etc/main.cf"),
        MAIN.replace("DIR", &dir.display().to_string()).replace("NAME", NAME),
    )?;
    let services = SERVICES.replace("SUBMISSION", &submission.to_string());
    fs::write(dir.join("etc/master.cf"), services.replace("SMTPS", &smtps.to_string()))?;
    fs::write(dir.join("etc/header_checks"), "")?;
    make_certificate(&dir.join("tls"))?;
    let sasl = format!(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}/sasl/db\nmech_list: PLAIN LOGIN\n",
        dir.display()
    );
    // The Postfix of Debian reads no other path.
    fs::write(dir.join("etc/sasl/smtpd.conf"), sasl)?;
    run(dir, LOGIN.1, "/usr/sbin/saslpasswd2", &["-p", "-c", "-f", "sasl/db", "-u", NAME, LOGIN.0])?;
    let postfix: u32 = user("-u", "postfix")?;
    chown(dir.join("sasl/db"), Some(postfix), None)?;
    chown(dir.join("data"), Some(postfix), None)?;
    chown(dir.join("mail"), Some(OWNER), Some(OWNER))?;
    // Creates the directories of the queue.
    let etc = dir.join("etc").display().to_string();
    run(dir, "", "/usr/sbin/postfix", &["-c", &etc, "check"])
}

fn launch(dir: &Path) -> Result<Guarded> {
    let etc = dir.join("etc");
    // It stays in the session of the guarding process.
    let args = [OsStr::new("-d"), OsStr::new("-c"), etc.as_os_str()];
    Guarded::spawn(OsStr::new(MASTER), args, Some(dir), |command| {
        command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    })
}

/// Creates an authority, `ca.pem`, and its certificate for `localhost`, `cert.pem` with `key.pem`, in a
/// directory.
///
/// # Panics
/// openssl is missing.
#[track_caller]
pub fn certificate(dir: &Path) {
    must(make_certificate(dir));
}

pub(crate) fn make_certificate(dir: &Path) -> Result<()> {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let openssl = |args: &[&str]| run(dir, "", "openssl", args);
    let authority = ["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Authority of a test"];
    openssl(&[&["req"][..], &key, &authority, &["-days", "2"]].concat())?;
    let request = ["-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost"];
    openssl(&[&["req"][..], &key, &request].concat())?;
    fs::write(
        dir.join("extensions"),
        "subjectAltName=DNS:localhost,DNS:gateway.test\nbasicConstraints=critical,CA:FALSE\n",
    )?;
    let sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&sign[..], &["-days", "2", "-extfile", "extensions", "-out", "cert.pem"]].concat())
}

/// Runs a program to its end, with `input` on its standard input.
fn run(dir: &Path, input: &str, program: &str, args: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {program}; run `make setup`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

/// The id of a user, or of the user of this process if the name is empty.
fn user(kind: &str, name: &str) -> Result<u32> {
    let name = Some(name).filter(|name| !name.is_empty());
    let output = Command::new("id").arg(kind).args(name).output().context("starting id")?;
    ensure!(output.status.success(), "there is no user {name:?}: run `make setup`");
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

const MAIN: &str = "\
compatibility_level = 3.6
queue_directory = DIR/spool
data_directory = DIR/data
maillog_file = DIR/log
maillog_file_prefixes = DIR
myhostname = NAME
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_base = DIR/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtputf8_enable = yes
smtpd_tls_cert_file = DIR/tls/cert.pem
smtpd_tls_key_file = DIR/tls/key.pem
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = NAME
cyrus_sasl_config_path = DIR/etc/sasl
smtpd_relay_restrictions =
smtpd_recipient_restrictions =
  check_recipient_access inline:{
    {refused@example.com = 550 5.1.1 nobody of this name}, {busy@example.com = 450 4.2.1 busy} }
  permit_sasl_authenticated
  reject
smtpd_error_sleep_time = 0
header_checks = regexp:DIR/etc/header_checks
smtpd_client_connection_count_limit = 0
";

const SERVICES: &str = "\
127.0.0.1:SUBMISSION inet n - n - - smtpd
127.0.0.1:SMTPS inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
";
