//! HTTP essentials that the producer and the host share.
//!
//! - [`Problem`]: an error response as a problem document (RFC 9457).
//! - [`server`]: an HTTP/1 server that bounds connections, headers and bodies, and shuts down gracefully.
//! - [`body`]: reading a request body against a deadline.

pub mod body;
mod document;
mod pace;
pub mod server;

pub use document::Problem;
