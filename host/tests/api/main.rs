//! The HTTP API and the console of the desk, in this process, on a desk in SQLite.

mod access;
mod console;
mod console_access;
mod console_client;
mod console_forms;
mod dead_letters;
mod fixture;
mod health;
mod input;
mod many;
mod pages;
mod partitions;
mod plugins;
mod replays;
mod routes;
mod trials;
mod waiting;
