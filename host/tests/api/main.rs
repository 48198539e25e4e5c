//! The desk's HTTP API, in this process, over a desk in SQLite.

mod access;
mod console;
mod fixture;
mod input;
mod jobs;
mod letters;
mod pages;
mod routes;
mod trials;
