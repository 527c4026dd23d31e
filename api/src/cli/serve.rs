//! `serve`: the HTTP API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use intendant::{Error, Intendant, RequestByName};
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::args::Database;
use super::exit::Refusal;
use super::program::{Code, Program};
use crate::http::{self, Api, Drained};

/// How long requests that are under way may take after a signal.
const DRAIN: Duration = Duration::from_secs(25);

/// What a machine calls itself.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Options of `serve`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4600")]
    listen: SocketAddr,
    /// A name (without a port) that it is called by, beside those of this machine; requests for other names are refused
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Connections are encrypted by a proxy in front of it: needed for an address that others than this machine reach
    #[arg(long)]
    behind_proxy: bool,
    #[command(flatten)]
    database: Database,
}

/// Prints the document. It is the same whatever the database is, so that one in memory will do.
pub(super) async fn openapi() -> Result<()> {
    let intendant = Intendant::open("sqlite::memory:").await?;
    let document = Api::new(&intendant).document();
    println!("{document:#}");
    Ok(())
}

/// The code of the program that serves, for requests by a kind's name.
struct OfProgram(Box<dyn Code>);

impl http::Code for OfProgram {
    fn knows(&self, kind: &str) -> bool {
        self.0.kinds().contains(&kind)
    }

    fn request<'c>(&'c self, kind: &str, input: &RawValue) -> Result<RequestByName<'c>, Error> {
        self.0.request(kind, input)
    }
}

pub(super) async fn serve(options: Options, program: Program) -> Result<()> {
    let intendant = options.database.connect().await?;
    let name = program.name.clone();
    let is_local = options.listen.ip().is_loopback();
    // Of those that were ever made: that the last one has expired opens nothing.
    let has_tokens = !intendant.tokens(None).await?.is_empty();
    if !is_local && !options.behind_proxy {
        return Err(Refusal::Usage(format!(
            "{} can be reached by others, and what is said on the way can be read: listen on 127.0.0.1, or say --behind-proxy \
             where a proxy in front of it speaks TLS",
            options.listen
        ))
        .into());
    }
    // Who comes by a proxy comes from this machine, and a name of its own is for others.
    let is_reached = !is_local || options.behind_proxy || !options.hosts.is_empty();
    if is_reached && !has_tokens {
        let way = match (is_local, options.behind_proxy) {
            (false, _) => format!("{} can be reached by others", options.listen),
            (true, true) => "others reach it by the proxy".to_owned(),
            (true, false) => "others reach it by its names".to_owned(),
        };
        return Err(Refusal::Usage(format!(
            "{way}, and there is no token: make one with `{name} token create`"
        ))
        .into());
    }
    let (stop, stopped) = watch::channel(false);
    let names = LOCAL.into_iter().map(str::to_owned).chain(options.hosts);
    let mut api = Api::new(&intendant).names(names).stop(stopped);
    if options.behind_proxy {
        api = api.behind_tls();
    }
    for code in program.code(&intendant).await? {
        api = api.code(Arc::new(OfProgram(code)));
    }
    if !has_tokens {
        api = api.open();
        eprintln!(
            "whoever is on this machine may do everything, until there is a token: `{name} token create` makes one"
        );
    }
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("listening on {}", options.listen))?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let shutdown = async move {
        intendant::shutdown_signal().await;
        eprintln!("draining");
        stop.send_replace(true);
    };
    if http::serve(listener, api.router(), shutdown, DRAIN).await == Drained::Some {
        eprintln!("some requests did not end in {DRAIN:?}");
    }
    intendant.close().await;
    Ok(())
}
