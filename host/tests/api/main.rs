//! The desk's HTTP API, in this process, over a desk in SQLite.

mod access;
mod console;
mod console_access;
mod console_client;
mod console_forms;
mod dead_letters;
mod fixture;
mod input;
mod pages;
mod replays;
mod routes;
mod trials;
