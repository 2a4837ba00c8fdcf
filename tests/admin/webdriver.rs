//! Chromium without a screen, by the WebDriver protocol.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    http::request,
    support::{PATIENCE, program::installed},
};

/// The member that names an element (W3C WebDriver §12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with a window of its own.
pub struct Browser {
    driver: Child,
    at: SocketAddr,
    session: String,
}

impl Browser {
    /// None where there is no Chromium.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        if !installed("chromium") || !installed("chromedriver") {
            return None;
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(driver.stdout.take().unwrap());
        let port = output.lines().find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let at = SocketAddr::from(([127, 0, 0, 1], port.unwrap()));
        let options = json!({ "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            format!("--window-size={width},{height}"),
        ] });
        let body = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let answer = request(at, "POST /session", "", &body.to_string()).expect(200);
        let session = answer.json()["value"]["sessionId"]
            .as_str()
            .unwrap()
            .to_owned();
        Some(Self {
            driver,
            at,
            session,
        })
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        let line = format!("POST /session/{}/{name}", self.session);
        request(self.at, &line, "", &body.to_string())
            .expect(200)
            .json()["value"]
            .take()
    }

    pub fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// The value of an expression.
    pub fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression) != Value::Bool(true) {
            let page = self.value("document.body.innerText");
            assert!(
                Instant::now() < deadline,
                "never came true: {expression}\n{page}"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn element(&self, selector: &str) -> String {
        let body = json!({ "using": "css selector", "value": selector });
        self.command("element", &body)[ELEMENT]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Clicks on the first such element; where the page has just replaced it, on the new one.
    pub fn click(&self, selector: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = format!(
                "POST /session/{}/element/{}/click",
                self.session,
                self.element(selector)
            );
            let answer = request(self.at, &line, "", "{}");
            if answer.status == 200 {
                return;
            }
            assert!(
                answer.body.contains("stale element"),
                "{selector}: {answer:?}"
            );
            assert!(Instant::now() < deadline, "{selector}: {answer:?}");
        }
    }

    /// Types into a field, or presses keys.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.command(
            &format!("element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    /// Keeps a picture of the window, where `PORTCULLIS_PICTURES` names a directory.
    pub fn picture(&self, name: &str) {
        let Ok(directory) = std::env::var("PORTCULLIS_PICTURES") else {
            return;
        };
        let line = format!("GET /session/{}/screenshot", self.session);
        let answer = request(self.at, &line, "", "").expect(200).json();
        let picture = answer["value"].as_str().unwrap().as_bytes().to_owned();
        let picture = data_encoding::BASE64.decode(&picture).unwrap();
        let file = std::path::Path::new(&directory).join(format!("{name}.png"));
        std::fs::write(file, picture).unwrap();
    }

    /// Looks as it does for those who like it dark.
    pub fn dark(&self) {
        let features = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
        let body =
            json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.command("goog/cdp/execute", &body);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let line = format!("DELETE /session/{}", self.session);
        if !std::thread::panicking() {
            request(self.at, &line, "", "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
