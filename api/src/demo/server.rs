//! A replica's server from outside: spawning it, asking who answers, stopping it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use intendant::IntentId;
use serde_json::json;

use super::cloud::Cloud;
use super::replica::{Health, SUBCOMMAND};
use super::{http, mishap};

/// How long a server may take to say who it is.
const HEALTH: Duration = Duration::from_secs(2);

/// How long a spawned process may take to answer before another one is spawned in its place. Should the first one come
/// up after all, the port lets only one of them live.
const BOOT_SECONDS: i64 = 10;

/// How long a server may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Who answers at an address.
#[derive(Debug)]
pub(crate) enum Answering {
    /// Nobody.
    Nobody,
    /// The replica's own server.
    Own(Health),
    /// Somebody else.
    Stranger,
}

/// Asks at an address for a replica.
pub(crate) async fn ask(port: u16, replica: IntentId) -> Answering {
    let Ok(answer) = http::get(port, "/health", HEALTH).await else {
        let connected = tokio::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await;
        return if connected.is_ok() {
            Answering::Stranger
        } else {
            Answering::Nobody
        };
    };
    match serde_json::from_value::<Health>(answer.body) {
        Ok(health) if health.replica == replica => Answering::Own(health),
        Ok(_) | Err(_) => Answering::Stranger,
    }
}

/// How far a server is.
#[derive(Debug)]
pub(crate) enum Boot {
    /// It answers.
    Up { port: u16, pid: u32 },
    /// It was spawned just now.
    Spawned,
    /// It was spawned before, and does not answer yet.
    Booting,
}

/// Brings a replica's server one move closer to answering. Safe to repeat: address and process are found again.
pub(crate) async fn boot(cloud: &mut Cloud, replica: IntentId) -> Result<Boot> {
    let port = cloud.claim_address(replica).await?;
    match ask(port, replica).await {
        Answering::Own(health) => {
            // The process that was noted may be another one, that had lost the race for the port.
            cloud.record_server(replica, port, health.pid).await?;
            return Ok(Boot::Up {
                port,
                pid: health.pid,
            });
        }
        Answering::Stranger => {
            cloud.refuse_address(replica).await?;
            return Ok(Boot::Booting);
        }
        Answering::Nobody => {}
    }
    if let Some(server) = cloud.server(replica).await?
        && server.age_seconds < BOOT_SECONDS
        && is_running(server.pid, replica)
    {
        return Ok(Boot::Booting);
    }
    let pid = spawn(cloud, replica, port)?;
    cloud.record_server(replica, port, pid).await?;
    Ok(Boot::Spawned)
}

/// In a process group of its own and with nothing of ours open, so that it lives on when this process is killed.
fn spawn(cloud: &Cloud, replica: IntentId, port: u16) -> Result<u32> {
    let directory = cloud.server_directory(replica);
    std::fs::create_dir_all(&directory)?;
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))?;
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command
        .arg(SUBCOMMAND)
        .arg("--directory")
        .arg(cloud.directory())
        .args([
            "--replica",
            &replica.to_string(),
            "--port",
            &port.to_string(),
        ])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    #[cfg(unix)]
    command.process_group(0);
    // Dropping it does not end the process; tokio waits for it when it ends, so that no zombie stays.
    let child = command.spawn().context("spawning the server")?;
    child.id().context("the server ended at once")
}

/// Asks a replica's server to end. Returns false when none answers.
pub(crate) async fn ask_to_stop(cloud: &mut Cloud, replica: IntentId) -> Result<bool> {
    let Some(port) = cloud.address(replica).await? else {
        return Ok(false);
    };
    let Answering::Own(health) = ask(port, replica).await else {
        return Ok(false);
    };
    cloud.record_server(replica, port, health.pid).await?;
    http::post(port, "/shutdown", &json!({ "replica": replica }), HEALTH)
        .await?
        .granted()?;
    Ok(true)
}

/// Waits until the replica's process is gone; kills it when it does not go.
pub(crate) async fn see_off(cloud: &mut Cloud, replica: IntentId) -> Result<()> {
    let Some(server) = cloud.server(replica).await? else {
        return Ok(());
    };
    let asked = tokio::time::Instant::now();
    while is_running(server.pid, replica) {
        ensure!(
            asked.elapsed() < 2 * GRACE,
            "process {} of the replica does not end",
            server.pid
        );
        if asked.elapsed() > GRACE {
            mishap::kill_9(server.pid)?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Whether the process is there and is this replica's: pids are used again.
#[cfg(target_os = "linux")]
fn is_running(pid: u32, replica: IntentId) -> bool {
    // A zombie has an empty command line.
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command_line).contains(&replica.to_string())
}

/// Whether the process is there and is this replica's: pids are used again.
#[cfg(not(target_os = "linux"))]
fn is_running(pid: u32, replica: IntentId) -> bool {
    let command_line = std::process::Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output();
    command_line
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&replica.to_string()))
}

/// Pids of the servers of a directory that have this in their replica's name, by the system's own list of processes.
pub(crate) fn processes(directory: &Path, replica: &str) -> Result<Vec<u32>> {
    let output = std::process::Command::new("ps")
        .args(["-ww", "-A", "-o", "pid=,command="])
        .output();
    let output = output.context("listing the processes by `ps`")?;
    let directory = directory.to_string_lossy();
    let marks = [
        format!(" {SUBCOMMAND} "),
        format!(" --directory {directory} --replica "),
        replica.to_owned(),
    ];
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| marks.iter().all(|mark| line.contains(mark)))
        .filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .collect())
}
