//! The functions of the host.

use crate::bindings::kafka_host::plugin;
pub(crate) use plugin::config::get as config;
pub(crate) use plugin::effects::keep;
pub(crate) use plugin::log::write as log;
pub(crate) use plugin::mail::send as mail;
pub(crate) use plugin::produce::publish;

#[cfg(feature = "http")]
pub(crate) use crate::http::wasi::send as http;
