//! The mailbox of the demo.

use std::time::Duration;

use testkit::{Process, post};

use crate::chromium::{BOUND, Browser, Options};

#[test]
fn an_e_mail_appears_without_a_reload_and_runs_no_script() {
    let plugins = testkit::plugin("email");
    let plugins = plugins.parent().expect("a directory").display().to_string();
    let args = ["demo", "--plugins", &plugins, "--listen", "127.0.0.1:0", "--producer-listen", "127.0.0.1:0"];
    let mut demo = Process::start("host", &args);
    let line = demo.wait_for(|line| line.contains("/demo/mailbox"), BOUND);
    let mailbox = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL").to_owned();
    for (lang, empty) in [("en", "No e-mails yet"), ("ko", "받은 메일")] {
        let browser = Browser::start(Options { lang, dark: lang == "ko", ..Options::default() });
        browser.goto(&mailbox);
        browser.reads(empty);
        // The example is collapsed once there is an e-mail.
        let example = browser.run("return document.querySelector('.command pre').textContent");
        let example = example.as_str().expect("a text").to_owned();
        let port = example
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split('/').next()?.rsplit(':').next()?.parse().ok());
        let subject = format!("<script>window.xss=1</script> {lang}");
        let json = format!(
            r#"{{"from":"me@example.com","to":"you@example.com","subject":"{subject}","body":"hi"}}"#
        );
        let port = port.unwrap_or_else(|| panic!("no example: {example}"));
        assert_eq!(post(port, "/api/emails/send", &json).expect("an answer").status, 200);
        browser.reads(&subject);
        assert!(browser.run("return window.xss ?? null").is_null());
        browser.picture(&format!("mailbox-{lang}"));
        let fails = json.replace("you@example.com", "nobody@example.com");
        assert_eq!(post(port, "/api/emails/send", &fails).expect("an answer").status, 200);
        browser.run("document.querySelector('.lead a').click()");
        browser.reads("smtp-550");
        browser.picture(&format!("mailbox-console-{lang}"));
        browser.close();
    }
    demo.terminate();
    assert_eq!(demo.wait(Duration::from_secs(40)).code(), Some(0));
}
