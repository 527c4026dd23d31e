//! `serve`: the HTTP API.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use intendant::Intendant;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::args::Database;
use super::exit::Refusal;
use crate::http::Api;

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

pub(super) async fn serve(options: Options, name: &str) -> Result<()> {
    let intendant = options.database.connect().await?;
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
    if !is_local && !has_tokens {
        return Err(Refusal::Usage(format!(
            "{} can be reached by others, and there is no token: make one with `{name} token create`",
            options.listen
        ))
        .into());
    }
    let (stop, stopped) = watch::channel(false);
    let names = LOCAL.into_iter().map(str::to_owned).chain(options.hosts);
    let mut api = Api::new(&intendant).names(names).stop(stopped.clone());
    if !has_tokens {
        api = api.open();
        eprintln!(
            "whoever is on this machine may do everything, since there is no token yet: `{name} token create` makes one"
        );
    }
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("listening on {}", options.listen))?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let mut draining = stopped.clone();
    let shutdown = async move {
        intendant::shutdown_signal().await;
        eprintln!("draining");
        stop.send_replace(true);
    };
    let serving = axum::serve(listener, api.router()).with_graceful_shutdown(shutdown);
    let too_long = async move {
        if draining.wait_for(|stop| *stop).await.is_err() {
            // Serving has ended by itself.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving.into_future() => served.context("serving")?,
        () = too_long => eprintln!("some requests did not end in {DRAIN:?}"),
    }
    intendant.close().await;
    Ok(())
}
