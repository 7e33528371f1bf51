//! Fairness between connections: somebody who sends without pause is read for a while,
//! and then everybody else has a turn.
//!
//! The runtime by itself counts reads, not bytes, and lets a hundred of them pass. That
//! is half a megabyte, and of frames that ask for nothing (settings, pings) tens of
//! thousands: work of thirty milliseconds, for which a whole processor serves nobody.
//!
//! Nor is it enough to go to the end of the line of those who are known to be waiting:
//!
//! - The runtime looks for others, at sockets that have become readable, only after so
//!   many turns. Whoever yields to it as here is taken up again after that look.
//! - What the others wait for may be another thread: the one that writes. While this one
//!   never rests, the system lets that one run when it sees fit, some milliseconds later,
//!   unless this one offers.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// How long a turn may last before the next read.
const TURN: Duration = Duration::from_micros(200);
/// Bytes in one read. Of the smallest requests, the work of a millisecond; of the smallest
/// frames, of a tenth of that.
const READ_BYTES: u64 = 4 << 10;

/// A socket that is read in turns.
pub(super) struct Fair<S> {
    socket: Take<S>,
    /// When the turn began: with the first read after there was nothing to read.
    since: Option<Instant>,
}

impl<S: AsyncRead> Fair<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket: socket.take(READ_BYTES), since: None }
    }
}

impl<S: AsyncRead + Unpin> Fair<S> {
    fn socket(&mut self) -> Pin<&mut S> {
        Pin::new(self.socket.get_mut())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Fair<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.since.is_some_and(|since| since.elapsed() >= TURN) {
            self.since = None;
            std::thread::yield_now();
            // Polled once, it has the connection taken up again after the others' turn.
            return pin!(tokio::task::yield_now()).poll(context).map(Ok);
        }
        self.socket.set_limit(READ_BYTES);
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        if polled.is_pending() {
            self.since = None;
        }
        ready!(polled)?;
        self.since.get_or_insert_with(Instant::now);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Fair<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.socket().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.socket().poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.socket().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.socket().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_sends_without_pause_leaves_others_their_turn() {
        let (mut socket, mut turns) = (Fair::new(tokio::io::repeat(7)), 0);
        let over = Instant::now() + 20 * TURN;
        let greedy = async {
            while Instant::now() < over {
                assert!(socket.read(&mut [0; 9_000]).await.unwrap() as u64 <= READ_BYTES);
            }
        };
        // It never waits for anything itself, so whatever else runs does so between turns.
        let others = async {
            loop {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = greedy => {}
            () = others => {}
        }
        assert!(turns > 1, "{turns}");
    }

    #[tokio::test]
    async fn nothing_is_lost_between_turns() {
        let (mut there, here) = tokio::io::duplex(5_000);
        let sent: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let copy = sent.clone();
        let sender = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut there, &copy).await.unwrap();
        });
        let mut received = Vec::new();
        Fair::new(here).read_to_end(&mut received).await.unwrap();
        sender.await.unwrap();
        assert!(received == sent);
    }
}
