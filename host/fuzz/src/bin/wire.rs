//! The bytes of a mail transaction, as read by a mail server that takes anything for a line end: it sees one message, and
//! no command but those of the host.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use fuzz::{Input, email};
use libfuzzer_sys::fuzz_target;
use sandbox::capabilities::mail::compose::compose;

fuzz_target!(|data: &[u8]| {
    let email = email(&mut Input::new(data));
    let Ok(composed) = compose(&email, "0123456789abcdef0123456789abcdef") else { return };
    let mut commands = vec![format!("MAIL FROM:<{}>", composed.sender)];
    commands.extend(composed.recipients.iter().map(|recipient| format!("RCPT TO:<{recipient}>")));
    commands.push("DATA".to_owned());
    let wire = format!("{}\r\n{}", commands.join("\r\n"), composed.content());

    let heard = Heard::on(&wire);
    assert_eq!(heard.commands, commands);
    let [message] = heard.messages.as_slice() else { panic!("{} messages", heard.messages.len()) };
    assert_eq!(*message, composed.message);
    for line in wire.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(is_odd), "{line:?}");
        assert!(composed.international || line.is_ascii(), "{line:?}");
    }
});

/// What a server understood.
#[derive(Default)]
struct Heard {
    commands: Vec<String>,
    messages: Vec<String>,
}

impl Heard {
    /// Any of CR LF, CR, LF, NUL and other control characters ends a line, and a dot alone in a line ends a message.
    fn on(wire: &str) -> Self {
        let mut heard = Self::default();
        let mut message: Option<String> = None;
        for line in wire.replace("\r\n", "\n").split(|c| c == '\n' || is_odd(c)) {
            match &mut message {
                Some(_) if line == "." => heard.messages.extend(message.take()),
                Some(message) => {
                    message.push_str(line.strip_prefix('.').unwrap_or(line));
                    message.push_str("\r\n");
                }
                None if line.trim().is_empty() => {}
                None => {
                    message = (line == "DATA").then(String::new);
                    heard.commands.push(line.to_owned());
                }
            }
        }
        assert_eq!(message, None, "the message has no end");
        heard
    }
}

/// Control characters but the tab, and the line separators of Unicode.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}')
}
