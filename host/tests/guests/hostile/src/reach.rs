//! Attempts to reach files, the environment and the network.

use std::fmt::Debug;
use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

use crate::contract::exports::kafka_host::plugin::handler::Outcome;
use crate::reject;

/// `at` is a path or an address.
pub fn attempt(action: &str, at: &str) -> Outcome {
    match action {
        "read" => outcome_of(std::fs::read_to_string(at)),
        "list" => {
            outcome_of(std::fs::read_dir(at).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()))
        }
        "write" => outcome_of(std::fs::write(at, "x")),
        "remove" => outcome_of(std::fs::remove_file(at)),
        "rename" => outcome_of(std::fs::rename(at, format!("{at}.moved"))),
        "make" => outcome_of(std::fs::create_dir(at)),
        // Without the standard library, from a granted directory.
        "open" => outcome_of(granted().and_then(|dir| open(&dir, at, DescriptorFlags::READ))),
        "open-to-write" => outcome_of(granted().and_then(|dir| open(&dir, at, DescriptorFlags::WRITE))),
        "symlink" => outcome_of(granted().and_then(|dir| text(dir.symlink_at(at, "made")))),
        "link" => {
            outcome_of(granted().and_then(|dir| text(dir.link_at(PathFlags::empty(), at, &dir, "made"))))
        }
        "variables" => outcome_of(some(std::env::vars().map(|(name, _)| name).collect())),
        "arguments" => outcome_of(some(std::env::args().collect())),
        "input" => {
            let mut text = String::new();
            outcome_of(
                std::io::stdin().read_to_string(&mut text).map_err(|e| e.to_string()).and(some(vec![text])),
            )
        }
        "tcp" => outcome_of(TcpStream::connect(at)),
        "udp" => outcome_of(UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", at))),
        "listen" => outcome_of(TcpListener::bind(at)),
        "name" => outcome_of(at.to_socket_addrs().map(|found| found.collect::<Vec<_>>())),
        action => panic!("unknown target {action}"),
    }
}

fn outcome_of<T: Debug, E: Debug>(result: Result<T, E>) -> Outcome {
    match result {
        Ok(reached) => reject("reached", &format!("{reached:?}")),
        Err(error) => reject("denied", &format!("{error:?}")),
    }
}

fn some(texts: Vec<String>) -> Result<Vec<String>, String> {
    if texts.iter().all(String::is_empty) { Err("nothing".to_owned()) } else { Ok(texts) }
}

fn granted() -> Result<Descriptor, String> {
    get_directories().pop().map(|(directory, _)| directory).ok_or_else(|| "no directory".to_owned())
}

fn open(directory: &Descriptor, path: &str, flags: DescriptorFlags) -> Result<Descriptor, String> {
    text(directory.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), flags))
}

fn text<T, E: Debug>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{error:?}"))
}
