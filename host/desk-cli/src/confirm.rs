//! Confirmations and prompts on the terminal.

use std::io::{self, IsTerminal, Write};

use base::error::UserError;

/// Whether there is a terminal for prompts.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for confirmation; anything but yes is a no.
///
/// # Errors
/// The answer cannot be read.
pub fn confirm(question: &str) -> Result<bool, UserError> {
    let answer = prompt(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for confirmation. `unchanged` states that nothing was done.
///
/// # Errors
/// The answer is no, or there is no terminal.
pub fn require(question: &str, unchanged: &str) -> Result<(), UserError> {
    if !is_interactive() {
        let what = format!("confirmation is required, and there is no terminal; {unchanged}");
        return Err(UserError::usage(what).help("skip the confirmation: --yes"));
    }
    if confirm(question)? { Ok(()) } else { Err(UserError::unavailable(unchanged)) }
}

/// The reason for an action that requires one: as given, or as typed at the terminal. `action` names it.
///
/// # Errors
/// There is none.
pub fn reason(given: Option<String>, action: &str) -> Result<String, UserError> {
    let reason = match given {
        Some(reason) => reason,
        None if is_interactive() => prompt("Reason: ")?,
        None => String::new(),
    };
    if reason.trim().is_empty() {
        return Err(UserError::usage(format!("{action} requires a reason; nothing was changed"))
            .help("set a reason: --reason TEXT"));
    }
    Ok(reason)
}

/// Prompts for a line of text.
///
/// # Errors
/// The answer cannot be read.
pub fn prompt(question: &str) -> Result<String, UserError> {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question}");
    let _ = stderr.flush();
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| UserError::unavailable(format!("cannot read the answer: {error}")))?;
    Ok(answer.trim().to_owned())
}
