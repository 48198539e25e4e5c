//! Invalid arguments: one error line, the next step, exit code 2.

use std::net::TcpListener;
use std::process::Command;

fn refused(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_producer"))
        .args(args)
        .env_remove("KAFKA_PROPERTIES")
        .output()
        .expect("the producer runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    let errors = text.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{args:?}: {text}");
    text
}

#[test]
fn invalid_arguments_are_reported_with_the_next_step() {
    for (args, named) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--listen", "nowhere"], "127.0.0.1:8080"),
        (&["--listen", "192.0.2.1:8080"], "  help: choose an address of this machine"),
        (&["--bootstrap-servers", "localhost:kafka"], "localhost:9092"),
        (&["--timeout", "1"], "from 3 to 300"),
        (&["-X", "nonsense"], "PROPERTY=VALUE"),
    ] {
        let text = refused(args);
        assert!(text.contains(named), "{args:?}: {text}");
    }
    let text = refused(&["-X", "security.protocol=hush"]);
    assert!(text.contains("security.protocol") && !text.contains("hush"), "{text}");
    let text = refused(&["-X", "hush"]);
    assert!(!text.contains("hush"), "{text}");
    for (property, help) in [
        ("no.such.property=1", "help: list of properties"),
        ("linger.ms=often", "help: list of properties"),
        ("acks=1", "help: remove -X acks"),
        ("security.protocol=ssl,ssl.ca.location=/nowhere", "help: "),
    ] {
        let mut args = vec!["--listen", "127.0.0.1:0"];
        args.extend(property.split(',').flat_map(|property| ["-X", property]));
        let text = refused(&args);
        assert!(text.contains(help), "{args:?}: {text}");
    }
}

#[test]
fn a_port_in_use_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = taken.local_addr().expect("address").to_string();
    let text = refused(&["--listen", &address]);
    assert!(
        text.contains(&address) && text.contains("  help: stop that process, or choose another port"),
        "{text}"
    );
}
