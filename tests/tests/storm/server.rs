//! The server, as a process that is killed again and again, and one who talks to it through all of that.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant_tests::serving::Serving;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::PATIENCE;

/// How long an answer may take before it is asked for again.
const ANSWER: Duration = Duration::from_secs(15);

/// An answer.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// The server, or none while nobody has started one again.
pub(crate) struct Server {
    url: String,
    serving: Mutex<Option<Serving>>,
    killed: AtomicU64,
    without_database: AtomicU64,
    unanswered: AtomicU64,
}

impl Server {
    /// Of this database. It is started when there is something to say to it.
    pub(crate) fn new(url: String) -> Arc<Self> {
        Arc::new(Self {
            url,
            serving: Mutex::default(),
            killed: AtomicU64::default(),
            without_database: AtomicU64::default(),
            unanswered: AtomicU64::default(),
        })
    }

    fn serving(&self) -> MutexGuard<'_, Option<Serving>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills it, if there is one.
    pub(crate) fn kill(&self) {
        // It is killed by being dropped.
        let was_there = self.serving().take().is_some();
        self.killed
            .fetch_add(u64::from(was_there), Ordering::Relaxed);
    }

    pub(crate) fn killed(&self) -> u64 {
        self.killed.load(Ordering::Relaxed)
    }

    /// Those that found no database as they began.
    pub(crate) fn without_database(&self) -> u64 {
        self.without_database.load(Ordering::Relaxed)
    }

    /// How often nothing was answered, or that it cannot be done just now.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Says this, a method and a path, with what stands behind the headers that every request has, until it is answered: to
    /// one server after another.
    pub(crate) async fn until_answered(self: &Arc<Self>, what: &str, rest: &str) -> Result<Said> {
        let begun = Instant::now();
        loop {
            let server = self.clone();
            let address = tokio::task::spawn_blocking(move || server.address()).await??;
            if let Some(address) = address {
                let text =
                    format!("{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{rest}");
                let said = say(&address, &text).await;
                if let Some(said) = said.filter(|said| said.status < 500) {
                    return Ok(said);
                }
            }
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            ensure!(
                begun.elapsed() < PATIENCE,
                "{what} was not answered in {PATIENCE:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where it listens; started if there is none. None: it did not find its database. Blocks.
    fn address(&self) -> Result<Option<String>> {
        if let Some(serving) = &mut *self.serving() {
            let status = serving.child.try_wait()?;
            ensure!(
                status.is_none(),
                "the server has ended by itself: {status:?}"
            );
            return Ok(Some(serving.address.clone()));
        }
        let Ok(serving) = Serving::start(&self.url) else {
            self.without_database.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        };
        let address = serving.address.clone();
        pass_over(&serving)?;
        *self.serving() = Some(serving);
        Ok(Some(address))
    }
}

/// Reads what it says, so that it never waits for a reader. It ends with the server.
fn pass_over(serving: &Serving) -> Result<()> {
    let said = serving.said.get_ref().as_fd().try_clone_to_owned()?;
    std::thread::spawn(move || std::io::copy(&mut File::from(said), &mut std::io::sink()));
    Ok(())
}

/// None: whatever it answers has not arrived in whole.
async fn say(address: &str, text: &str) -> Option<Said> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok::<_, std::io::Error>(said)
    };
    let said = tokio::time::timeout(ANSWER, talk).await.ok()?.ok()?;
    let (head, body) = said.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = serde_json::from_str(body).ok()?;
    Some(Said { status, body })
}
