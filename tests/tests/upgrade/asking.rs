//! Requests by the code of a server, whichever revision that is.

use anyhow::{Result, ensure};
use futures_util::{TryStreamExt as _, stream};
use intendant::Intent as _;
use intendant_tests::chaos::Work;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const AT_ONCE: usize = 8;

/// Asks for these, some at a time.
pub(crate) async fn ask_all(address: &str, works: Vec<Work>) -> Result<()> {
    stream::iter(works.into_iter().map(anyhow::Ok))
        .try_for_each_concurrent(AT_ONCE, |work| ask_for(address, work))
        .await
}

async fn ask_for(address: &str, work: Work) -> Result<()> {
    let body = serde_json::json!({ "kind": Work::KIND, "input": work }).to_string();
    let head = format!(
        "POST /api/v1/intents HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all((head + &body).as_bytes()).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    ensure!(said.starts_with("HTTP/1.1 201"), "the older server: {said}");
    Ok(())
}
