//! Fairness between connections: somebody who sends without pause is read for a while,
//! and then everybody else has a turn.
//!
//! The runtime by itself counts reads, not bytes, and lets a hundred of them pass. That
//! is half a megabyte, and of frames that ask for nothing (settings, pings) tens of
//! thousands: work of thirty milliseconds, for which a whole processor serves nobody.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read in one turn. Of the smallest frames, the work of half a millisecond.
const TURN_BYTES: usize = 16 << 10;

/// A socket that is read in turns.
pub(super) struct Fair<S> {
    socket: S,
    /// Bytes read since there was nothing to read.
    read: usize,
}

impl<S> Fair<S> {
    pub(super) const fn new(socket: S) -> Self {
        Self { socket, read: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Fair<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.read >= TURN_BYTES {
            self.read = 0;
            // Woken at once, the connection goes to the end of the line.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        if polled.is_pending() {
            self.read = 0;
        }
        let outcome = ready!(polled);
        self.read += buffer.filled().len().saturating_sub(before);
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fair<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use tokio::io::AsyncReadExt;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_sends_without_pause_is_read_in_turns() {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let mut context = Context::from_waker(&waker);
        let mut socket = Fair::new(tokio::io::repeat(7));
        for turn in 1..=3 {
            let mut read = 0;
            loop {
                let mut bytes = [0; 1_000];
                let mut buffer = ReadBuf::new(&mut bytes);
                match Pin::new(&mut socket).poll_read(&mut context, &mut buffer) {
                    Poll::Ready(outcome) => outcome.unwrap(),
                    Poll::Pending => break,
                }
                read += buffer.filled().len();
            }
            assert!((TURN_BYTES..TURN_BYTES + 1_000).contains(&read), "{read}");
            assert_eq!(bell.0.load(Ordering::Relaxed), turn, "it takes itself up again");
        }
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
