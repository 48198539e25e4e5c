//! What plugins can reach beyond their sandbox, where it is granted: a folder each.

pub mod http;
pub mod mail;
