//! Content of messages never runs, cross-site requests change nothing, and the console works without
//! JavaScript.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use crate::chromium::{Browser, Options};
use crate::fixture::Desk;

const SCRIPT: &str = "<script>window.xss=1</script><img src=x onerror=window.xss=1>";

#[test]
fn content_of_messages_never_runs() {
    let desk = Desk::start("script", &[]);
    let body = |id: &str| format!(r#"{{"id":"{id}","{}":1}}"#, SCRIPT.replace('"', ""));
    desk.fail([body("1"), body("2")]);
    let failure = desk.failures()[0]["id"].as_str().expect("an id").to_owned();
    let browser = Browser::start(Options::default());
    browser.goto(&desk.url("/dead-letters"));
    let dead_letter = browser.find("#list tbody a").attr("href");
    let script: String = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect();
    for path in [
        "/".to_owned(),
        "/failures".to_owned(),
        format!("/failures/{failure}"),
        dead_letter.clone(),
        format!("{dead_letter}/edit"),
        format!("/dead-letters?state=any&text={script}"),
        format!("/replay?failure={failure}"),
        format!("/discard?failure={failure}"),
    ] {
        browser.goto(&desk.url(&path));
        browser.find("h1");
        assert!(browser.run("return window.xss ?? null").is_null(), "{path}");
        assert!(
            browser.run("return document.querySelector('main script, main img') ?? null").is_null(),
            "{path}"
        );
    }
    browser.goto(&desk.url(&dead_letter));
    browser.reads("<script>window.xss=1</script>");
    browser.close();
    desk.stop();
}

/// A page of another origin that sends forms to the console as soon as it is open.
fn attacker(target: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://localhost:{}/", listener.local_addr().expect("an address").port());
    let page = format!(
        "<!doctype html><title>other</title><form id=f method=post action=\"{target}/discard\"><input name=query value=\"\">\
         <input name=reason value=x><input name=csrf value=x></form><script>fetch('{target}/api/v1/dead-letters/discard', \
         {{method:'POST',mode:'no-cors',credentials:'include',body:'{{\"all\":true,\"reason\":\"x\"}}'}}).finally(() => f.submit())</script>"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(format!("{head}{page}").as_bytes());
        }
    });
    url
}

#[test]
fn a_cross_site_page_changes_nothing() {
    let desk = Desk::start("attack", &[]);
    desk.fail_as_usual(2, 0);
    let browser = Browser::start(Options::default());
    // The browser has a session.
    browser.goto(&desk.url("/dead-letters"));
    browser.goto(&attacker(&desk.url("")));
    browser.reads("cross-site");
    assert_eq!((desk.count("state=open"), desk.count("state=discarded")), (2, 0));
    browser.close();
    desk.stop();
}

#[test]
fn the_console_works_without_scripts() {
    let desk = Desk::start("plain", &[]);
    desk.fail_as_usual(3, 0);
    let browser = Browser::start(Options { scripts: false, ..Options::default() });
    browser.goto(&desk.url("/"));
    browser.reads("JavaScript is disabled");
    browser.click("asked-reject");
    browser.click("Discard");
    browser.fill("#reason", "no scripts");
    browser.find("form.stack button.main").click();
    browser.find("option[value='discarded'][selected]");
    assert_eq!(desk.count("state=discarded"), 3);
    browser.close();
    desk.stop();
}

#[test]
fn with_a_token_users_log_in_and_out() {
    let config =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-token-{}.toml", std::process::id()));
    std::fs::write(&config, "[desk]\ntoken = \"0123456789abcdef0123\"\n").expect("written");
    let config = config.display().to_string();
    let desk = Desk::start("token", &["--config", &config]);
    let browser = Browser::start(Options { lang: "ko", ..Options::default() });
    browser.goto(&desk.url("/failures?all=1"));
    browser.fill("#token", "wrong");
    browser.click("로그인");
    browser.reads("토큰이 올바르지 않습니다");
    browser.fill("#token", "0123456789abcdef0123");
    browser.fill("#name", "김철수");
    browser.click("로그인");
    browser.reads("김철수");
    assert_eq!(browser.path(), "/failures?all=1");
    browser.click("로그아웃");
    browser.find("#token");
    browser.goto(&desk.url("/"));
    browser.find("#token");
    browser.close();
    desk.stop();
}

#[test]
fn a_page_updates_after_a_restart_of_the_host() {
    let mut desk = Desk::start("away", &[]);
    let browser = Browser::start(Options::default());
    browser.goto(&desk.url("/"));
    browser.reads("No open failures");
    let port = desk.port;
    desk.deploy();
    assert_eq!(desk.port, port);
    desk.fail((0..2).map(|id| format!(r#"{{"id":"{id}","do":"trap"}}"#)));
    browser.reads("trap");
    let is_hidden = browser.run("return document.getElementById('unreachable').hidden");
    assert_eq!(is_hidden, true);
    browser.close();
    desk.stop();
}
