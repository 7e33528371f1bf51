//! What the server listens on, and what arrives there.

use super::address::Peer;
use super::tls::TlsIdentity;
use std::io;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

/// A socket to take connections from, and what is spoken on them.
pub enum Listener {
    /// HTTP.
    Plain(TcpListener),
    /// HTTPS.
    Tls(TcpListener, TlsIdentity),
    /// HTTP from a reverse proxy on this machine. Who may open the socket is for its
    /// file's permissions to say; whoever may is believed as a trusted proxy.
    Unix(UnixListener),
    /// HTTP that is answered with redirects to HTTPS and nothing else.
    Redirect(TcpListener),
    /// HTTP that is answered with the page of numbers and nothing else.
    Metrics(TcpListener),
}

/// A connection as it arrives.
pub(super) enum Arrival {
    Plain(TcpStream, Peer),
    Tls(TcpStream, Peer, TlsAcceptor),
    Unix(UnixStream),
    Redirect(TcpStream),
    Metrics(TcpStream),
}

impl Listener {
    /// Waits for a connection; stopping to wait loses none.
    pub(super) async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Plain(listener) => {
                let (socket, peer) = tcp(listener).await?;
                Ok(Arrival::Plain(socket, peer))
            }
            Self::Tls(listener, identity) => {
                let (socket, peer) = tcp(listener).await?;
                Ok(Arrival::Tls(socket, peer, identity.acceptor()))
            }
            Self::Unix(listener) => Ok(Arrival::Unix(listener.accept().await?.0)),
            Self::Redirect(listener) => Ok(Arrival::Redirect(tcp(listener).await?.0)),
            Self::Metrics(listener) => Ok(Arrival::Metrics(tcp(listener).await?.0)),
        }
    }
}

async fn tcp(listener: &TcpListener) -> io::Result<(TcpStream, Peer)> {
    let (socket, peer) = listener.accept().await?;
    // Answers leave in one piece; waiting to fill a packet only delays them. A socket
    // that refuses is one whose peer has left, which is noticed soon enough.
    let _ = socket.set_nodelay(true);
    Ok((socket, Peer::Network(peer.ip())))
}
