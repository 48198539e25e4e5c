//! What an outcome means for the effects of its call.

use crate::imports;

/// Keeps the HTTP requests of this call that have a 2xx response by now: they are done, whatever the outcome.
///
/// Without it, they are done only if the outcome is [`Outcome::Done`](crate::Outcome::Done) or
/// [`Outcome::Skipped`](crate::Outcome::Skipped): the next attempt makes them again. A plugin that makes several requests
/// calls it after each one that had its effect. E-mails that were accepted and records that were published are done in any
/// case.
pub fn keep() {
    imports::keep();
}
