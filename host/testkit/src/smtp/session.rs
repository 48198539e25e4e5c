//! One connection to the failing mail server.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ServerConnection, StreamOwned};

use super::{End, Shared, Transaction, lock};

/// The stages at which a fault can occur: once per connection, and once per transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Hello,
    Login,
    /// RSET before the MAIL of the next transaction on the connection.
    Reset,
    Mail,
    Rcpt,
    Data,
    /// During the content.
    Content,
    /// After the whole content. An e-mail is accepted even if this reply is missing.
    Answer,
}

const OF_CONNECTION: [Stage; 3] = [Stage::Greeting, Stage::Hello, Stage::Login];
const OF_TRANSACTION: [Stage; 6] =
    [Stage::Reset, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Content, Stage::Answer];

const BROKEN: End = End::Broken { begun: false };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Reply 451. The connection stays open.
    Busy,
    /// Reply 421, then the connection closes.
    Closing,
    /// The connection closes without a reply.
    Drop,
    /// No reply, and the connection stays open.
    Hang,
}

pub(super) struct Session<'a> {
    server: &'a Shared,
    wire: BufReader<StreamOwned<ServerConnection, TcpStream>>,
    planned: Option<(Stage, Fault)>,
    transaction: Option<Transaction>,
    in_content: bool,
}

impl<'a> Session<'a> {
    /// Serves a connection until either side closes it.
    pub(super) fn serve(server: &'a Shared, stream: TcpStream) {
        let Ok(tls) = ServerConnection::new(Arc::clone(&server.tls)) else { return };
        // Replies are small, and the client waits for each.
        let _ = stream.set_nodelay(true);
        let wire = BufReader::new(StreamOwned::new(tls, stream));
        let mut session = Self { server, wire, planned: None, transaction: None, in_content: false };
        let _ended = session.dialogue();
        session.end(End::Broken { begun: session.in_content });
    }

    fn dialogue(&mut self) -> io::Result<()> {
        self.plan(&OF_CONNECTION);
        if !self.step(Stage::Greeting, "220 faulty.test")? {
            return Ok(());
        }
        loop {
            let line = self.line()?;
            let (verb, rest) = line.split_at_checked(4).unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => _ = self.step(Stage::Hello, "250-faulty.test\r\n250 AUTH PLAIN")?,
                "AUTH" => {
                    if self.step(Stage::Login, "235 welcome")? {
                        self.plan(&OF_TRANSACTION);
                    }
                }
                "RSET" => {
                    self.end(BROKEN);
                    self.step(Stage::Reset, "250 reset")?;
                }
                "MAIL" => self.mail(address(rest))?,
                "RCPT" => self.rcpt(address(rest))?,
                "DATA" => self.data()?,
                "QUIT" => return self.reply("221 bye"),
                _ => self.reply("502 unknown command")?,
            }
        }
    }

    fn mail(&mut self, sender: String) -> io::Result<()> {
        self.end(BROKEN);
        let refused = sender.starts_with("refused-mail-");
        self.transaction = Some(Transaction {
            sender,
            recipients: Vec::new(),
            refused: Vec::new(),
            subject: String::new(),
            message_id: String::new(),
            end: BROKEN,
        });
        if refused {
            return self.refuse(550);
        }
        if !self.step(Stage::Mail, "250 go on")? {
            self.end(End::Refused(451));
        }
        Ok(())
    }

    fn rcpt(&mut self, recipient: String) -> io::Result<()> {
        let code = match self.planned {
            _ if recipient.starts_with("refused-rcpt-") => 550,
            // Each recipient is drawn separately, so some are accepted.
            Some((Stage::Rcpt, Fault::Busy)) => [250, 450][lock(&self.server.rng).below(2) as usize],
            _ => {
                self.take_planned(Stage::Rcpt).map_or(Ok(()), |fault| self.fail(fault))?;
                250
            }
        };
        match &mut self.transaction {
            Some(transaction) if code == 250 => transaction.recipients.push(recipient),
            Some(transaction) => transaction.refused.push((recipient, code)),
            None => {}
        }
        self.reply(match code {
            250 => "250 go on",
            450 => "450 4.2.1 busy",
            _ => "550 5.1.1 unknown recipient",
        })
    }

    fn data(&mut self) -> io::Result<()> {
        let refused =
            |of: &Transaction, prefix: &str| of.recipients.iter().any(|one| one.starts_with(prefix));
        let Some(now) = &self.transaction else { return self.reply("503 MAIL comes first") };
        let (at_once, at_last) = (refused(now, "refused-data-"), refused(now, "refused-content-"));
        if at_once {
            return self.refuse(554);
        }
        if !self.step(Stage::Data, "354 go on")? {
            self.end(End::Refused(451));
            return Ok(());
        }
        self.in_content = true;
        self.content()?;
        self.in_content = false;
        if at_last {
            return self.refuse(554);
        }
        match self.take_planned(Stage::Answer) {
            Some(fault @ (Fault::Busy | Fault::Closing)) => {
                self.end(End::Refused(if fault == Fault::Busy { 451 } else { 421 }));
                self.fail(fault)
            }
            Some(fault) => {
                self.end(End::Accepted { answered: false });
                self.fail(fault)
            }
            // The transaction is recorded before the reply, so that a client with the reply finds it.
            None => {
                self.end(End::Accepted { answered: true });
                self.reply("250 accepted")
            }
        }
    }

    /// Reads the content and records its `Subject` and `Message-ID`.
    fn content(&mut self) -> io::Result<()> {
        let mut in_headers = true;
        loop {
            let line = self.line()?;
            match self.take_planned(Stage::Content) {
                None => {}
                // The rest of the content must not be read as commands, so the connection closes.
                Some(Fault::Busy | Fault::Closing) => {
                    self.end(End::Refused(421));
                    self.fail(Fault::Closing)?;
                }
                Some(fault) => self.fail(fault)?,
            }
            if line == "." {
                return Ok(());
            }
            in_headers &= !line.is_empty();
            if let (true, Some(now)) = (in_headers, &mut self.transaction) {
                for (name, value) in [("Subject: ", &mut now.subject), ("Message-ID: ", &mut now.message_id)]
                {
                    if let Some(text) = line.strip_prefix(name) {
                        text.clone_into(value);
                    }
                }
            }
        }
    }

    /// Refuses the e-mail permanently.
    fn refuse(&mut self, code: u16) -> io::Result<()> {
        self.end(End::Refused(code));
        self.reply(&format!("{code} refused"))
    }

    /// Draws the next fault, mostly none.
    fn plan(&mut self, stages: &[Stage]) {
        let mut rng = lock(&self.server.rng);
        let dice = rng.below(1000);
        let stage = stages[rng.below(stages.len() as u64) as usize];
        let fault = [Fault::Busy, Fault::Closing, Fault::Drop, Fault::Drop][rng.below(4) as usize];
        let shares = self.server.shares;
        self.planned = if dice < shares.hangs {
            Some((stage, Fault::Hang))
        } else {
            (dice < shares.hangs + shares.faults).then_some((stage, fault))
        };
    }

    fn take_planned(&mut self, stage: Stage) -> Option<Fault> {
        self.planned.take_if(|(planned, _)| *planned == stage).map(|(_, fault)| fault)
    }

    /// Sends this reply unless a fault is planned for the stage. Returns whether the reply was sent.
    fn step(&mut self, stage: Stage, answer: &str) -> io::Result<bool> {
        match self.take_planned(stage) {
            Some(fault) => self.fail(fault).map(|()| false),
            None => self.reply(answer).map(|()| true),
        }
    }

    fn fail(&mut self, fault: Fault) -> io::Result<()> {
        match fault {
            Fault::Busy => return self.reply("451 try again later"),
            Fault::Closing => self.reply("421 closing")?,
            Fault::Drop => {}
            Fault::Hang => _ = io::copy(&mut self.wire, &mut io::sink())?,
        }
        Err(ErrorKind::ConnectionAborted.into())
    }

    /// Records the end of the current transaction, if any, and draws the fault of the next one.
    fn end(&mut self, end: End) {
        let Some(mut transaction) = self.transaction.take() else { return };
        let all_refused = transaction.recipients.is_empty() && !transaction.refused.is_empty();
        transaction.end = if end == BROKEN && all_refused { End::AllRefused } else { end };
        lock(&self.server.over).push(transaction);
        self.plan(&OF_TRANSACTION);
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.wire.read_until(b'\n', &mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    fn reply(&mut self, text: &str) -> io::Result<()> {
        let wire = self.wire.get_mut();
        wire.write_all(format!("{text}\r\n").as_bytes())?;
        wire.flush()
    }
}

/// The text between the angle brackets.
fn address(rest: &str) -> String {
    let inside = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or(String::new(), |(address, _)| address.to_owned())
}
