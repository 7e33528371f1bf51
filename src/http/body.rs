//! Reading bodies: bounded in size, in time and, all together, in memory.
//!
//! Memory is shared by those who have sent something for it: a small body costs no more
//! than the request it came with and takes no share, and a large one takes its share
//! when it turns out to be large, not when it is announced. Strangers have a share of
//! their own, so that nothing they send keeps out whoever showed a credential.
//!
//! Whoever sends a body that is refused often still sends, and looks for the answer
//! only afterwards. Closing the socket on them would destroy the answer on its way,
//! so what is left is read and thrown away within limits (RFC 9112 §9.6).

use super::front::Front;
use super::problem::{Problem, ProblemKind};
use super::router::BodyRule;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use zeroize::zeroize_bytes;

/// The unit in which body memory is handed out, in bytes.
pub(super) const MEMORY_UNIT: usize = 1 << 10;
/// Bodies up to this size take no share of body memory, in bytes: signing in, a page's
/// form, a secret of the usual length.
const SMALL_BYTES: usize = 8 << 10;
/// How much of a refused body is read to let the client come to the answer.
const DRAIN_BYTES_MAX: u64 = 16 << 20;
/// And for how long.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// A body in memory, wiped when dropped, with the share of body memory it holds.
#[derive(Default)]
pub(super) struct ReadBody {
    bytes: Wiped,
    share: Option<OwnedSemaphorePermit>,
}

/// Bytes that are wiped when dropped, all at once: byte by byte, as `Zeroizing` does it for a
/// `Vec`, takes milliseconds for the largest bodies, and a processor serves nobody meanwhile.
#[derive(Default)]
struct Wiped(Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        zeroize_bytes(&mut self.0);
    }
}

impl ReadBody {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes.0
    }
}

/// Reads the whole body of somebody `known` or of a stranger. An empty one is fine
/// whatever its type is said to be.
pub(super) async fn read(
    front: &Front,
    rule: BodyRule,
    known: bool,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<ReadBody, Problem> {
    if body.is_end_stream() {
        return Ok(ReadBody::default());
    }
    let kind = check_kind(rule, headers);
    let limit = match rule {
        BodyRule::Standard | BodyRule::Form => front.settings.body_limit_bytes,
        BodyRule::Push => front.settings.push_body_limit_bytes,
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if let Some(announced) = announced {
        // Whoever announces a body has one: refuse it before it is sent.
        kind.as_ref().map_err(Refusal::problem)?;
        if announced > limit {
            return Err(too_large(limit));
        }
    }
    let deadline = Instant::now() + front.settings.timeouts.body;
    let size = announced.unwrap_or(limit);
    let mut read = ReadBody::default();
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| late())?;
        let Some(frame) = frame else { return Ok(read) };
        let frame = frame.map_err(|_| Problem::bad_request("the body did not arrive whole").close())?;
        let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else { continue };
        kind.as_ref().map_err(Refusal::problem)?;
        if data.len() > limit - read.bytes.0.len() {
            return Err(too_large(limit));
        }
        if read.bytes.0.len() + data.len() > SMALL_BYTES && read.share.is_none() {
            let share = timeout_at(deadline, front.body_memory(size, known)).await;
            read.share = Some(share.map_err(|_| busy())??);
        }
        read.take(data, announced, limit);
    }
}

impl ReadBody {
    /// Adds what has arrived. What is moved to a larger place is wiped in the old one.
    fn take(&mut self, data: &[u8], announced: Option<usize>, limit: usize) {
        let needed = self.bytes.0.len() + data.len();
        if needed > self.bytes.0.capacity() {
            let room = announced.filter(|_| self.share.is_some()).unwrap_or(needed * 2).min(limit);
            let mut larger = Wiped(Vec::with_capacity(room.max(needed)));
            larger.0.extend_from_slice(&self.bytes.0);
            self.bytes = larger;
        }
        self.bytes.0.extend_from_slice(data);
    }
}

/// Why a body cannot be read, should there turn out to be one.
struct Refusal(&'static str);

impl Refusal {
    fn problem(&self) -> Problem {
        Problem::new(ProblemKind::UnsupportedMediaType, self.0)
    }
}

fn check_kind(rule: BodyRule, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if !encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal("compressed bodies are not supported; send it without `Content-Encoding`"));
    }
    let (essence, refusal) = match rule {
        BodyRule::Standard | BodyRule::Push => {
            ("application/json", Refusal("the body must be JSON; send `Content-Type: application/json`"))
        }
        BodyRule::Form => (
            "application/x-www-form-urlencoded",
            Refusal("the body must be an HTML form; send `Content-Type: application/x-www-form-urlencoded`"),
        ),
    };
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let actual = kind.split(';').next().unwrap_or_default().trim();
    if actual.eq_ignore_ascii_case(essence) { Ok(()) } else { Err(refusal) }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(ProblemKind::PayloadTooLarge, format!("the body is larger than {limit} bytes"))
}

fn late() -> Problem {
    Problem::bad_request("the body did not arrive in time; send the request again").close()
}

fn busy() -> Problem {
    Problem::new(ProblemKind::ServiceUnavailable, "too many large requests at once; try again")
}

/// Reads what is left of a refused body in the background. A client that waits to be
/// told to send (`Expect: 100-continue`) is not told, and sends nothing.
pub(super) fn drain(headers_expect: bool, body: Incoming) {
    if headers_expect || body.is_end_stream() {
        return;
    }
    tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
        let (mut body, mut left) = (body, DRAIN_BYTES_MAX);
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    }));
}

/// Whether the client waits to be told to send its body.
pub(super) fn awaits_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(rule: BodyRule, headers: &[(hyper::header::HeaderName, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        check_kind(rule, &headers).is_ok()
    }

    #[test]
    fn only_json_is_json() {
        for good in ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"]
        {
            assert!(accepts(BodyRule::Standard, &[(CONTENT_TYPE, good)]), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonx",
            "application/vnd.api+json",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!accepts(BodyRule::Push, &[(CONTENT_TYPE, bad)]), "{bad}");
        }
        assert!(!accepts(BodyRule::Standard, &[]));
        assert!(accepts(BodyRule::Form, &[(CONTENT_TYPE, "application/x-www-form-urlencoded")]));
    }

    #[test]
    fn compressed_bodies_are_not_read() {
        let json = (CONTENT_TYPE, "application/json");
        assert!(accepts(BodyRule::Standard, &[json.clone(), (CONTENT_ENCODING, "identity")]));
        assert!(!accepts(BodyRule::Standard, &[json, (CONTENT_ENCODING, "gzip")]));
    }
}
