//! The door: listening, taking connections up to a number, and closing in good order.
//!
//! At `max_connections` the server stops accepting instead of turning people away:
//! a client then waits in the kernel's queue until a place is free, which with idle
//! and stalled peers being hung up on is soon, while a refusal would look to it like
//! an outage and to most deployment scripts like a failure.
//!
//! Shutdown: no new connections; open ones finish what is under way (HTTP/2 gets a
//! GOAWAY, HTTP/1.1 a `Connection: close`); changes whose client has left are waited
//! for as well; at the end of the grace time whatever is left is cut off.

use super::address::Peer;
use super::connection::{self, COURTESY, Halt, Protocols, Service};
use super::front::Front;
use super::listener::{Arrival, Listener};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after the system could not give us a connection, typically for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Places at the door for the page of numbers, apart from those of the API.
const METRICS_CONNECTIONS: usize = 8;
/// How often full rate budgets are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain\r\nconnection: close\r\n\r\n\
    this is HTTPS; let the address start with https://\n";

/// How the server came to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything under way was finished.
    Clean,
    /// The grace time ended first.
    CutOff {
        /// Connections that were still open.
        connections: usize,
        /// Changes that were still being made.
        mutations: usize,
    },
}

/// Serves requests on `listeners` until `shutdown` is ready, then for at most `grace`
/// finishes those under way.
pub async fn serve(
    listeners: Vec<Listener>,
    front: Arc<Front>,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> Drained {
    let house = Arc::new(House {
        protocols: connection::protocols(&front),
        places: Arc::new(Semaphore::new(front.settings.max_connections.min(Semaphore::MAX_PERMITS))),
        metrics_places: Arc::new(Semaphore::new(METRICS_CONNECTIONS)),
        connections: TaskTracker::new(),
        shut: front.shut.clone(),
        halt: Halt::default(),
        front,
    });
    house.count();
    let doors = TaskTracker::new();
    for listener in listeners {
        doors.spawn(Arc::clone(&house).open(listener));
    }
    doors.spawn(Arc::clone(&house).sweep());
    doors.close();
    shutdown.await;
    house.shut.cancel();
    doors.wait().await;
    house.close(grace).await
}

struct House {
    front: Arc<Front>,
    protocols: Protocols,
    places: Arc<Semaphore>,
    metrics_places: Arc<Semaphore>,
    connections: TaskTracker,
    /// Take no more connections.
    shut: CancellationToken,
    halt: Halt,
}

impl House {
    fn count(&self) {
        let (open, meters) = (self.connections.clone(), &self.front.meters);
        meters.gauge("keywayd_http_connections", "Connections that are open.", move || open.len() as f64);
        let most = self.front.settings.max_connections as f64;
        meters.gauge("keywayd_http_connections_max", "Connections that can be open.", move || most);
    }

    /// Takes connections from one listener until the day ends.
    async fn open(self: Arc<Self>, listener: Listener) {
        let places = match listener {
            Listener::Metrics(_) => &self.metrics_places,
            _ => &self.places,
        };
        while let Some(Ok(place)) = self.shut.run_until_cancelled(take_place(places)).await {
            let Some(accepted) = self.shut.run_until_cancelled(listener.accept()).await else { return };
            match accepted {
                Ok(arrival) => self.welcome(arrival, place),
                // The peer changed its mind: its own affair.
                Err(error) if is_peers(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; is the limit of open files too low?");
                    self.shut.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    fn welcome(self: &Arc<Self>, arrival: Arrival, place: OwnedSemaphorePermit) {
        let house = Arc::clone(self);
        self.connections.spawn(async move {
            match arrival {
                Arrival::Plain(socket, peer) => house.serve(socket, Service::Everything(peer)).await,
                Arrival::Unix(socket) => house.serve(socket, Service::Everything(Peer::Local)).await,
                Arrival::Redirect(socket) => house.serve(socket, Service::Redirects).await,
                Arrival::Metrics(socket) => house.serve(socket, Service::Metrics).await,
                Arrival::Tls(socket, peer, acceptor) => {
                    let patience = house.front.settings.timeouts.first_head;
                    let shaken = tokio::select! {
                        shaken = timeout(patience, shake_hands(socket, acceptor)) => shaken.ok().flatten(),
                        () = house.end_of_courtesy() => None,
                    };
                    if let Some(socket) = shaken {
                        house.serve(socket, Service::Everything(peer)).await;
                    }
                }
            }
            drop(place);
        });
    }

    /// When, at the end of the day, even those who have just come in should be known.
    async fn end_of_courtesy(&self) {
        self.shut.cancelled().await;
        sleep(COURTESY).await;
    }

    async fn serve<S>(&self, socket: S, service: Service)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Children, so that connections do not all wait on one lock.
        let halt = Halt { drain: self.halt.drain.child_token(), cut: self.halt.cut.child_token() };
        connection::serve(socket, service, Arc::clone(&self.front), &self.protocols, halt).await;
    }

    async fn sweep(self: Arc<Self>) {
        let mut ticks = interval(SWEEP_EVERY);
        while self.shut.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Some(limits) = &self.front.limits {
                limits.sweep();
            }
        }
    }

    async fn close(&self, grace: Duration) -> Drained {
        let mutations = &self.front.mutations;
        self.halt.drain.cancel();
        self.connections.close();
        mutations.close();
        // Connections first: they are where mutations come from.
        let finished = async {
            self.connections.wait().await;
            mutations.wait().await;
        };
        if timeout(grace, finished).await.is_ok() {
            return Drained::Clean;
        }
        let left = Drained::CutOff { connections: self.connections.len(), mutations: mutations.len() };
        self.halt.cut.cancel();
        self.connections.wait().await;
        left
    }
}

async fn take_place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, tokio::sync::AcquireError> {
    if places.available_permits() == 0 {
        tracing::debug!("all connections are taken; new ones wait");
    }
    Arc::clone(places).acquire_owned().await
}

/// `None`: the peer does not speak TLS, or not with us.
async fn shake_hands(mut socket: TcpStream, acceptor: TlsAcceptor) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    // A handshake begins with 22 (RFC 8446 §5.1), a request with a letter. Hanging up on
    // the latter without a word is what people cannot make sense of.
    if socket.peek(&mut first).await.ok()? == 1 && first[0].is_ascii_uppercase() {
        let _ = socket.write_all(SPEAK_TLS).await;
        let _ = socket.shutdown().await;
        return None;
    }
    // What goes wrong here is the peer's: it does not trust us, is too old, or is no client.
    let shaken = acceptor.accept(socket).await;
    shaken.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed")).ok()
}

fn is_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
