//! A shop: an axum application that keeps its orders in tables of its own, and has them carried out by the engine in the same
//! database. An order and its intent are one commit; the dashboard and the API are mounted under `/operations`, for those whom the
//! application lets in.
//!
//! All in one process:
//!
//! ```text
//! cargo run -p intendant-examples --bin shop                      # http://127.0.0.1:4680
//! curl -d '{"customer":"acme","item":"lamp"}' -H 'content-type: application/json' http://127.0.0.1:4680/orders
//! ```
//!
//! Or the web and the workers apart, as many of each as it takes:
//!
//! ```text
//! cargo run -p intendant-examples --bin shop -- web
//! cargo run -p intendant-examples --bin shop -- worker
//! ```

mod orders;
mod web;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use intendant::Intendant;
use intendant_api::http::{Drained, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long what is under way may take to end.
const DRAIN: Duration = Duration::from_secs(25);

#[derive(Debug, Parser)]
struct Options {
    /// What this process does
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// The application's database, in which the engine's tables are, too
    #[arg(long, default_value = "sqlite://shop.db")]
    database_url: String,
    /// Where the web listens
    #[arg(long, default_value = "127.0.0.1:4680")]
    listen: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Web and worker
    All,
    /// Takes orders, and shows what becomes of them
    Web,
    /// Carries them out
    Worker,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    // Whoever reaches it is taken for the shopkeeper.
    ensure!(
        options.listen.ip().is_loopback(),
        "the shop listens on this machine alone"
    );
    let intendant = Intendant::open(&options.database_url).await?;
    let orders = orders::open(&options.database_url).await?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        intendant::shutdown_signal().await;
        stop.send_replace(true);
    });
    let web = async {
        if options.part == Part::Worker {
            return Ok(());
        }
        let listener = TcpListener::bind(options.listen).await;
        let listener = listener.with_context(|| format!("listening on {}", options.listen))?;
        eprintln!(
            "orders at http://{0}/orders, operations at http://{0}/operations",
            listener.local_addr()?
        );
        let router = web::router(&intendant, orders.clone(), stopped.clone());
        if serve(listener, router, ended(stopped.clone()), DRAIN).await == Drained::Some {
            eprintln!("some requests did not end in {DRAIN:?}");
        }
        anyhow::Ok(())
    };
    let work = async {
        if options.part == Part::Web {
            return Ok(());
        }
        let worker = orders::worker(&intendant, orders.clone());
        let report = worker.run(ended(stopped.clone())).await?;
        eprintln!("{} orders carried out", report.finished);
        anyhow::Ok(())
    };
    tokio::try_join!(web, work)?;
    intendant.close().await;
    Ok(())
}

async fn ended(mut stopped: watch::Receiver<bool>) {
    // Whoever would have said so is gone: that is the end as well.
    stopped.wait_for(|stopped| *stopped).await.ok();
}
