//! Chromium, controlled through chromedriver with the requests of W3C WebDriver that the tests need. (A
//! client library would change the features of the host's dependencies, so that they are compiled twice.)

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use testkit::{Process, request};
use url::Url;

/// Above the time of any step on a busy machine.
pub const BOUND: Duration = Duration::from_secs(30);
/// The interval between checks of a condition.
const INTERVAL: Duration = Duration::from_millis(30);
/// The key of an element's id in WebDriver.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';
pub const ESCAPE: char = '\u{e00c}';

/// A browser with an empty profile.
pub struct Browser {
    port: u16,
    session: String,
    profile: PathBuf,
    clicks: AtomicU32,
    _driver: Process,
}

/// Properties of a browser.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub lang: &'static str,
    pub dark: bool,
    pub scripts: bool,
    pub size: (u32, u32),
}

impl Default for Options {
    fn default() -> Self {
        Self { lang: "en", dark: false, scripts: true, size: (1280, 800) }
    }
}

impl Browser {
    pub fn start(like: Options) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let profile = std::env::temp_dir().join(format!("host-browser-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&profile);
        let driver = Process::start_with(Path::new("chromedriver"), &["--port=0"], &[]);
        let line = driver.wait_for(|line| line.contains("started successfully on port"), BOUND);
        let port = line.trim_end_matches('.').rsplit(' ').next().and_then(|port| port.parse().ok());
        let mut browser = Self {
            port: port.expect("a port"),
            session: String::new(),
            profile,
            clicks: AtomicU32::new(0),
            _driver: driver,
        };
        let wanted = json!({ "capabilities": { "alwaysMatch": browser.capabilities(like) } });
        let session = browser.ask("POST", "/session", &wanted);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    fn capabilities(&self, like: Options) -> Value {
        let (width, height) = like.size;
        let mut args: Vec<String> = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--hide-scrollbars",
        ]
        .map(str::to_owned)
        .into();
        args.push(format!("--user-data-dir={}", self.profile.display()));
        args.push(format!("--window-size={width},{height}"));
        args.push(format!("--lang={}", like.lang));
        if like.dark {
            args.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let prefs = json!({
            "intl.accept_languages": like.lang,
            "profile.managed_default_content_settings.javascript": if like.scripts { 1 } else { 2 },
        });
        json!({ "goog:chromeOptions": { "args": args, "prefs": prefs }, "goog:loggingPrefs": { "browser": "ALL" } })
    }

    /// The answer of the driver, or its error.
    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let headers = [("content-type", "application/json; charset=utf-8")];
        let answer = request(self.port, method, path, &headers, body.as_bytes()).expect("an answer");
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let value = json["value"].clone();
        if answer.status == 200 { Ok(value) } else { Err(value["message"].to_string()) }
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|why| panic!("{method} {path} {body}: {why}"))
    }

    fn of(&self, path: &str) -> String {
        format!("/session/{}{path}", self.session)
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &self.of(path), body)
    }

    #[track_caller]
    pub fn goto(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    pub fn back(&self) {
        self.post("/back", &json!({}));
    }

    #[track_caller]
    fn located(&self, using: &str, value: &str) -> Element<'_> {
        let end = Instant::now() + BOUND;
        loop {
            let found =
                self.try_ask("POST", &self.of("/element"), &json!({ "using": using, "value": value }));
            match found {
                Ok(found) => {
                    return Element { browser: self, id: found[ELEMENT].as_str().expect("an id").to_owned() };
                }
                Err(why) => assert!(Instant::now() < end, "{value}: {why}\n{}", self.text()),
            }
            sleep(INTERVAL);
        }
    }

    /// Waits for an element.
    #[track_caller]
    pub fn find(&self, css: &str) -> Element<'_> {
        self.located("css selector", css)
    }

    /// Clicks the link or button with this text.
    #[track_caller]
    pub fn click(&self, name: &str) {
        let path = format!("//*[self::a or self::button][normalize-space(.)='{name}']");
        let end = Instant::now() + BOUND;
        // The page may be rendering the element again.
        while let Err(why) = self.located("xpath", &path).try_click() {
            assert!(Instant::now() < end, "{name}: {why}");
            sleep(INTERVAL);
        }
    }

    /// The number of successful clicks.
    pub fn clicks(&self) -> u32 {
        self.clicks.load(Ordering::Relaxed)
    }

    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        let field = self.find(css);
        self.post(&format!("/element/{}/clear", field.id), &json!({}));
        field.send_keys(text);
    }

    /// The visible text of the page.
    pub fn text(&self) -> String {
        let body = self.try_ask(
            "POST",
            &self.of("/execute/sync"),
            &json!({ "script": "return document.body.innerText", "args": [] }),
        );
        match body {
            Ok(text) => text.as_str().unwrap_or_default().to_owned(),
            // Without scripts.
            Err(_) => {
                let body = json!({ "using": "css selector", "value": "body" });
                let Ok(body) = self.try_ask("POST", &self.of("/element"), &body) else {
                    return String::new();
                };
                let id = body[ELEMENT].as_str().unwrap_or_default().to_owned();
                let text = self.try_ask("GET", &self.of(&format!("/element/{id}/text")), &Value::Null);
                text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
            }
        }
    }

    /// Waits until the page shows a text, without a reload by the test.
    #[track_caller]
    pub fn reads(&self, what: &str) {
        let end = Instant::now() + BOUND;
        loop {
            let text = self.text();
            if text.split_whitespace().collect::<Vec<_>>().join(" ").contains(what) {
                return;
            }
            assert!(Instant::now() < end, "the page does not show {what:?}:\n{text}\n{}", self.log());
            sleep(INTERVAL);
        }
    }

    /// The log of the browser: failed scripts and violations of the content security policy.
    pub fn log(&self) -> String {
        let log = self.try_ask("POST", &self.of("/se/log"), &json!({ "type": "browser" }));
        let mut text = String::new();
        for entry in log.ok().and_then(|log| log.as_array().cloned()).unwrap_or_default() {
            let _ = writeln!(text, "{}", entry["message"]);
        }
        text
    }

    /// Sends keys to the focused element.
    #[track_caller]
    pub fn keys(&self, keys: &str) {
        let down = |key: char| json!({ "type": "keyDown", "value": key.to_string() });
        let up = |key: char| json!({ "type": "keyUp", "value": key.to_string() });
        let actions: Vec<Value> = keys.chars().flat_map(|key| [down(key), up(key)]).collect();
        self.post(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }),
        );
    }

    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs a script that calls its last argument when it is done.
    #[track_caller]
    pub fn run_async(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Gives the page this size, which may be smaller than a window can be.
    #[track_caller]
    pub fn resize(&self, (width, height): (u32, u32)) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": size });
        self.post("/goog/cdp/execute", &command);
    }

    /// Gives the browser another time zone.
    #[track_caller]
    pub fn time_zone(&self, name: &str) {
        let command = json!({ "cmd": "Emulation.setTimezoneOverride", "params": { "timezoneId": name } });
        self.post("/goog/cdp/execute", &command);
    }

    pub fn path(&self) -> String {
        let url = self.ask("GET", &self.of("/url"), &Value::Null);
        let url: Url = url.as_str().expect("a URL").parse().expect("a URL");
        url[url::Position::BeforePath..].to_owned()
    }

    /// Saves a picture of the page if `SCREENSHOTS` is set.
    pub fn picture(&self, name: &str) {
        let Some(dir) = std::env::var_os("SCREENSHOTS") else { return };
        let dir = PathBuf::from(dir);
        fs::create_dir_all(&dir).expect("a directory");
        let picture = self.ask("GET", &self.of("/screenshot"), &Value::Null);
        let picture = BASE64_STANDARD.decode(picture.as_str().expect("base64")).expect("base64");
        fs::write(dir.join(format!("{name}.png")), picture).expect("written");
    }

    pub fn close(self) {
        self.ask("DELETE", &self.of(""), &Value::Null);
    }
}

impl Drop for Browser {
    /// The browser ends even after a failed test, when its driver has ended.
    fn drop(&mut self) {
        let profile = self.profile.display().to_string();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&profile) {
                let pid = process.file_name().to_string_lossy().into_owned();
                let _ = Command::new("kill").args(["-KILL", &pid]).output();
            }
        }
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// An element of a page.
pub struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

impl Element<'_> {
    #[track_caller]
    pub fn click(&self) {
        self.try_click().unwrap_or_else(|why| panic!("{why}"));
    }

    fn try_click(&self) -> Result<(), String> {
        let path = self.browser.of(&format!("/element/{}/click", self.id));
        self.browser.try_ask("POST", &path, &json!({}))?;
        self.browser.clicks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[track_caller]
    pub fn send_keys(&self, text: &str) {
        self.browser.post(&format!("/element/{}/value", self.id), &json!({ "text": text }));
    }

    #[track_caller]
    pub fn attr(&self, name: &str) -> String {
        let path = self.browser.of(&format!("/element/{}/attribute/{name}", self.id));
        self.browser.ask("GET", &path, &Value::Null).as_str().expect(name).to_owned()
    }
}
