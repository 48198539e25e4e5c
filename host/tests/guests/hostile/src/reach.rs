//! Tries to reach files, the environment and the network.

use std::fmt::Debug;
use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

use crate::contract::exports::consumer::plugin::handler::Outcome;
use crate::reject;

/// `at` is a path or an address.
pub fn attempt(action: &str, at: &str) -> Outcome {
    match action {
        "read" => told(std::fs::read_to_string(at)),
        "list" => told(std::fs::read_dir(at).and_then(|entries| entries.collect::<Result<Vec<_>, _>>())),
        "write" => told(std::fs::write(at, "x")),
        "remove" => told(std::fs::remove_file(at)),
        "rename" => told(std::fs::rename(at, format!("{at}.moved"))),
        "make" => told(std::fs::create_dir(at)),
        // Past the standard library, from a directory that was granted.
        "open" => told(granted().and_then(|dir| open(&dir, at, DescriptorFlags::READ))),
        "open-to-write" => told(granted().and_then(|dir| open(&dir, at, DescriptorFlags::WRITE))),
        "symlink" => told(granted().and_then(|dir| text(dir.symlink_at(at, "made")))),
        "link" => told(granted().and_then(|dir| text(dir.link_at(PathFlags::empty(), at, &dir, "made")))),
        "variables" => told(some(std::env::vars().map(|(name, _)| name).collect())),
        "arguments" => told(some(std::env::args().collect())),
        "input" => {
            let mut text = String::new();
            told(std::io::stdin().read_to_string(&mut text).map_err(|e| e.to_string()).and(some(vec![text])))
        }
        "tcp" => told(TcpStream::connect(at)),
        "udp" => told(UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", at))),
        "listen" => told(TcpListener::bind(at)),
        "name" => told(at.to_socket_addrs().map(|found| found.collect::<Vec<_>>())),
        action => panic!("nobody knows how to reach {action}"),
    }
}

fn told<T: Debug, E: Debug>(result: Result<T, E>) -> Outcome {
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
