//! The way to HTTP servers: private certificate authorities and proxies, for plugins and for the webhook of alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::{Behaviour, Kafka, Process, Proxy, Record, TlsFront, Tunnel, binary, eventually, plugin};

use crate::http_server::{HttpServer, answer};
use crate::sms::{Gateway, codes, settle, solapi, start_in};
use crate::support::{BOUND, Guest, Host, file, fresh, sqlite};

/// `me:hush-4711`, in base64.
const BASIC: &str = "Basic bWU6aHVzaC00NzEx";
const SECRETS: [&str; 2] = ["hush-4711", "bWU6aHVzaC00NzEx"];

/// A gateway that accepts every message, and its TLS.
fn gateway() -> (HttpServer, TlsFront) {
    let Gateway { accepted, .. } = solapi();
    let server = HttpServer::start(move |_, stream| answer(stream, accepted.0, &[], accepted.1));
    let front = TlsFront::start(server.address);
    (server, front)
}

/// A host with the SMS plugin, which may reach only this URL, and with further sections of its file.
fn host_with(env: &[(&str, &str)], topic: &str, url: &str, sections: &str) -> Host {
    host_in(env, topic, url, "", sections)
}

/// With networks, too.
fn host_in(env: &[(&str, &str)], topic: &str, url: &str, networks: &str, sections: &str) -> Host {
    let credentials = solapi().credentials;
    let lines = format!("allow = [\"{url}\"{networks}]\n[plugin.http.\"{url}\"]\n{credentials}\n{sections}");
    start_in(env, Kafka::shared(), topic, &format!("gateway = \"solapi\", url = \"{url}\""), &lines)
}

fn messages(count: usize) -> impl Iterator<Item = Record> {
    (0..count).map(|n| Record::new(format!(r#"{{"from":"1588-0000","to":"010123{n:05}","body":"b"}}"#)))
}

fn proxy_url(proxy: &Proxy) -> String {
    format!("http://me:hush-4711@localhost:{}", proxy.address.port())
}

/// Each message was delivered once, and no request shows what the proxy gets.
fn assert_delivered(server: &HttpServer, topic: &str, count: usize) {
    let requests = server.requests();
    let keys: BTreeSet<_> = requests.iter().map(|request| request.header("idempotency-key")).collect();
    assert_eq!((requests.len(), keys.len()), (count, count), "requests and messages");
    let shown = requests.iter().find(|request| request.header("proxy-authorization").is_some());
    assert!(shown.is_none(), "{shown:?}");
    assert_eq!(codes(Kafka::shared(), topic), BTreeMap::new());
}

fn assert_no_secrets(lines: &[String]) {
    let shown = lines.iter().find(|line| SECRETS.iter().any(|secret| line.contains(secret)));
    assert_eq!(shown, None);
}

#[test]
fn a_private_authority_is_trusted_by_setting_and_by_variable() {
    let kafka = Kafka::shared();
    let (server, front) = gateway();
    let (url, ca) = (format!("https://localhost:{}", front.address.port()), front.ca().display().to_string());
    let networks = ", \"network:127.0.0.0/8\", \"network:::1/128\"";
    let setting = format!("[http]\nca = {ca:?}\n");
    for (index, (topic, env, more)) in [
        ("outgoing.ca-set", vec![], setting.as_str()),
        ("outgoing.ca-variable", vec![("SSL_CERT_FILE", ca.as_str())], ""),
    ]
    .into_iter()
    .enumerate()
    {
        let host = host_in(&env, topic, &url, networks, more);
        kafka.produce(topic, messages(1));
        eventually(BOUND, || server.requests().len() == index + 1);
        settle(kafka, topic);
        host.stop();
        assert_eq!(codes(kafka, topic), BTreeMap::new());
    }
}

/// The variable replaces the public authorities, and a wrong one is not ignored.
#[test]
fn a_variable_that_names_no_authorities_ends_the_start() {
    let text = format!(
        "[[plugin]]\npath = {:?}\ntopic = \"sms.send\"\nallow = [\"https://api.solapi.com\"]\n",
        plugin("sms")
    );
    let config = file("outgoing-no-authorities.toml", text.as_bytes()).display().to_string();
    for (variable, value, what) in [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "SSL_CERT_FILE: /nowhere/ca.pem: No such file"),
        ("SSL_CERT_FILE", &config, "it contains no certificate"),
        ("HTTPS_PROXY", "socks5://me:hush-4711@proxy", "HTTPS_PROXY: the URL of the proxy is invalid"),
    ] {
        let env = [("SSL_CERT_FILE", ""), (variable, value)];
        let mut process =
            Process::start_with(&binary("host"), &["config", "check", "--config", &config], &env);
        let code = process.wait(BOUND).code();
        let lines = process.lines();
        assert_no_secrets(&lines);
        let output = lines.join("\n");
        assert!(code == Some(2) && output.contains(what) && output.contains("help: "), "{output}");
    }
}

#[test]
fn requests_go_through_the_proxy_which_alone_gets_its_credentials() {
    let (kafka, topic) = (Kafka::shared(), "outgoing.proxy");
    let (server, front) = gateway();
    let proxy = Proxy::start(front.address, BASIC);
    // No resolver knows the name, and no network is granted.
    let url = format!("https://{}", TlsFront::NAME);
    let more =
        format!("[http]\nca = {:?}\nproxy = {{ env = \"THE_PROXY\" }}\n", front.ca().display().to_string());
    let host = host_with(&[("THE_PROXY", &proxy_url(&proxy))], topic, &url, &more);
    kafka.produce(topic, messages(20));
    eventually(BOUND, || server.requests().len() >= 20);
    settle(kafka, topic);
    let lines = host.stop();
    assert_delivered(&server, topic, 20);
    assert_no_secrets(&lines);
    let shown = format!("may reach {url}/ (through http://localhost:{})", proxy.address.port());
    assert!(lines.iter().any(|line| line.contains(&shown)), "{shown}: {}", lines.join("\n"));
    let expected =
        Tunnel { line: format!("CONNECT {}:443 HTTP/1.1", TlsFront::NAME), authorization: BASIC.to_owned() };
    let seen = proxy.seen();
    assert!(!seen.is_empty() && seen.iter().all(|tunnel| *tunnel == expected), "{seen:?}");
}

/// Whatever keeps the proxy from connecting is an outage of the server: it spends no attempt.
#[test]
fn an_outage_of_the_proxy_is_explained_and_leaves_no_dead_letter() {
    const COUNT: usize = 50;
    let (kafka, topic) = (Kafka::shared(), "outgoing.outage");
    let (server, front) = gateway();
    let proxy = Proxy::start(front.address, BASIC);
    proxy.set(Behaviour::Away);
    let url = format!("https://{}", TlsFront::NAME);
    let env = [("https_proxy", proxy_url(&proxy)), ("SSL_CERT_FILE", front.ca().display().to_string())];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let host = host_with(&env, topic, &url, "");
    kafka.produce(topic, messages(COUNT));
    host.process.wait_for(|line| line.contains("does not work"), BOUND);
    for behaviour in
        [Behaviour::Answers(502), Behaviour::Answers(407), Behaviour::Answers(403), Behaviour::Hangs]
    {
        let before = proxy.seen().len();
        proxy.set(behaviour);
        eventually(BOUND, || proxy.seen().len() > before);
        std::thread::sleep(Duration::from_secs(2));
    }
    assert_eq!(server.requests().len(), 0);
    proxy.set(Behaviour::Works);
    eventually(BOUND, || server.requests().len() >= COUNT);
    settle(kafka, topic);
    let lines = host.stop();
    assert_delivered(&server, topic, COUNT);
    assert_no_secrets(&lines);
    let reasons: Vec<_> = lines.iter().filter(|line| line.contains("does not work")).collect();
    let reason = format!("no connection through the proxy: http://localhost:{}: Conn", proxy.address.port());
    assert!(reasons.len() == 1 && reasons[0].contains(&reason), "{reasons:?}");
}

/// Without a proxy, the name is resolved here, in vain.
#[test]
fn an_exception_is_not_reached_through_the_proxy() {
    let (kafka, topic) = (Kafka::shared(), "outgoing.exception");
    let (server, front) = gateway();
    let proxy = Proxy::start(front.address, "");
    let env = [("HTTPS_PROXY", proxy_url(&proxy)), ("NO_PROXY", "elsewhere.test,.test".to_owned())];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let host = host_with(&env, topic, &format!("https://{}", TlsFront::NAME), "");
    kafka.produce(topic, messages(1));
    let line = host.process.wait_for(|line| line.contains("does not work"), BOUND);
    assert!(!line.contains("proxy"), "{line}");
    host.stop();
    assert_eq!((proxy.seen(), server.requests().len()), (vec![], 0));
}

/// The proxy is reached at its private address only as a proxy, not as the server of a request.
#[test]
fn a_plugin_cannot_reach_the_address_of_the_proxy() {
    let (kafka, topic) = (Kafka::shared(), "outgoing.address");
    let (_, front) = gateway();
    let proxy = Proxy::start(front.address, "");
    let url = format!("http://localhost:{}", proxy.address.port());
    let text = format!(
        "[[plugin]]\npath = {:?}\ntopic = \"{topic}\"\ngroup = \"{topic}-group\"\n\
         dead-letter-topic = \"{topic}.dlt\"\nallow = [\"{url}\"]\nretry = {{ retries = 0 }}\n",
        plugin("hostile")
    );
    kafka.create_topic(topic, 1, &[]);
    let config = file(&format!("{topic}.toml"), text.as_bytes()).display().to_string();
    let args = ["--config", &config, "--bootstrap-servers", kafka.bootstrap()];
    let host = Host::run(&args, &[("HTTP_PROXY", &proxy_url(&proxy))]);
    kafka.produce(topic, [Record::new(format!(r#"{{"do":"http-get","at":"{url}/manager"}}"#)).with_key("k")]);
    eventually(BOUND, || kafka.lag(&format!("{topic}-group"), topic) == 0);
    host.stop();
    assert_eq!(codes(kafka, topic).get("k").map(String::as_str), Some("denied"));
    assert_eq!(proxy.seen(), []);
}

/// Starts a host with a webhook and sends a test alert. Returns what `host alerts test` prints.
fn test_alert(name: &str, http: &str, env: &[(&str, &str)]) -> String {
    let (kafka, guest) = (Kafka::shared(), Guest::fast(name));
    let text = format!("[alerts]\nwebhook = {{ env = \"HOOK\" }}\n{http}");
    let config = file(&format!("{name}.toml"), text.as_bytes()).display().to_string();
    let (plugin, store) = (guest.path.display().to_string(), sqlite(&fresh(name)));
    let args = ["--config", &config, "--bootstrap-servers", kafka.bootstrap(), "--plugin", &plugin];
    let host =
        Host::run(&[&args[..], &["--store", &store]].concat(), &[&[("SSL_CERT_FILE", "")], env].concat());
    let test = Command::new(binary("host"))
        .args(["alerts", "test"])
        .env("HOST_API", format!("http://127.0.0.1:{}", host.port))
        .output()
        .expect("its end");
    let lines = host.stop();
    let leak = lines.iter().find(|line| line.contains("/T0/secret"));
    assert_eq!(leak, None);
    String::from_utf8_lossy(&test.stdout).into_owned()
}

#[test]
fn the_webhook_has_the_same_authorities_and_proxy() {
    let server = HttpServer::start(|_, stream| answer(stream, 200, &[], "ok"));
    let front = TlsFront::start(server.address);
    let hook = |name: &str| format!("https://bot:pw@{name}/T0/secret");
    let (near, far) = (hook(&format!("localhost:{}", front.address.port())), hook(TlsFront::NAME));
    let ca = |path: &Path| format!("[http]\nca = {:?}\n", path.display().to_string());
    let printed = test_alert("hook-ca", &ca(&front.ca()), &[("HOOK", &near)]);
    assert_eq!((printed.as_str(), server.requests().len()), ("webhook  accepted\n", 1));
    // `bot:pw`, in base64.
    assert_eq!(server.requests()[0].header("authorization"), Some("Basic Ym90OnB3"));
    let printed = test_alert("hook-no-ca", "", &[("HOOK", &near)]);
    let explained = "no TLS connection: the issuer of its certificate is not trusted; set http.ca to a file";
    assert!(printed.contains(explained) && server.requests().len() == 1, "{printed}");
    let proxy = Proxy::start(front.address, BASIC);
    let through = format!("{}proxy = \"{}\"\n", ca(&front.ca()), proxy_url(&proxy));
    let printed = test_alert("hook-proxy", &through, &[("HOOK", &far)]);
    assert_eq!((printed.as_str(), server.requests().len()), ("webhook  accepted\n", 2));
    assert_eq!(proxy.seen().len(), 1);
    proxy.set(Behaviour::Answers(502));
    let printed = test_alert("hook-away", &through, &[("HOOK", &far)]);
    assert!(printed.contains("refuses to connect to https://gateway.test; its log says why"), "{printed}");
    assert!(!SECRETS.iter().any(|secret| printed.contains(secret)), "{printed}");
}
