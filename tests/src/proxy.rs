//! A proxy in front of a PostgreSQL server that loses what a network can lose: the answer to a COMMIT, the COMMIT
//! itself, a connection at any message, a notification, everything for a while; and that is late.
//!
//! It knows which COMMIT ends a tick, a step's transaction or a request; and it counts what it did, since a test that hit
//! nothing shows nothing.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use crate::wire::Sort;
use crate::wire::{Messages, Session};

/// What happened to a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It was passed on, as was the answer.
    Passed,
    /// The server has committed, and the client has heard nothing of it.
    AnswerLost,
    /// The server has never seen it.
    NeverSent,
    /// It was passed on, and from then on nothing else is: see [`Proxy::hold`].
    ThenSilence,
}

/// How often something goes wrong, each from 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The answer to a COMMIT is lost.
    pub answer_lost: f64,
    /// The connection is cut before a COMMIT.
    pub never_sent: f64,
    /// The connection is cut before some other message of the client's.
    pub reset: f64,
    /// A notification is not passed on.
    pub notification_lost: f64,
}

/// What the proxy has done so far.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    commits: BTreeMap<(Sort, Fate), u64>,
    /// Connections that were cut at a message that is no COMMIT.
    pub resets: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Notifications that were not passed on.
    pub notifications_lost: u64,
    /// How often something was passed on late.
    pub delayed: u64,
}

impl Counts {
    /// How many COMMITs of a sort had a fate.
    pub fn of(&self, sort: Sort, fate: Fate) -> u64 {
        self.commits.get(&(sort, fate)).copied().unwrap_or_default()
    }
}

/// A running proxy. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    state: Mutex<State>,
    /// Nothing is passed on while this is set.
    held: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    faults: Faults,
    /// In milliseconds.
    delay: Option<RangeInclusive<u64>>,
    /// The n-th COMMITs of a sort from now that shall have a fate.
    chosen: Vec<(Sort, u64, Fate)>,
    counts: Counts,
}

impl Proxy {
    /// Starts in front of the server that this URL names. The seed is for what goes wrong by chance.
    pub async fn start(url: &str, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (_, server, _) = parts(url)?;
        let shared = Arc::new(Shared {
            server: if server.contains(':') {
                server.to_owned()
            } else {
                format!("{server}:5432")
            },
            state: Mutex::new(State {
                random: StdRng::seed_from_u64(seed),
                faults: Faults::default(),
                delay: None,
                chosen: Vec::new(),
                counts: Counts::default(),
            }),
            held: watch::Sender::new(false),
        });
        let port = listener.local_addr()?.port();
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self {
            port,
            shared,
            accepting,
        })
    }

    /// The URL of the same database through the proxy.
    pub fn url(&self, url: &str) -> Result<String> {
        let (before, _, after) = parts(url)?;
        Ok(format!("{before}127.0.0.1:{}{after}", self.port))
    }

    /// From now on things go wrong this often.
    pub fn disturb(&self, faults: Faults) {
        self.shared.state().faults = faults;
    }

    /// From now on whatever comes is passed on so many milliseconds later, either way; none: at once.
    pub fn delay(&self, ms: Option<RangeInclusive<u64>>) {
        self.shared.state().delay = ms;
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        self.disturb(Faults::default());
        self.delay(None);
    }

    /// The n-th COMMIT of this sort, counted from 1 and from now, has this fate.
    pub fn choose(&self, sort: Sort, nth: u64, fate: Fate) {
        self.shared.state().chosen.push((sort, nth, fate));
    }

    /// Connections are accepted, and nothing is passed on in either direction, until [`release`](Self::release).
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Passes everything on that was held.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        self.shared.state().counts.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.release();
    }
}

/// A URL, split around host and port.
fn parts(url: &str) -> Result<(&str, &str, &str)> {
    let scheme = url.find("://").context("a URL")? + 3;
    let end = url[scheme..]
        .find(['/', '?'])
        .map_or(url.len(), |at| scheme + at);
    let host = url[scheme..end]
        .rfind('@')
        .map_or(scheme, |at| scheme + at + 1);
    Ok((&url[..host], &url[host..end], &url[end..]))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until_released(&self) {
        // An error means that the proxy is gone; its connections follow.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }

    /// Waits until what has come is to be passed on.
    async fn until_due(&self) {
        self.until_released().await;
        if let Some(late) = self.late() {
            tokio::time::sleep(late).await;
        }
    }

    fn late(&self) -> Option<Duration> {
        let mut state = self.state();
        let delay = state.delay.clone()?;
        state.counts.delayed += 1;
        Some(Duration::from_millis(state.random.random_range(delay)))
    }

    fn loses_notification(&self) -> bool {
        let mut state = self.state();
        let odds = state.faults.notification_lost;
        let lost = odds > 0.0 && state.random.random_bool(odds);
        state.counts.notifications_lost += u64::from(lost);
        lost
    }

    fn is_reset(&self) -> bool {
        let mut state = self.state();
        let odds = state.faults.reset;
        let reset = odds > 0.0 && state.random.random_bool(odds);
        state.counts.resets += u64::from(reset);
        reset
    }

    fn fate(&self, sort: Sort) -> Fate {
        let mut state = self.state();
        let mut chosen = None;
        state.chosen.retain_mut(|(of, nth, fate)| {
            *nth -= u64::from(*of == sort);
            if *nth == 0 {
                chosen = Some(*fate);
            }
            *nth > 0
        });
        let Faults {
            answer_lost,
            never_sent,
            ..
        } = state.faults;
        let dice: f64 = state.random.random();
        chosen.unwrap_or(if dice < answer_lost {
            Fate::AnswerLost
        } else if dice < answer_lost + never_sent {
            Fate::NeverSent
        } else {
            Fate::Passed
        })
    }

    fn count(&self, sort: Sort, fate: Fate) {
        *self.state().counts.commits.entry((sort, fate)).or_default() += 1;
    }
}

/// What the server tells a client that has listened for it, a message of its own between those of answers.
const NOTIFICATION: u8 = b'A';

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and its connections with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.state().counts.connections += 1;
        let shared = shared.clone();
        connections.spawn(async move {
            // Whatever ends a connection ends it on both sides: both streams are dropped.
            serve(client, &shared).await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    shared.until_released().await;
    let mut server = TcpStream::connect(&shared.server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    start_up(&mut client, &mut server).await?;
    let (mut asked, mut answered) = (Messages::default(), Messages::default());
    let mut session = Session::default();
    loop {
        tokio::select! {
            more = asked.read(&mut client) => {
                more?;
                shared.until_due().await;
                while let Some(message) = asked.next() {
                    if !session.is_commit(&message) {
                        if shared.is_reset() {
                            return Ok(());
                        }
                        server.write_all(&message).await?;
                        continue;
                    }
                    match shared.fate(session.sort) {
                        Fate::Passed => shared.count(session.sort, Fate::Passed),
                        Fate::ThenSilence => {
                            shared.count(session.sort, Fate::ThenSilence);
                            shared.held.send_replace(true);
                        }
                        Fate::NeverSent => {
                            shared.count(session.sort, Fate::NeverSent);
                            return Ok(());
                        }
                        Fate::AnswerLost => {
                            server.write_all(&message).await?;
                            if has_committed(&mut server, &mut answered).await? {
                                shared.count(session.sort, Fate::AnswerLost);
                            }
                            return Ok(());
                        }
                    }
                    server.write_all(&message).await?;
                }
            }
            more = answered.read(&mut server) => {
                more?;
                shared.until_due().await;
                while let Some(message) = answered.next() {
                    if message[0] != NOTIFICATION || !shared.loses_notification() {
                        client.write_all(&message).await?;
                    }
                }
            }
        }
    }
}

/// Passes the first message on, the only one without a letter. Whoever asks for encryption is told that there is none.
async fn start_up(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<()> {
    const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];
    loop {
        let length = client.read_u32().await?;
        let mut message = length.to_be_bytes().to_vec();
        message.resize((length as usize).max(8), 0);
        client.read_exact(&mut message[4..]).await?;
        let code = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
        if !ENCRYPTION.contains(&code) {
            return server.write_all(&message).await;
        }
        client.write_all(b"N").await?;
    }
}

/// Waits for the answer to a COMMIT, to throw it away. True: the server has committed.
async fn has_committed(server: &mut TcpStream, answered: &mut Messages) -> io::Result<bool> {
    let mut committed = false;
    loop {
        while let Some(message) = answered.next() {
            match message[0] {
                b'C' => {
                    let done = &message[5..];
                    committed |= done.starts_with(b"COMMIT")
                        || done.starts_with(b"INSERT")
                        || done.starts_with(b"SELECT");
                }
                b'Z' => return Ok(committed),
                _ => {}
            }
        }
        answered.read(server).await?;
    }
}
