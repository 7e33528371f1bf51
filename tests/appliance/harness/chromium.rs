//! A real browser: Chromium without a window, driven by its own `chromedriver` over the WebDriver protocol
//! (W3C). Scripts are switched off in it, because no page may need them. A click ends when the page it leads to
//! has loaded, so nothing here waits for a time.

use super::PATIENCE;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// The name under which WebDriver hands elements out.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser window that nobody sees.
pub(crate) struct Chromium {
    driver: Child,
    session: String,
    _profile: TempDir,
}

impl Chromium {
    /// Starts one, `wide` pixels wide, light or dark; `None` where there is no `chromedriver`.
    pub(crate) fn start(wide: u32, dark: bool) -> Option<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let output = driver.stdout.take().expect("standard output is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            line.split("successfully on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok()
        });
        let base = format!("http://127.0.0.1:{}/session", port.expect("chromedriver says its port"));
        // Whatever else it says must have somewhere to go.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().expect("a scratch directory can be made");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--no-proxy-server".to_owned(),
            "--window-size=1200,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let prefs = json!({"profile.managed_default_content_settings.javascript": 2});
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments, "prefs": prefs},
        }}});
        let opened = call("POST", &base, Some(&wanted));
        let id = opened["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {opened}"));
        let browser = Self { driver, session: format!("{base}/{id}"), _profile: profile };
        // A window cannot be as narrow as a telephone; a screen can.
        let screen = json!({"width": wide, "height": 844, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": screen});
        assert_eq!(browser.post("/goog/cdp/execute", &command), json!({}));
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        call("POST", &format!("{}{path}", self.session), Some(body))
    }

    fn get(&self, path: &str) -> Value {
        call("GET", &format!("{}{path}", self.session), None)
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    fn find(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector}));
        let element = found[ELEMENT].as_str();
        element.unwrap_or_else(|| panic!("no `{selector}` on the page:\n{}", self.source())).to_owned()
    }

    pub(crate) fn write(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.post(&format!("/element/{element}/clear"), &json!({}));
        self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses something that leads to another page, and waits until that has replaced this one.
    pub(crate) fn click(&self, selector: &str) {
        let (page, element) = (self.find("html"), self.find(selector));
        self.post(&format!("/element/{element}/click"), &json!({}));
        let deadline = Instant::now() + PATIENCE;
        let is_over = || self.get(&format!("/element/{page}/name"))["error"].is_string();
        let state = json!({"script": "return document.readyState", "args": []});
        while !is_over() || self.post("/execute/sync", &state) != "complete" {
            assert!(Instant::now() < deadline, "`{selector}` leads nowhere from\n{}", self.source());
        }
    }

    /// The page's heading, as a screen reader reads it.
    pub(crate) fn heading(&self) -> String {
        let element = self.find("h1");
        self.get(&format!("/element/{element}/text")).as_str().unwrap_or_default().to_owned()
    }

    /// What can be read on the page.
    pub(crate) fn text(&self) -> String {
        let element = self.find("body");
        self.get(&format!("/element/{element}/text")).as_str().unwrap_or_default().to_owned()
    }

    /// What assistive technology calls an element.
    pub(crate) fn label(&self, selector: &str) -> String {
        let element = self.find(selector);
        self.get(&format!("/element/{element}/computedlabel")).as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn url(&self) -> String {
        self.get("/url").as_str().unwrap_or_default().to_owned()
    }

    /// How far the page reaches beyond the window's right edge, in pixels.
    pub(crate) fn overflow(&self) -> f64 {
        let size = |selector: &str| {
            let element = self.find(selector);
            let rect = self.get(&format!("/element/{element}/rect"));
            rect["x"].as_f64().unwrap_or_default() + rect["width"].as_f64().unwrap_or_default()
        };
        size("main") - size("html")
    }

    /// Waits for the page that says `words`, where more than one step leads to it or a step takes long.
    pub(crate) fn arrives(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.source().contains(words) {
            assert!(Instant::now() < deadline, "no `{words}` on the page:\n{}", self.source());
            std::thread::yield_now();
        }
    }

    fn source(&self) -> String {
        self.get("/source").as_str().unwrap_or_default().to_owned()
    }

    /// Keeps a picture of the page, if `KEYWAYD_SCREENSHOTS` names a directory for it.
    pub(crate) fn picture(&self, name: &str) {
        #[expect(clippy::disallowed_methods, reason = "where whoever looks wants the pictures")]
        let Some(directory) = std::env::var_os("KEYWAYD_SCREENSHOTS") else { return };
        let picture = self.get("/screenshot");
        let bytes = decode(picture.as_str().unwrap_or_default());
        fs::write(PathBuf::from(directory).join(format!("{name}.png")), bytes)
            .expect("the directory can be written");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.decode(text).expect("base64")
}

/// One command of the protocol.
fn call(method: &str, url: &str, body: Option<&Value>) -> Value {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build(),
    );
    let sent = match body {
        Some(body) => agent.post(url).content_type("application/json").send(body.to_string()),
        None => agent.get(url).call(),
    };
    let mut answer = sent.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().expect("an answer");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    value["value"].clone()
}
