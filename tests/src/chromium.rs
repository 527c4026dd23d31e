//! A browser for the tests: Chromium without a window, driven by its driver over the WebDriver protocol.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// How the protocol calls an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page. Everything that belongs to it ends when it is dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver leads a group of its own, in which the browser's processes are, too.
        let group = format!("-{}", self.driver.id());
        Command::new("kill")
            .args(["-KILL", "--", &group])
            .status()
            .ok();
        self.driver.wait().ok();
    }
}

impl Browser {
    /// Starts one; none, with a line that says so, where there is no Chromium and none can be installed.
    pub async fn start() -> Result<Option<Self>> {
        let Some((driver, chromium)) = find().or_else(install) else {
            eprintln!(
                "skipped: there is no Chromium, and it could not be installed (Debian: apt-get install chromium chromium-driver)"
            );
            return Ok(None);
        };
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let said = std::io::BufReader::new(driver.stdout.take().context("its output")?);
        let port = port(said);
        let mut browser = Self {
            driver,
            port: 0,
            session: String::new(),
            _profile: tempfile::tempdir()?,
        };
        browser.port = port?;
        let profile = browser._profile.path().display().to_string();
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--window-size=1280,900",
            &format!("--user-data-dir={profile}"),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": args, "binary": chromium},
        }}});
        let made = browser.say("POST", "/session", &wanted).await?;
        let session = made["sessionId"].as_str().context("no session")?;
        browser.session = format!("/session/{session}");
        Ok(Some(browser))
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.ask("POST", "/url", &json!({"url": url}))
            .await
            .map(drop)
    }

    /// Runs a function's body in the page, and gives what it returns.
    pub async fn run(&self, script: &str) -> Result<Value> {
        self.ask(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": []}),
        )
        .await
    }

    /// Waits until a function's body returns what is true.
    pub async fn until(&self, script: &str) -> Result<()> {
        let start = Instant::now();
        // Between two pages there is none to ask.
        while !matches!(self.run(script).await, Ok(Value::Bool(true))) {
            if start.elapsed() > PATIENCE {
                let page = self.run("return document.body.innerText").await?;
                bail!("it did not come to `{script}`: {page}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Types into whatever the selector finds, which has the keyboard from then on.
    pub async fn type_into(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.ask(
            "POST",
            &format!("/element/{element}/value"),
            &json!({"text": text}),
        )
        .await
        .map(drop)
    }

    /// Presses what the selector finds.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.ask("POST", &format!("/element/{element}/click"), &json!({}))
            .await
            .map(drop)
    }

    /// Presses keys, wherever the keyboard is.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let keys = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|what| json!({"type": what, "value": key.to_string()}))
        });
        let keys: Vec<Value> = keys.collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]});
        self.ask("POST", "/actions", &actions).await.map(drop)
    }

    /// How wide the page is, and whether its reader likes it dark.
    pub async fn look(&self, width: u32, scheme: &str) -> Result<()> {
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        for (command, params) in [
            ("Emulation.setDeviceMetricsOverride", metrics),
            ("Emulation.setEmulatedMedia", media),
        ] {
            let said = json!({"cmd": command, "params": params});
            self.ask("POST", "/goog/cdp/execute", &said).await?;
        }
        Ok(())
    }

    /// What the page has complained of since it was asked last.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let said = self
            .ask("POST", "/se/log", &json!({"type": "browser"}))
            .await?;
        let all = said.as_array().into_iter().flatten();
        Ok(all.map(|entry| entry["message"].to_string()).collect())
    }

    async fn find(&self, selector: &str) -> Result<String> {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "/element", &wanted).await?;
        let id = found[ELEMENT].as_str().map(str::to_owned);
        id.with_context(|| format!("nothing is `{selector}`"))
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.say(method, &format!("{}{path}", self.session), body)
            .await
    }

    async fn say(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let exchange = async {
            let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).await?);
            stream.write_all(request.as_bytes()).await?;
            let (mut head, mut length) = (String::new(), None);
            // The driver leaves the connection open.
            loop {
                let mut line = String::new();
                ensure!(
                    stream.read_line(&mut line).await? > 0,
                    "the driver hangs up: {head}"
                );
                if line.trim().is_empty() {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(bytes) = lower.strip_prefix("content-length:") {
                    length = Some(bytes.trim().parse::<usize>()?);
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length.with_context(|| format!("an answer in pieces: {head}"))?];
            stream.read_exact(&mut body).await?;
            Ok((head, serde_json::from_slice::<Value>(&body)?))
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        let (head, said) = answer.context("the driver does not answer")??;
        let is_good = head.split(' ').nth(1) == Some("200");
        ensure!(is_good, "{path}: {}", said["value"]["message"]);
        Ok(said["value"].clone())
    }
}

/// The driver says where it listens.
fn port(said: impl std::io::BufRead) -> Result<u16> {
    for line in said.lines() {
        let line = line?;
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return Ok(port.trim_end_matches('.').parse()?);
        }
    }
    bail!("chromedriver ended without a word")
}

fn find() -> Option<(&'static str, &'static str)> {
    let is_there = |name: &&str| {
        let version = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    };
    let driver = ["/usr/bin/chromedriver"]
        .into_iter()
        .find(|name| is_there(name))?;
    let chromium = ["/usr/bin/chromium"]
        .into_iter()
        .find(|name| is_there(name))?;
    Some((driver, chromium))
}

fn install() -> Option<(&'static str, &'static str)> {
    let command = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver";
    let installed = Command::new("sh")
        .args(["-c", command])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    installed
        .is_ok_and(|status| status.success())
        .then(find)
        .flatten()
}
