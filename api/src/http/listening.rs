//! Serving connections: no client holds one for nothing.
//!
//! A connection on which nothing has moved for a while is closed, whatever it waits for: a first byte, a next request, a reader
//! that does not read. The head of a request has to be there in time however slowly it comes. There are so many connections at
//! once and no more; others wait to be accepted.

use std::future::Future as _;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// How connections are bounded.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How long the head of a request may take, with the wait for it on a connection that has had one before.
    head: Duration,
    /// How long nothing may move. Live views say something every fifteen seconds, and a request takes at most thirty.
    idle: Duration,
    /// Most of them at once.
    connections: usize,
    /// Most requests of one at once, over HTTP/2.
    requests: u32,
}

const BOUNDS: Bounds = Bounds {
    head: Duration::from_secs(30),
    idle: Duration::from_secs(75),
    connections: 1_024,
    requests: 100,
};

/// How long to wait after an accept has failed for want of something, mostly of file descriptors.
const WANT: Duration = Duration::from_millis(500);

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything that was under way came to its end.
    All,
    /// Some did not in time, and were cut off.
    Some,
}

/// Serves what comes, over HTTP/1 and 2, until `stop` completes; what is under way then may go on for as long as `drain`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Drained {
    serve_within(BOUNDS, listener, router, stop, drain).await
}

async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Drained {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.requests);
    let builder = Arc::new(builder);
    let room = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_theirs(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                sleep(WANT).await;
                continue;
            }
        };
        // Small answers are not held back; that it cannot be said changes nothing else.
        stream.set_nodelay(true).ok();
        let io = TokioIo::new(Moving::new(stream, bounds.idle));
        let service = TowerToHyperService::new(router.clone());
        let (builder, watcher) = (Arc::clone(&builder), graceful.watcher());
        tokio::spawn(async move {
            let _permit = permit;
            let connection = builder.serve_connection(io, service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(error = %error, "a connection has ended");
            }
        });
    }
    drop(listener);
    match timeout(drain, graceful.shutdown()).await {
        Ok(()) => Drained::All,
        Err(_) => Drained::Some,
    }
}

/// The client has gone before it was accepted.
fn is_theirs(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

/// A connection that fails when nothing has moved on it for a while.
struct Moving {
    stream: TcpStream,
    idle: Duration,
    moved: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Moving {
    fn new(stream: TcpStream, idle: Duration) -> Self {
        Self {
            stream,
            idle,
            moved: Instant::now(),
            alarm: Box::pin(sleep(idle)),
        }
    }

    /// What came of an attempt, unless that has lasted too long. The alarm is set anew only when it goes off, not with
    /// everything that moves.
    fn or_late<T>(
        &mut self,
        cx: &mut Context<'_>,
        tried: Poll<Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        if tried.is_ready() {
            self.moved = Instant::now();
            return tried;
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            let due = self.moved + self.idle;
            if due <= Instant::now() {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl AsyncRead for Moving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.or_late(cx, read)
    }
}

impl AsyncWrite for Moving {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_late(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.or_late(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // There is nothing to flush, and so nothing that has moved with it.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    const QUICK: Bounds = Bounds {
        head: Duration::from_millis(200),
        idle: Duration::from_millis(600),
        connections: 2,
        requests: 10,
    };

    struct Server {
        address: std::net::SocketAddr,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<Drained>,
    }

    async fn server(bounds: Bounds) -> Server {
        let endless = || async {
            let chunk = Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; 1 << 20]));
            Body::from_stream(stream::repeat(chunk))
        };
        let late = || async {
            sleep(Duration::from_millis(300)).await;
            "late"
        };
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/late", get(late))
            .route("/endless", get(endless));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let drain = Duration::from_secs(5);
        let task = tokio::spawn(serve_within(bounds, listener, router, stopped, drain));
        Server {
            address,
            stop,
            task,
        }
    }

    impl Server {
        async fn say(&self, text: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }
    }

    /// Everything until the connection ends; fails after a while.
    async fn all(mut stream: TcpStream) -> String {
        let mut said = Vec::new();
        let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await;
        // That it was reset is an end, too.
        drop(read.expect("the connection goes on"));
        String::from_utf8(said).unwrap()
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

    #[tokio::test]
    async fn who_says_nothing_or_half_a_request_is_not_waited_for() {
        let server = server(QUICK).await;
        for text in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: here\r\nX-", GET] {
            let said = all(server.say(text).await).await;
            assert_eq!(said.starts_with("HTTP/1.1 200"), text == GET, "{said}");
        }
        // One that comes byte by byte is always moving, and not in time.
        let mut slow = server.say("GET / HTTP/1.1\r\nX: ").await;
        let dripping = async {
            while slow.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(20)).await
            }
        };
        timeout(Duration::from_secs(10), dripping)
            .await
            .expect("it is cut off");
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_and_others_have_the_room() {
        let bounds = Bounds {
            connections: 1,
            ..QUICK
        };
        let server = server(bounds).await;
        let deaf = server
            .say("GET /endless HTTP/1.1\r\nHost: here\r\n\r\n")
            .await;
        // There is room for one: who comes next is served when the first one has been given up.
        let said = all(server.say(GET).await).await;
        assert!(said.ends_with("hello"), "{said}");
        drop(deaf);
    }

    #[tokio::test]
    async fn what_is_under_way_comes_to_its_end_when_it_stops() {
        let server = server(QUICK).await;
        let late = server.say("GET /late HTTP/1.1\r\nHost: here\r\n\r\n").await;
        let idle = server.say(GET).await;
        sleep(Duration::from_millis(50)).await;
        server.stop.send(()).unwrap();
        assert!(all(late).await.ends_with("late"));
        assert!(all(idle).await.ends_with("hello"));
        assert_eq!(server.task.await.unwrap(), Drained::All);
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
