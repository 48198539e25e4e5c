//! The commands for authors of plugins: they write a project, build it at every change, run its cases, and compile and
//! call what was built. None needs Kafka.

pub mod args;
pub mod compile;
pub mod dev;
pub mod invoke;
pub mod new;
pub mod test;

mod case;
mod cases;
mod embedded;
mod expectation;
mod message;
mod next;
mod project;
mod report;
