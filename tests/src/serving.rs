//! `intendant serve`, as a process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::binary;

/// A server that is killed when it is dropped.
#[derive(Debug)]
pub struct Serving {
    /// The process.
    pub child: Child,
    /// What it says on stderr from now on.
    pub said: BufReader<ChildStderr>,
    /// Where it listens.
    pub address: String,
    /// What it said before it listened.
    pub before: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Serving {
    /// Serves a database, on a port of its own.
    pub fn start(url: &str) -> Result<Self> {
        Self::start_at(url, "127.0.0.1:0")
    }

    /// Serves a database at this address.
    pub fn start_at(url: &str, address: &str) -> Result<Self> {
        Self::of(&binary::path("intendant")?, url, address)
    }

    /// The same, by this program.
    pub fn of(program: &Path, url: &str, address: &str) -> Result<Self> {
        Self::by(Command::new(program), url, address)
    }

    /// The same, by a command that ends with the program.
    pub fn by(mut command: Command, url: &str, address: &str) -> Result<Self> {
        let mut child = command
            .args(["serve", "--listen", address, "--database-url", url])
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stderr.take().context("its stderr")?);
        let mut before = String::new();
        loop {
            let mut line = String::new();
            ensure!(said.read_line(&mut line)? > 0, "it has ended: {before}");
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                let address = address.to_owned();
                return Ok(Self {
                    child,
                    said,
                    address,
                    before,
                });
            }
            before.push_str(&line);
        }
    }

    /// Tells it to end, and waits until it has: what it has taken on is answered first.
    pub fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// A connection to it.
    pub fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(stream)
    }

    /// Says this, and reads until the connection ends.
    pub fn ask(&self, path: &str, headers: &str) -> Result<String> {
        let mut stream = self.connect()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        )?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    }
}
