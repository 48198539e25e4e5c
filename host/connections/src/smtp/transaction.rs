//! One mail transaction on a connection, recipient by recipient.

use super::{Broken, Connection, Kind, Reply};

/// The code of a server that closes the connection.
const CLOSING: u16 = 421;
/// Codes about the server, not the e-mail: closing, too many connections, no storage, cannot authenticate or decide now.
const OF_SERVER: [u16; 4] = [CLOSING, 432, 452, 454];

/// An envelope and a content.
#[derive(Debug, Clone, Copy)]
pub struct Mail<'a> {
    /// The sender's address.
    pub sender: &'a str,
    /// The recipients' addresses.
    pub recipients: &'a [String],
    /// The content and its end, as they are transmitted.
    pub content: &'a [u8],
    /// Whether an address is not ASCII.
    pub international: bool,
}

/// The server accepted the content for at least one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The answer to the content.
    pub reply: Reply,
    /// The refused recipients, by index, with the answers.
    pub refused: Vec<(usize, Reply)>,
}

/// The reason why an e-mail was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The server refused the e-mail itself.
    Email(Reply),
    /// The server refused all recipients.
    Recipients(Vec<(usize, Reply)>),
    /// The server refused for now, for a reason of its own. It does not have the e-mail.
    Server(Reply),
    /// The connection broke before the end of the content was on the way. The server does not have the e-mail.
    Broken(Broken),
    /// The connection broke after that: the server may have the e-mail.
    InDoubt(Broken),
}

impl Refused {
    /// Whether the connection can be used for another transaction.
    pub fn keeps_connection(&self) -> bool {
        match self {
            Self::Email(_) | Self::Recipients(_) => true,
            // One connection less may be what the server wants.
            Self::Server(_) | Self::Broken(_) | Self::InDoubt(_) => false,
        }
    }
}

/// Performs a transaction.
///
/// # Errors
/// The server has not accepted the e-mail, or it is in doubt.
pub async fn perform(connection: &mut Connection, mail: &Mail<'_>) -> Result<Accepted, Refused> {
    let bounds = connection.timeouts;
    let utf8 = if mail.international { " SMTPUTF8 BODY=8BITMIME" } else { "" };
    let command = format!("MAIL FROM:<{}>{utf8}", mail.sender);
    let reply = connection.command(&command, "MAIL", bounds.command).await.map_err(Refused::Broken)?;
    expect(Kind::Positive, reply, "MAIL")?;
    let mut refused = Vec::new();
    for (index, recipient) in mail.recipients.iter().enumerate() {
        let command = format!("RCPT TO:<{recipient}>");
        let reply = connection.command(&command, "RCPT", bounds.command).await.map_err(Refused::Broken)?;
        match reply.kind() {
            Kind::Positive => {}
            _ if reply.code == CLOSING => return Err(Refused::Server(reply)),
            Kind::Transient | Kind::Permanent => refused.push((index, reply)),
            Kind::Intermediate => return Err(unexpected("RCPT", &reply)),
        }
    }
    if refused.len() == mail.recipients.len() {
        return Err(Refused::Recipients(refused));
    }
    let reply = connection.command("DATA", "DATA", bounds.data).await.map_err(Refused::Broken)?;
    expect(Kind::Intermediate, reply, "DATA")?;
    let reply = content(connection, mail.content).await?;
    let reply = expect(Kind::Positive, reply, "the content").map_err(|refused| match refused {
        // An answer of another kind does not say whether the server has the e-mail.
        Refused::Broken(broken) => Refused::InDoubt(broken),
        refused => refused,
    })?;
    Ok(Accepted { reply, refused })
}

/// Writes the content, and waits for the answer to it.
async fn content(connection: &mut Connection, content: &[u8]) -> Result<Reply, Refused> {
    const WHAT: &str = "the content";
    let bounds = connection.timeouts;
    // A server takes the e-mail only after the end of the content, which is in the last block.
    let mut is_ending = false;
    let written = connection.stream.write(content, bounds.block, || is_ending = true).await;
    let in_doubt = |broken| if is_ending { Refused::InDoubt(broken) } else { Refused::Broken(broken) };
    if let Err(broken) = written {
        // A server that refuses in the middle of the content may have said why.
        let answer = connection.stream.reply_within(WHAT, bounds.command.min(bounds.block)).await;
        return match answer {
            Ok(reply) if matches!(reply.kind(), Kind::Transient | Kind::Permanent) => Ok(reply),
            _ => Err(in_doubt(broken)),
        };
    }
    connection.stream.reply_within(WHAT, bounds.end).await.map_err(in_doubt)
}

/// A reply of the expected kind.
fn expect(kind: Kind, reply: Reply, what: &'static str) -> Result<Reply, Refused> {
    match reply.kind() {
        given if given == kind => Ok(reply),
        Kind::Transient if is_of_server(&reply, what) => Err(Refused::Server(reply)),
        // The connection is not in the state that it should be in, or not allowed to send at all.
        Kind::Permanent if matches!(reply.code, 503 | 530) => Err(Refused::Server(reply)),
        Kind::Transient | Kind::Permanent => Err(Refused::Email(reply)),
        Kind::Positive | Kind::Intermediate => Err(unexpected(what, &reply)),
    }
}

/// Whether a transient refusal is about the server rather than the e-mail. An enhanced status code says it by its
/// subject: 3 to 5 are mail system, network and protocol, the others address, mailbox, content and policy (RFC 3463).
fn is_of_server(reply: &Reply, what: &str) -> bool {
    match reply.enhanced() {
        _ if reply.code == CLOSING => true,
        Some((subject, _)) if what == "MAIL" => subject != 1,
        Some((subject, _)) => (3..=5).contains(&subject),
        // Before a recipient was named, nothing but the sender could be refused.
        None => what == "MAIL" || OF_SERVER.contains(&reply.code),
    }
}

fn unexpected(what: &'static str, reply: &Reply) -> Refused {
    Refused::Broken(Broken::NotSmtp(what, reply.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, text: &str, what: &'static str) -> Refused {
        let reply = Reply { code, lines: vec![text.to_owned()] };
        expect(Kind::Positive, reply, what).expect_err("a refusal")
    }

    #[test]
    fn transient_refusals_are_the_servers_or_the_emails() {
        for (code, text, what, of_server) in [
            (421, "closing", "MAIL", true),
            (421, "4.7.0 closing", "the content", true),
            (432, "4.3.2 concurrent connections exceeded", "MAIL", true),
            (450, "later", "MAIL", true),
            (450, "4.1.8 the sender's domain", "MAIL", false),
            (450, "greylisted", "the content", false),
            (451, "4.7.1 greylisted", "the content", false),
            (451, "4.3.0 queue file", "the content", true),
            (452, "no storage", "DATA", true),
            (471, "something", "the content", false),
        ] {
            let is_of_server = matches!(refused(code, text, what), Refused::Server(_));
            assert_eq!(is_of_server, of_server, "{code} {text} to {what}");
        }
    }

    #[test]
    fn permanent_refusals_are_the_emails_unless_the_session_is_wrong() {
        assert!(matches!(refused(571, "", "the content"), Refused::Email(_)));
        assert!(matches!(refused(550, "5.1.8", "MAIL"), Refused::Email(_)));
        assert!(matches!(refused(503, "sequence", "MAIL"), Refused::Server(_)));
        assert!(matches!(refused(530, "5.7.0 log in", "MAIL"), Refused::Server(_)));
    }

    #[test]
    fn an_answer_of_another_kind_breaks_the_connection() {
        let refused = refused(354, "go on", "MAIL");
        assert!(matches!(refused, Refused::Broken(_)) && !refused.keeps_connection());
    }
}
