//! The yardstick: hyper with nothing behind it. It gives every request one answer, the
//! bytes of which it gets at start, with as many threads as the appliance has.

use crate::Outcome;
use crate::load::body_start;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// The word on the command line that makes this program the yardstick.
pub(crate) const COMMAND: &str = "bare-server";

struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

/// Serves the answer that the file at `path` holds as it went over the wire; says on
/// standard output where.
pub(crate) fn serve(path: String) -> Outcome<()> {
    let answer = Arc::new(Answer::parse(&std::fs::read(path)?)?);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::spawn(connection(socket, Arc::clone(&answer)));
        }
    })
}

async fn connection(socket: TcpStream, answer: Arc<Answer>) {
    let service = service_fn(|_: Request<Incoming>| {
        let mut response = Response::new(Full::new(answer.body.clone()));
        *response.headers_mut() = answer.headers.clone();
        async { Ok::<_, Infallible>(response) }
    });
    // Errors are the client's.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

impl Answer {
    fn parse(wire: &[u8]) -> Outcome<Self> {
        let start = body_start(wire).ok_or("no end of the headers")?;
        let head = std::str::from_utf8(&wire[..start])?;
        let mut headers = HeaderMap::new();
        for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").ok_or("no header")?;
            headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        // hyper writes these itself, here as there.
        headers.remove(CONTENT_LENGTH);
        headers.remove(DATE);
        Ok(Self { headers, body: Bytes::copy_from_slice(&wire[start..]) })
    }
}
