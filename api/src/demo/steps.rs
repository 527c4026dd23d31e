//! How a replica is added: two branches, snapshot → volume and server → address, that join.
//!
//! Every step can be carried out again from the top, whatever point it died at: what it makes is named by the intent,
//! made under another name first, and found when it is there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use intendant::{Cx, Node, Plan, StepError, StepResult, fail, snooze, value};
use serde_json::json;
use sqlx::Connection as _;

use super::cloud::Cloud;
use super::http;
use super::kinds::{Address, Replica, ReplicaAdd, Server, Snapshot, Volume, step};
use super::mishap::{Mishap, middle};
use super::server::{self, Boot};
use super::tables::{self, TableSum};

/// How often a booting server is asked whether it is up.
const LOOK: Duration = Duration::from_millis(100);

/// How long a replica may take to open its volume.
const ATTACH: Duration = Duration::from_secs(30);

/// How long a replica may take to read all of its tables.
const READ: Duration = Duration::from_secs(600);

/// The plan of `replica.add`.
pub(crate) fn plan(intent: &ReplicaAdd, plan: &mut Plan<Mishap>) -> Node<Replica> {
    let (first, longest) = (Duration::from_millis(200), Duration::from_secs(5));
    let snapshot = plan
        .step(step::SNAPSHOT, snapshot)
        .backoff(first, longest)
        .input(value(&intent.database));
    let volume = plan
        .step(step::VOLUME, volume)
        .backoff(first, longest)
        .input(snapshot);
    let server = plan
        .step(step::SERVER, server)
        .backoff(first, longest)
        .input(());
    let address = plan
        .step(step::ADDRESS, address)
        .backoff(first, longest)
        .input(server);
    plan.step(step::JOIN, join)
        .backoff(first, longest)
        .input((snapshot, volume, address))
}

/// An error that is worth another attempt.
pub(crate) fn again(error: anyhow::Error) -> StepError {
    StepError::new(format!("{error:#}"))
}

async fn cloud(cx: &Cx<Mishap>) -> StepResult<Cloud> {
    let intent: ReplicaAdd = cx.input()?;
    Cloud::open(&intent.directory).await.map_err(again)
}

/// Copies the database as it is at one moment, while others write to it.
async fn snapshot(cx: Cx<Mishap>, database: std::path::PathBuf) -> StepResult<Snapshot> {
    if !database.is_file() {
        return Err(fail(format!("{} is not there", database.display())));
    }
    let path = cloud(&cx).await?.snapshot(cx.intent_id());
    let partial = path.with_extension("partial");
    if !path.exists() {
        // Half of a copy is of no use: SQLite takes only an empty file to go on with.
        remove_if_there(&partial)?;
        vacuum_into(&database, &partial).await.map_err(again)?;
    }
    middle(&cx).await?;
    if partial.exists() {
        put_in_place(&partial, &path)?;
    }
    let tables = tables::sums(&path).await.map_err(again)?;
    Ok(Snapshot {
        bytes: std::fs::metadata(&path)?.len(),
        path,
        tables,
    })
}

async fn vacuum_into(database: &Path, target: &Path) -> Result<()> {
    let mut db = tables::open_read_only(database).await?;
    sqlx::query("vacuum into ?1")
        .bind(target.to_string_lossy())
        .execute(&mut db)
        .await
        .context("copying the database")?;
    db.close().await?;
    Ok(())
}

/// Restores the snapshot into a directory of its own; its name becomes `replica.db` once it has been found sound.
async fn volume(cx: Cx<Mishap>, snapshot: Snapshot) -> StepResult<Volume> {
    let directory = cloud(&cx).await?.volume(cx.intent_id());
    let (database, partial) = (
        directory.join("replica.db"),
        directory.join("replica.partial"),
    );
    std::fs::create_dir_all(&directory)?;
    if !database.exists() {
        tokio::fs::copy(&snapshot.path, &partial).await?;
    }
    middle(&cx).await?;
    if !database.exists() {
        if let Err(complaints) = tables::integrity(&partial).await.map_err(again)? {
            remove_if_there(&partial)?;
            return Err(StepError::new(format!(
                "the restored database is not sound: {complaints}"
            )));
        }
        put_in_place(&partial, &database)?;
    }
    Ok(Volume {
        bytes: std::fs::metadata(&database)?.len(),
        database,
    })
}

/// Boots an empty server at an address of the pool and waits, without holding the worker, until it answers.
async fn server(cx: Cx<Mishap>, (): ()) -> StepResult<Server> {
    let boot = server::boot(&mut cloud(&cx).await?, cx.intent_id())
        .await
        .map_err(again)?;
    middle(&cx).await?;
    match boot {
        Boot::Up { port, pid } => Ok(Server { port, pid }),
        Boot::Spawned | Boot::Booting => Err(snooze(LOOK)),
    }
}

/// Makes the server known under its address.
async fn address(cx: Cx<Mishap>, server: Server) -> StepResult<Address> {
    let url = format!("http://127.0.0.1:{}", server.port);
    let account = cx.account().unwrap_or_default();
    let published = cloud(&cx)
        .await?
        .publish(cx.intent_id(), account, &url)
        .await
        .map_err(again)?;
    middle(&cx).await?;
    if published != url {
        return Err(fail(format!(
            "the replica is published as {published}, its server is at {url}"
        )));
    }
    Ok(Address { url })
}

/// Attaches the volume to the server, and compares what the server then has with the snapshot.
async fn join(
    cx: Cx<Mishap>,
    (snapshot, volume, address): (Snapshot, Volume, Address),
) -> StepResult<Replica> {
    // A server that has died since it was booted boots again, at the address that is still its own.
    let Boot::Up { port, .. } = server::boot(&mut cloud(&cx).await?, cx.intent_id())
        .await
        .map_err(again)?
    else {
        return Err(snooze(LOOK));
    };
    let attach = http::post(
        port,
        "/attach",
        &json!({ "volume": volume.database }),
        ATTACH,
    )
    .await;
    attach.and_then(http::Answer::granted).map_err(again)?;
    middle(&cx).await?;
    let answer = http::get(port, "/tables", READ)
        .await
        .and_then(http::Answer::granted)
        .map_err(again)?;
    let served: Vec<TableSum> = serde_json::from_value(answer)?;
    if let Some(difference) = difference(&snapshot.tables, &served) {
        return Err(fail(format!(
            "the replica differs from the snapshot: {difference}"
        )));
    }
    Ok(Replica {
        url: address.url,
        tables: served.len(),
        rows: served.iter().map(|table| table.rows).sum(),
    })
}

/// The first table that is not the same on both sides, both lists being in the order of the names.
fn difference(snapshot: &[TableSum], served: &[TableSum]) -> Option<String> {
    let names = |tables: &[TableSum]| {
        tables
            .iter()
            .map(|table| table.table.clone())
            .collect::<Vec<_>>()
    };
    if names(snapshot) != names(served) {
        return Some(format!(
            "tables {:?}, expected {:?}",
            names(served),
            names(snapshot)
        ));
    }
    let (expected, found) = snapshot
        .iter()
        .zip(served)
        .find(|(expected, found)| expected != found)?;
    Some(format!(
        "table `{}` has {} rows with checksum {}, expected {} with {}",
        found.table, found.rows, found.checksum, expected.rows, expected.checksum
    ))
}

/// Gives a file that is complete its name: on disk first, then the name, then the name on disk.
fn put_in_place(partial: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::File::open(partial)?.sync_all()?;
    std::fs::rename(partial, path)?;
    match path.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file; that it was not there is as good.
pub(crate) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64) -> TableSum {
        TableSum {
            table: name.to_owned(),
            rows,
            checksum: "00".to_owned(),
        }
    }

    #[test]
    fn a_table_that_is_missing_or_differs_is_named() {
        assert_eq!(difference(&[table("a", 1)], &[table("a", 1)]), None);
        assert_eq!(
            difference(&[table("a", 1)], &[]).unwrap(),
            "tables [], expected [\"a\"]"
        );
        let found = difference(
            &[table("a", 1), table("b", 2)],
            &[table("a", 1), table("b", 3)],
        )
        .unwrap();
        assert_eq!(
            found,
            "table `b` has 3 rows with checksum 00, expected 2 with 00"
        );
    }
}
