//! As much of HTTP/1.1 as talking to a replica on this host takes: one request, one connection, an answer in JSON.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Most bytes of an answer.
const ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// An answer: its status and its body; null where the body is no JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body, if the request was granted.
    pub(crate) fn granted(self) -> Result<Value> {
        match self.status {
            200..=299 => Ok(self.body),
            status => bail!("the replica answered {status}: {}", self.body),
        }
    }
}

/// `GET http://127.0.0.1:PORT/…`.
pub(crate) async fn get(port: u16, path: &str, limit: Duration) -> Result<Answer> {
    call(
        port,
        &format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n"),
        limit,
    )
    .await
}

/// `POST http://127.0.0.1:PORT/…` with a body in JSON.
pub(crate) async fn post(port: u16, path: &str, body: &Value, limit: Duration) -> Result<Answer> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    call(port, &request, limit).await
}

async fn call(port: u16, request: &str, limit: Duration) -> Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(limit, exchange)
        .await
        .with_context(|| format!("127.0.0.1:{port} did not answer within {limit:?}"))?
        .with_context(|| format!("talking to 127.0.0.1:{port}"))?;
    parse(&answer).with_context(|| format!("127.0.0.1:{port} does not speak HTTP"))
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("no end of the head")?;
    let head = std::str::from_utf8(&answer[..end])?;
    let status = head
        .split_ascii_whitespace()
        .nth(1)
        .context("no status")?
        .parse()?;
    Ok(Answer {
        status,
        body: serde_json::from_slice(&answer[end + 4..]).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = parse(b"HTTP/1.1 409 Conflict\r\ncontent-length: 7\r\n\r\n{\"a\":1}").unwrap();
        assert_eq!((answer.status, &answer.body["a"]), (409, &Value::from(1)));
        assert!(answer.granted().is_err());
        assert!(parse(b"SSH-2.0-OpenSSH\r\n").is_err());
    }
}
