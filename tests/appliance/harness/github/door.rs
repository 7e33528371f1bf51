//! Where GitHub is reached: every connection is passed on to the server that plays it, and can be hung up on, which
//! that server itself cannot do.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections, by the address under which the server knows their other end.
type Lines = Arc<Mutex<HashMap<SocketAddr, Line>>>;

struct Line {
    client: TcpStream,
    /// Whether it ends with the next bytes that the server sends.
    is_cut: bool,
}

/// The door.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    lines: Lines,
}

impl Door {
    /// One that leads to the server at `inside`.
    pub(super) fn to(inside: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let (address, lines) = (listener.local_addr().expect("it is bound"), Lines::default());
        let shared = Arc::clone(&lines);
        // The thread ends with the test's process: nothing asks it to.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that has stopped answers nobody.
                let Ok(server) = TcpStream::connect(inside) else { continue };
                pass_on(&shared, client, server);
            }
        });
        Self { address, lines }
    }

    /// Ends the connection whose other end is `peer`, at once.
    pub(super) fn hang_up(&self, peer: SocketAddr) {
        if let Some(line) = self.lines().get(&peer) {
            let _ = line.client.shutdown(Shutdown::Both);
        }
    }

    /// Ends it with the next bytes that the server sends.
    pub(super) fn cut(&self, peer: SocketAddr) {
        if let Some(line) = self.lines().get_mut(&peer) {
            line.is_cut = true;
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass_on(lines: &Lines, mut client: TcpStream, mut server: TcpStream) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a socket can be shared");
    let (mut asking, mut asked) = (copy(&client), copy(&server));
    let peer = server.local_addr().expect("it is connected");
    let line = Line { client: copy(&client), is_cut: false };
    lines.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, line);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut asking, &mut asked);
        let _ = asked.shutdown(Shutdown::Write);
    });
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = server.read(&mut bytes) {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            let is_cut = lines.get_mut(&peer).is_some_and(|line| line.is_cut);
            drop(lines);
            if client.write_all(&bytes[..length]).is_err() || is_cut {
                break;
            }
        }
        lines.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
        let _ = client.shutdown(Shutdown::Both);
    });
}
