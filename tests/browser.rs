//! The report's page in a real browser: it loads without a message on the console, curves can be hidden, rows sorted, the
//! theme changed and axes chosen. Chromium is driven through ChromeDriver (Debian: chromium, chromium-driver); without
//! them the test says so and passes.

mod common;

use common::{Session, TINY};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A browser with one window; closed with its driver when dropped.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts driver and browser; the reason where there is none.
    fn start(profile: &Path) -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("chromedriver cannot be started ({e}); install chromium and chromium-driver"))?;
        let mut browser = Self { driver, port, session: String::new() };
        let clock = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if clock.elapsed() > Duration::from_secs(30) {
                return Err("chromedriver does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let arguments = [
            "--headless=new".to_string(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--no-first-run".into(),
            "--window-size=1280,1600".into(),
            format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = browser.call("POST", "/session", &wanted)?;
        browser.session = made["sessionId"].as_str().ok_or(format!("no browser: {made}"))?.to_string();
        Ok(browser)
    }

    /// One request of the WebDriver protocol; its value.
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "GET" || method == "DELETE" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(|e| e.to_string())?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .map_err(|e| e.to_string())?;
        let (mut answer, mut part) = (Vec::new(), [0; 65536]);
        // The driver may keep the connection open, so the length decides.
        loop {
            let n = stream.read(&mut part).map_err(|e| e.to_string())?;
            answer.extend_from_slice(&part[..n]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|l| {
                    let (name, value) = l.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                });
                if n == 0 || length.is_some_and(|l| rest.len() >= l) {
                    let v: Value = serde_json::from_str(rest).map_err(|e| format!("{e}: {rest}"))?;
                    return match v["value"]["error"].as_str() {
                        Some(_) => Err(v["value"]["message"].to_string()),
                        None => Ok(v["value"].clone()),
                    };
                }
            }
            if n == 0 {
                return Err("the driver closed the connection".into());
            }
        }
    }

    fn open(&self, file: &Path) {
        let url = json!({ "url": format!("file://{}", file.display()) });
        self.call("POST", &format!("/session/{}/url", self.session), &url).unwrap();
        let clock = Instant::now();
        while self.ask("return document.documentElement.dataset.ready ?? ''") != "true" {
            assert!(clock.elapsed() < Duration::from_secs(30), "the page is not ready: {:?}", self.messages());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.call("POST", &format!("/session/{}/execute/sync", self.session), &body).unwrap()
    }

    fn messages(&self) -> Vec<Value> {
        let log = self.call("POST", &format!("/session/{}/se/log", self.session), &json!({ "type": "browser" }));
        log.unwrap().as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.call("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_page_works_in_a_browser() {
    let s = Session::new();
    s.write("tiny.toml", TINY);
    let browser = match Browser::start(&s.path().join("profile")) {
        Ok(b) => b,
        Err(why) => {
            eprintln!("SKIPPED: no browser to look at the page with: {why}");
            return;
        }
    };
    s.silently(0, "run tiny.toml");
    browser.open(&s.path().join("results/tiny/report/report.html"));
    assert_eq!(browser.messages(), Vec::<Value>::new(), "on the console");

    let count = |selector: &str| browser.ask(&format!("return document.querySelectorAll(\"{selector}\").length"));
    assert_eq!(count("#arms tbody tr[data-arm]"), 3);
    assert_eq!(count("#curves path[data-arm='1']:not(.hidden)"), 1);
    for section in ["arms", "curves", "ranks", "time", "settings", "definitions", "provenance"] {
        assert_eq!(count(&format!("section#{section}")), 1, "{section}");
    }
    // A click in the legend hides a curve and says so; the next one shows it.
    let press = "document.querySelector(\"#curves .legend button[data-arm='1']\").click();";
    browser.ask(press);
    assert_eq!(count("#curves path[data-arm='1']:not(.hidden)"), 0);
    assert_eq!(count("#curves .legend button[data-arm='1'][aria-pressed='false']"), 1);
    browser.ask(press);
    assert_eq!(count("#curves path[data-arm='1']:not(.hidden)"), 1);
    // Sorting by the area turns the rows round when it is asked for twice.
    let rows = "return [...document.querySelectorAll('#arms tbody tr[data-arm]')].map(r => r.dataset.arm).join()";
    let sort = "document.querySelector(\"#arms button[data-sort='aulc']\").click();";
    browser.ask(sort);
    let up = browser.ask(rows);
    browser.ask(sort);
    let down = browser.ask(rows);
    let turned: Vec<&str> = up.as_str().unwrap().split(',').rev().collect();
    assert_eq!(turned.join(","), down.as_str().unwrap());
    // Another metric and another axis draw other curves.
    let path = "return document.querySelector(\"#curves path[data-arm='1']\").getAttribute('d')";
    let first = browser.ask(path);
    let choose = |selector: &str, value: &str| {
        browser.ask(&format!(
            "const s = document.querySelector(\"{selector}\"); s.value = '{value}'; s.dispatchEvent(new Event('change', {{ bubbles: true }}));"
        ))
    };
    choose("#curves select[data-metric]", "1");
    let second = browser.ask(path);
    assert_ne!(first, second);
    choose("#curves select[data-metric]", "0");
    assert_eq!(browser.ask(path), first);
    // The theme button turns the ground dark, or light.
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let before = browser.ask(ground);
    browser.ask("document.querySelector('button[data-theme]').click();");
    assert_ne!(browser.ask(ground), before);
    // No number that is none, nothing asked of a network, everything labelled.
    let text = browser.ask("return document.body.innerText");
    for word in ["NaN", "undefined", "Infinity"] {
        assert!(!text.as_str().unwrap().contains(word), "{word}");
    }
    let asked = browser.ask(
        "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('file:') && !n.startsWith('data:'))",
    );
    assert_eq!(asked, json!([]));
    let unlabelled = browser.ask(
        "return [...document.querySelectorAll('select, input')].filter(x => !x.labels.length && !x.ariaLabel).length",
    );
    assert_eq!(unlabelled, 0);
    let picture = browser.call("GET", &format!("/session/{}/screenshot", browser.session), &Value::Null).unwrap();
    assert!(picture.as_str().is_some_and(|p| p.len() > 10_000), "a picture of the page");
    assert_eq!(browser.messages(), Vec::<Value>::new(), "on the console, in the end");
}
