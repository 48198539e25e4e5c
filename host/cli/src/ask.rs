//! Questions to the person at the terminal.

use std::io::{self, IsTerminal, Write};

use base::error::UserError;

/// Whether there is somebody to ask.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question; anything but a yes is a no.
///
/// # Errors
/// The answer cannot be read.
pub fn confirmed(question: &str) -> Result<bool, UserError> {
    let answer = answer(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line of text.
///
/// # Errors
/// The answer cannot be read.
pub fn answer(question: &str) -> Result<String, UserError> {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question}");
    let _ = stderr.flush();
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| UserError::unavailable(format!("cannot read the answer: {error}")))?;
    Ok(answer.trim().to_owned())
}
