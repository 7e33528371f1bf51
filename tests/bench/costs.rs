//! What a request costs without HTTP and without the writer: measured in this process,
//! on the same data, in processor time of one thread. Subtracted from what the server's
//! threads use, it tells the shares of the whole.

use crate::Outcome;
use crate::fill::{self, ENVIRONMENT};
use crate::measure::median;
use keywayd::base::{EnvironmentName, RepoName, SecretText};
use keywayd::crypto::{AuditKey, Binding, IndexKey, RootKey, envelope};
use keywayd::domain::pull::{Pulled, Window};
use keywayd::telemetry::Requests;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Sizes of records, sealed, in bytes: most; an environment of fifty secrets; the list of
/// names in its revision.
const SMALL: usize = 200;
const ENVIRONMENT_BYTES: usize = 5_400;
const REVISION_BYTES: usize = 1_900;

/// Time per request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Costs {
    /// Recognising the caller.
    pub(crate) recognise: Duration,
    /// That, and reading the environment.
    pub(crate) pull: Duration,
    /// Cryptography in either.
    pub(crate) recognise_crypto: Duration,
    pub(crate) pull_crypto: Duration,
    /// Cryptography in the writer, for the audit entry of a pull, and for a push of one
    /// and of fifty new values.
    pub(crate) audit_crypto: Duration,
    pub(crate) push_crypto: [Duration; 2],
    /// Counting a request for `/metrics`: by one thread, and by two at a time.
    pub(crate) counting: [Duration; 2],
}

/// Measures on the data in `dir`, which nobody may be serving.
pub(crate) fn measure(dir: &Path, token: &str, vaults: usize) -> Outcome<Costs> {
    let services = fill::open(dir)?;
    let token = SecretText::new(token.to_owned());
    let environment = EnvironmentName::parse(ENVIRONMENT)?;
    let mut costs = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut recognise, mut pull) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let begin = thread_time()?;
            for _ in 0..400 {
                fill::recognise(&services, &token).await?;
            }
            recognise.push((thread_time()? - begin) / 400);
            let begin = thread_time()?;
            for number in 0..400 {
                let actor = fill::recognise(&services, &token).await?;
                let repo = RepoName::parse(&fill::repo(number % vaults))?;
                let write = |pulled: Pulled<'_>| pulled.env_text();
                let text = services.pull(&actor, &repo, &environment, Window::default(), write).await?;
                assert!(text.len() > 1_000, "a pull brings an environment");
            }
            pull.push((thread_time()? - begin) / 400);
        }
        Outcome::Ok(Costs { recognise: median(recognise), pull: median(pull), ..Costs::default() })
    })?;
    let unit = Units::measure()?;
    // Small records are kept open, but not in the writer.
    costs.recognise_crypto = unit.hash;
    costs.pull_crypto = costs.recognise_crypto + unit.hash + unit.open_environment;
    costs.audit_crypto = unit.hash + unit.seal_small;
    let read = unit.hash + unit.open_small * 3 + unit.open_environment;
    let write = unit.seal_small + unit.seal_environment + unit.seal_revision + costs.audit_crypto;
    costs.push_crypto = [1, 50].map(|changed| read + write + unit.seal_small * changed);
    costs.counting = counting()?;
    Ok(costs)
}

/// How often counting is measured: it is short.
const COUNTED: u32 = 1_000_000;

/// What counting takes of a request. It is always on, so it is measured by itself.
pub(crate) fn counting() -> Outcome<[Duration; 2]> {
    let counted = Requests::default();
    let count = || counted.answered("GET", "/v1/secrets/pull", 200, Duration::from_micros(300));
    let alone = each_of(COUNTED, count)?;
    let over = AtomicBool::new(false);
    let together = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                count();
            }
        });
        let together = each_of(COUNTED, count);
        over.store(true, Ordering::Relaxed);
        together
    })?;
    Ok([alone, together])
}

/// Single operations.
struct Units {
    hash: Duration,
    open_small: Duration,
    open_environment: Duration,
    seal_small: Duration,
    seal_environment: Duration,
    seal_revision: Duration,
}

impl Units {
    fn measure() -> Outcome<Self> {
        let (root, index, audit) = (RootKey::generate(), IndexKey::generate(), AuditKey::generate());
        let here = Binding { table: "environments", key: &[7; 32] };
        let seal = |bytes: usize| each(|| envelope::seal(&root, 1, here, &vec![7; bytes]));
        let open = |bytes: usize| {
            let sealed = envelope::seal(&root, 1, here, &vec![7; bytes]);
            each(|| envelope::open(&root, here, &sealed))
        };
        let lookup = each(|| index.lookup("index", &[&[7; 48]]))?;
        let link = each(|| audit.link(&[7; 32], 1, &[7; SMALL]))?;
        Ok(Self {
            hash: (lookup + link) / 2,
            open_small: open(SMALL)?,
            open_environment: open(ENVIRONMENT_BYTES)?,
            seal_small: seal(SMALL)?,
            seal_environment: seal(ENVIRONMENT_BYTES)?,
            seal_revision: seal(REVISION_BYTES)?,
        })
    }
}

fn each<T>(act: impl Fn() -> T) -> Outcome<Duration> {
    each_of(1_000, act)
}

/// The kernel's account of a thread is a few milliseconds behind: so long `times` must take.
fn each_of<T>(times: u32, act: impl Fn() -> T) -> Outcome<Duration> {
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let begin = thread_time()?;
        for _ in 0..times {
            black_box(act());
        }
        rounds.push((thread_time()? - begin) / times);
    }
    Ok(median(rounds))
}

/// Processor time of this thread.
fn thread_time() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(stat.split(' ').next().ok_or("no time")?.parse()?))
}
