//! The replica's server: a process of its own that outlives the demo, boots empty and serves the volume that it is given.
//!
//! Its port is the lock: of two processes for one replica, the second cannot bind and ends. And it looks into the
//! registry every second: a server whose address is not its own any more has no business to live, so none can be left
//! over for good, whatever happens to those who should have stopped it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use intendant::IntentId;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::{cloud, tables};

/// How often a server looks whether its address is still its own.
const LOOK: Duration = Duration::from_secs(1);

/// Name of the hidden subcommand that runs a server.
pub(crate) const SUBCOMMAND: &str = "demo-replica";

/// What a replica's server is started with.
#[derive(clap::Args, Debug)]
pub struct ReplicaOptions {
    /// The demo's directory.
    #[arg(long)]
    pub directory: PathBuf,
    /// Id of the intent that adds the replica.
    #[arg(long)]
    pub replica: IntentId,
    /// Its port on 127.0.0.1.
    #[arg(long)]
    pub port: u16,
}

/// What `GET /health` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Health {
    pub(crate) replica: IntentId,
    pub(crate) pid: u32,
    pub(crate) volume: Option<PathBuf>,
}

/// Body of `POST /attach`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Attach {
    pub(crate) volume: PathBuf,
}

/// Body of `POST /shutdown`: only who knows whom it speaks to may end it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shutdown {
    pub(crate) replica: IntentId,
}

#[derive(Debug)]
struct Replica {
    id: IntentId,
    volume: Mutex<Option<PathBuf>>,
    shutdown: Notify,
}

/// Serves until it is asked to stop, or until its address is not its own any more.
pub async fn serve_replica(options: ReplicaOptions) -> Result<()> {
    let ReplicaOptions {
        directory,
        replica,
        port,
    } = options;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("binding {address}"))?;
    ensure!(
        cloud::owns(&directory, replica, port).await?,
        "{address} does not belong to replica {replica}"
    );

    // Written once the port is bound, so it names the process that serves.
    let pid_file = cloud::server_directory(&directory, replica).join("pid");
    std::fs::write(&pid_file, std::process::id().to_string())?;

    let state = Arc::new(Replica {
        id: replica,
        volume: Mutex::default(),
        shutdown: Notify::new(),
    });
    let router = Router::new()
        .route("/health", get(health))
        .route("/attach", post(attach))
        .route("/tables", get(sums))
        .route("/shutdown", post(shutdown))
        .with_state(state.clone());
    let stop = async move {
        tokio::select! {
            () = state.shutdown.notified() => {}
            () = evicted(&directory, replica, port) => {}
        }
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await?;
    match std::fs::remove_file(&pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Completes when the address belongs to somebody else, or the registry is gone.
async fn evicted(directory: &std::path::Path, replica: IntentId, port: u16) {
    loop {
        tokio::time::sleep(LOOK).await;
        let gone = !cloud::registry(directory).exists();
        // An error is a registry that is busy, which says nothing.
        if gone || matches!(cloud::owns(directory, replica, port).await, Ok(false)) {
            return;
        }
    }
}

async fn health(State(replica): State<Arc<Replica>>) -> Json<Health> {
    Json(Health {
        replica: replica.id,
        pid: std::process::id(),
        volume: replica.volume(),
    })
}

/// Attaching the same volume again changes nothing; another one is refused.
async fn attach(
    State(replica): State<Arc<Replica>>,
    Json(body): Json<Attach>,
) -> Result<Json<Attach>, Refusal> {
    if let Err(error) = tables::open_read_only(&body.volume).await {
        return Err((StatusCode::BAD_REQUEST, format!("{error:#}")));
    }
    let mut volume = replica
        .volume
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match &*volume {
        Some(known) if *known != body.volume => Err((
            StatusCode::CONFLICT,
            format!("{} is attached already", known.display()),
        )),
        _ => {
            *volume = Some(body.volume.clone());
            Ok(Json(body))
        }
    }
}

async fn sums(State(replica): State<Arc<Replica>>) -> Result<Json<Vec<tables::TableSum>>, Refusal> {
    let volume = replica
        .volume()
        .ok_or((StatusCode::CONFLICT, "no volume is attached".to_owned()))?;
    match tables::sums(&volume).await {
        Ok(sums) => Ok(Json(sums)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))),
    }
}

async fn shutdown(
    State(replica): State<Arc<Replica>>,
    Json(body): Json<Shutdown>,
) -> Result<(), Refusal> {
    if body.replica != replica.id {
        return Err((
            StatusCode::CONFLICT,
            format!("this is replica {}", replica.id),
        ));
    }
    replica.shutdown.notify_one();
    Ok(())
}

type Refusal = (StatusCode, String);

impl Replica {
    fn volume(&self) -> Option<PathBuf> {
        self.volume
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
