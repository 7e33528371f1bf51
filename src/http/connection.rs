//! One connection: which protocol it speaks, how much it may send before it has said
//! anything useful, and when it is hung up on.
//!
//! Time is bounded in every state a peer can leave us in: before the first request
//! (`first_head`), between and within later heads (`idle`), within a body (`body`),
//! while we work (`request`), and while the peer takes the answer (`write`). Answers
//! of ours always fit in memory, so a peer that stops reading costs a socket for at
//! most that long.
//!
//! What cannot be read as a request at all is answered by hyper itself, with a bare
//! status: 400, 414 or 431. There is no path yet that a problem could name.

use super::address::Peer;
use super::fair::Fair;
use super::front::Front;
use super::respond::Response;
use super::{metrics, pipeline, redirect};
use crate::base::ids::RequestId;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// Room for a request's line and headers, in bytes. A token has some hundreds, a
/// repository's path 150; proxies like to add a few kilobytes.
const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 100;
/// Requests under way at once on one connection.
const STREAMS_MAX: u32 = 100;
/// What a peer may send on one request, and on all of one connection, before we have
/// taken it, in bytes: held in memory even where nobody reads it yet.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 128 << 10;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long, at the end of the day, a connection may still come up with its first request.
pub(super) const COURTESY: Duration = Duration::from_millis(500);

/// How connections are told about the end of the day.
#[derive(Clone, Default)]
pub(super) struct Halt {
    /// Finish what is under way, take nothing new.
    pub(super) drain: CancellationToken,
    /// Stop now.
    pub(super) cut: CancellationToken,
}

pub(super) type Protocols = auto::Builder<TokioExecutor>;

/// The settings of both protocols.
pub(super) fn protocols(front: &Front) -> Protocols {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper's clock for a head runs while nothing is sent, too.
        .header_read_timeout(front.settings.timeouts.idle)
        // Somebody who sends a whole request and leaves has asked for it. Without this hyper may see the end
        // of the connection first and drop the request before it has begun.
        .half_close(true)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // Resets are cheap to send and dear to serve (CVE-2023-44487).
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// What is served on a connection.
#[derive(Clone, Copy)]
pub(super) enum Service {
    /// The API and the pages, to this peer.
    Everything(Peer),
    /// Redirects to HTTPS.
    Redirects,
    /// The page of numbers.
    Metrics,
}

/// Serves a connection to its end.
pub(super) async fn serve<S>(
    socket: S,
    service: Service,
    front: Arc<Front>,
    protocols: &Protocols,
    halt: Halt,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let timeouts = front.settings.timeouts;
    let mut socket = TimeoutStream::new(Fair::new(socket));
    socket.set_write_timeout(Some(timeouts.write));
    let desk = Arc::new(Desk {
        front,
        service,
        begun: AtomicU64::new(0),
        busy: AtomicUsize::new(0),
        asked: Notify::new(),
    });
    let service = service_fn(|request| {
        let visit = Visitor::enter(&desk);
        async move { Ok::<_, Infallible>(visit.0.answer(request).await) }
    });
    let mut connection = pin!(protocols.serve_connection(TokioIo::new(Box::pin(socket)), service));
    let mut drain = pin!(halt.drain.cancelled());
    let mut alarm = pin!(sleep(timeouts.first_head));
    let (mut seen, mut warned) = (0, false);
    loop {
        tokio::select! {
            // Errors are the peer's: it left, stalled, or spoke something else.
            _ = connection.as_mut() => return,
            () = drain.as_mut() => break,
            () = alarm.as_mut() => {
                let begun = desk.begun.load(Ordering::Relaxed);
                if begun != seen || desk.busy.load(Ordering::Relaxed) > 0 {
                    seen = begun;
                    alarm.as_mut().reset(Instant::now() + timeouts.idle);
                } else if begun == 0 || warned {
                    return;
                } else {
                    warned = true;
                    connection.as_mut().graceful_shutdown();
                    alarm.as_mut().reset(Instant::now() + timeouts.first_head);
                }
            }
        }
    }
    // On a connection taken a moment ago the first request is on its way; closing now
    // would fail it, though it came while we were still open.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = desk.asked.notified() => {}
        () = sleep(COURTESY) => {}
        () = halt.cut.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = halt.cut.cancelled() => {}
    }
}

/// What a connection's requests share.
struct Desk {
    front: Arc<Front>,
    service: Service,
    /// Requests so far.
    begun: AtomicU64,
    /// Requests under way.
    busy: AtomicUsize,
    /// Told of every request.
    asked: Notify,
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        match self.service {
            Service::Everything(peer) => pipeline::answer(&self.front, peer, request).await,
            Service::Redirects => {
                let fresh_id = || RequestId::new(self.front.clock.now());
                redirect::answer(&self.front.settings, &request, fresh_id)
            }
            Service::Metrics => metrics::answer(&self.front, &request),
        }
    }
}

/// A request while it is under way.
struct Visitor(Arc<Desk>);

impl Visitor {
    fn enter(desk: &Arc<Desk>) -> Self {
        desk.begun.fetch_add(1, Ordering::Relaxed);
        desk.busy.fetch_add(1, Ordering::Relaxed);
        desk.asked.notify_one();
        Self(Arc::clone(desk))
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
