//! Proxies: which one, for which server, and why it gave no connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::capabilities::http::client::Client;
use crate::capabilities::http::no_answer::{Error, NoAnswer};

/// The way by these settings, in this environment.
fn outgoing(settings: &str, env: &[(&str, &str)]) -> Result<Outgoing, UserError> {
    let settings = toml::from_str(settings).expect(settings);
    let find = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Outgoing::with(&settings, find)
}

fn url(text: &str) -> Url {
    text.parse().expect(text)
}

fn chosen(outgoing: &Outgoing, server: &str) -> Option<String> {
    outgoing.proxy(&url(server)).map(|proxy| proxy.to_string())
}

#[test]
fn a_setting_precedes_the_environment_and_each_scheme_has_its_variable() {
    let env =
        [("HTTPS_PROXY", "http://s:1"), ("http_proxy", "p:2"), ("no_proxy", "near.example, 10.0.0.0/8")];
    let found = outgoing("", &env).expect("possible");
    for (server, proxy) in [
        ("https://far.example", Some("http://s:1")),
        ("http://far.example", Some("http://p:2")),
        ("https://near.example", None),
        ("https://x.near.example:8443", None),
        ("https://notnear.example", Some("http://s:1")),
        ("https://10.1.2.3", None),
        ("https://11.1.2.3", Some("http://s:1")),
    ] {
        assert_eq!(chosen(&found, server).as_deref(), proxy, "{server}");
    }
    let found = outgoing("proxy = \"http://t\"\nno-proxy = []", &env).expect("possible");
    assert_eq!(chosen(&found, "https://near.example").as_deref(), Some("http://t"));
    assert_eq!(found.proxies().map(|proxy| proxy.place).collect::<Vec<_>>(), [PROXY]);
    let found = outgoing("proxy = \"\"", &env).expect("possible");
    assert_eq!(chosen(&found, "https://far.example"), None);
    let found = outgoing("", &[("ALL_PROXY", "http://a:1"), ("HTTPS_PROXY", "")]).expect("possible");
    assert_eq!(chosen(&found, "https://far.example").as_deref(), Some("http://a:1"));
    assert_eq!(found.proxies().count(), 1);
}

#[test]
fn this_machine_and_the_proxy_itself_are_not_asked_for_at_the_proxy() {
    let found = outgoing("proxy = \"http://Proxy.example:3128\"", &[]).expect("possible");
    for server in [
        "https://localhost",
        "http://api.localhost:8080",
        "http://127.0.0.1:1",
        "http://127.9.9.9",
        "http://[::1]",
        "http://proxy.example:3128",
        "https://proxy.example:3128",
    ] {
        assert_eq!(chosen(&found, server), None, "{server}");
    }
    for server in
        ["http://proxy.example", "https://localhost.example", "http://10.0.0.1", "https://[fd00::1]"]
    {
        assert!(chosen(&found, server).is_some(), "{server}");
    }
}

#[test]
fn credentials_of_a_proxy_are_not_shown() {
    let found = outgoing("proxy = \"http://hush:hu%40sh@proxy:3128\"", &[]).expect("possible");
    let proxy = found.proxy(&url("https://far.example")).expect("a proxy");
    assert_eq!(
        (proxy.to_string().as_str(), proxy.masked().as_str()),
        ("http://proxy:3128", "http://***@proxy:3128")
    );
    let client = found.client(Some(&proxy)).expect("possible");
    for shown in [format!("{proxy:?}"), format!("{client:?}"), proxy.wants_credentials()] {
        // "hush:hu@sh" in base64.
        assert!(!shown.contains("hush") && !shown.contains("aHVzaDpodUBzaA"), "{shown}");
    }
    for text in [
        "socks5://hush@proxy:1080",
        "http://hush:pa/hush@proxy:3128",
        "http://hush:1#hush@proxy:3128",
        "http://hush@proxy:0",
        "http://hush@proxy:3128/hush",
        "http://hush hush",
    ] {
        for (settings, env, place) in [
            (format!("proxy = {text:?}"), vec![], "http.proxy"),
            (String::new(), vec![("https_proxy", text)], "https_proxy"),
        ] {
            let refused = outgoing(&settings, &env).map(drop).expect_err(text).to_string();
            assert!(refused.starts_with(place) && !refused.contains("hush"), "{refused}");
        }
    }
}

#[test]
fn exceptions_that_never_match_are_refused() {
    for text in ["", "*.example.com", "https://a", "a:80", "a,b", "a b"] {
        let refused = outgoing(&format!("no-proxy = [{text:?}]"), &[]).map(drop).expect_err(text);
        assert!(refused.to_string().starts_with("http.no-proxy: "), "{refused}");
    }
    outgoing("no-proxy = [\"*\", \"a\", \".a.b\", \"::1\", \"fd00::/8\", \"10.0.0.1\"]", &[])
        .expect("possible");
}

/// A proxy that gives this answer to one request. Returns its address and the request.
async fn answering(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut read = vec![0; 4096];
        let length = stream.read(&mut read).await.expect("a request");
        stream.write_all(answer.as_bytes()).await.expect("answered");
        String::from_utf8_lossy(&read[..length]).into_owned()
    });
    (port, request)
}

/// Sends a request of a plugin without networks through the proxy at this port.
async fn through(port: u16, server: &str) -> Result<u16, NoAnswer> {
    let settings = format!("proxy = \"http://me:hush@localhost:{port}\"");
    let client =
        Client::new(&outgoing(&settings, &[]).expect("possible"), &url(server), &[]).expect("a client");
    let request = reqwest::Request::new(http::Method::GET, url(server));
    let sent = tokio::time::timeout(Duration::from_secs(30), client.execute(request)).await.expect("an end");
    sent.map(|response| response.status().as_u16())
}

/// The name of the server has no address here, and the proxy's address is not public.
#[tokio::test]
async fn a_proxy_gets_the_name_and_its_failures_are_explained() {
    const SERVER: &str = "https://gateway.invalid:8443";
    for (answer, reason) in [
        (
            "HTTP/1.1 407 No\r\n\r\n",
            "does not accept the credentials (407); set user and password in http.proxy",
        ),
        ("HTTP/1.1 502 No\r\n\r\n", "refuses to connect to https://gateway.invalid:8443; its log says why"),
        ("", "breaks the connection to https://gateway.invalid:8443; its log says why"),
    ] {
        let (port, request) = answering(answer).await;
        let failed = through(port, SERVER).await.expect_err("no connection");
        let detail = format!("http://localhost:{port} {reason}");
        assert_eq!(failed, NoAnswer { error: Error::Proxy, detail });
        let request = request.await.expect("a request");
        assert!(request.starts_with("CONNECT gateway.invalid:8443 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("Proxy-Authorization: Basic bWU6aHVzaA==\r\n"), "{request}");
    }
    let closed =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    for server in [SERVER, "http://gateway.invalid"] {
        let failed = through(closed, server).await.expect_err("nobody listens").to_string();
        let expected =
            format!("no connection through the proxy: http://localhost:{closed}: Connection refused");
        assert!(failed.starts_with(&expected), "{failed}");
    }
}

#[tokio::test]
async fn a_request_without_tls_is_forwarded() {
    let (port, request) = answering("HTTP/1.1 204 Fine\r\n\r\n").await;
    assert_eq!(through(port, "http://gateway.invalid/a").await, Ok(204));
    let request = request.await.expect("a request");
    assert!(request.starts_with("GET http://gateway.invalid/a HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("proxy-authorization: Basic bWU6aHVzaA==\r\n"), "{request}");
    let (port, _) = answering("HTTP/1.1 407 No\r\nproxy-authenticate: Basic\r\n\r\n").await;
    assert_eq!(
        through(port, "http://gateway.invalid/a").await.map_err(|failed| failed.error),
        Err(Error::Proxy)
    );
}

/// The exemption for the proxy's address belongs to its use as a proxy.
#[tokio::test]
async fn a_plugin_cannot_reach_the_proxy_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let failed = through(port, &format!("http://localhost:{port}/")).await;
    assert_eq!(failed, Err(Error::Prohibited.into()));
    let arrived = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(arrived.is_err(), "something arrived");
}

/// A second fence: even a request that is not meant for the proxy leads nowhere else.
#[tokio::test]
async fn the_client_for_a_proxy_resolves_only_its_name() {
    let only = Only("localhost".into());
    let found = async |name: &str| only.resolve(name.parse().expect(name)).await.map(Iterator::count);
    assert!(found("LOCALHOST").await.is_ok_and(|count| count > 0));
    for other in ["ip6-localhost", "127.0.0.1"] {
        assert!(found(other).await.is_err(), "{other}");
    }
}
