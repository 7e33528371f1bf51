//! What fuzzers try of this room (see `base::fuzz`).

use super::address::{self, Peer};
use super::connection::{self, Halt, Service};
use super::front::Front;
use super::json::{self, Members};
use super::request::decode_segment;
use super::settings::HttpSettings;
use super::{auth, cookies, respond};
use crate::base::meter::Meters;
use crate::base::{AccountName, EnvironmentName, RepoName, Scope, SecretText, SystemClock};
use crate::domain::Services;
use crate::domain::api_keys::NewApiKey;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderValue, IF_MATCH};
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

/// Headers that are parsed here: cookies, credentials, addresses, tags.
pub fn headers(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let with = |name| HeaderMap::from_iter([(name, value.clone())]);
    let cookies = with(COOKIE);
    if let (Some(found), Ok(text)) = (cookies::find(&cookies, cookies::SESSION), value.to_str()) {
        assert!(text.contains(found) && !found.contains(';'), "a cookie is made up");
    }
    if let Ok(Some(shown)) = auth::credential(&with(AUTHORIZATION)) {
        assert!(
            !shown.text.is_empty() && !shown.text.expose().contains([' ', '\t']),
            "a credential has two parts"
        );
    }
    let peer = IpAddr::from([10, 0, 0, 1]);
    let proxies = ["10.0.0.0/8".parse().expect("a network")];
    let forwarded = HeaderMap::from_iter([("x-forwarded-for".parse().expect("a name"), value.clone())]);
    let far = address::of_client(Peer::Network(peer), &forwarded, &proxies);
    assert_eq!(far, far.to_canonical(), "an address has two forms");
    assert_eq!(address::of_client(Peer::Network(peer), &forwarded, &[]), peer, "a stranger says who it is");
    if let Ok(text) = value.to_str() {
        respond::tags(text).for_each(|tag| assert!(!tag.contains(','), "two tags are one"));
        let _ = with(IF_MATCH);
    }
}

/// Paths and queries.
pub fn targets(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for segment in text.split('/') {
        if let Ok(decoded) = decode_segment(segment) {
            assert!(segment.contains('%') || decoded == segment, "a segment is decoded that is not encoded");
        }
    }
    for (name, value) in form_urlencoded::parse(data) {
        let _ = (name, value);
    }
}

/// Bodies: what is refused is refused with 400 and is not repeated.
pub fn bodies(data: &[u8]) {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "only read into")]
    struct Everything {
        repo_full_name: RepoName,
        environment: EnvironmentName,
        scopes: Option<Vec<Scope>>,
        secrets: Members<SecretText>,
        count: Option<u64>,
        flag: Option<bool>,
    }
    match json::read::<Everything>(data) {
        Ok(read) => {
            let mut names: Vec<_> = read.secrets.0.iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "a member is there twice");
        }
        Err(problem) => {
            let answer = problem.render("", "", "");
            assert_eq!(answer.status(), 400);
            let text = format!("{answer:?}");
            assert!(!text.contains("hunter2"), "what was sent is repeated");
        }
    }
}

/// A whole connection, whatever is sent on it: the server answers in HTTP, and never that
/// it failed. `TOKEN` stands for a good credential.
pub fn connections(data: &[u8]) {
    thread_local!(static WORLD: RefCell<Option<World>> = const { RefCell::new(None) });
    WORLD.with_borrow_mut(|world| {
        if world.as_ref().is_none_or(|world| world.used >= 5_000) {
            *world = Some(World::new());
        }
        let received = world.as_mut().expect("it was made").send(data);
        let failed = received.starts_with(b"HTTP/1.1 500") || received.starts_with(b"HTTP/1.1 502");
        assert!(!failed, "{}", received.escape_ascii());
    });
}

struct World {
    runtime: Runtime,
    front: Arc<Front>,
    token: String,
    /// How often: what is stored by now slows it down.
    used: u32,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let settings = HttpSettings::new("https://keyway.example");
        let routes = super::routes();
        let front =
            Front::new(settings, Services::in_memory(), Arc::new(SystemClock), routes, Meters::default());
        let front = Arc::new(front.expect("the table is sound"));
        let alice = AccountName::parse("alice").expect("a name");
        let wanted = NewApiKey::unlimited("fuzz", Scope::ALL.into_iter().collect());
        let token = runtime.block_on(async {
            front.services.add_account(alice.clone(), true, None).await.expect("an account");
            front.services.mint_token(&alice, wanted).await.expect("a key").token.expose().to_owned()
        });
        Self { runtime, front, token, used: 0 }
    }

    /// What comes back when `data` is all that is sent.
    fn send(&mut self, data: &[u8]) -> Vec<u8> {
        self.used += 1;
        let mut sent = data.to_vec();
        while let Some(at) = sent.windows(5).position(|word| word == b"TOKEN") {
            sent.splice(at..at + 5, self.token.bytes());
        }
        let front = Arc::clone(&self.front);
        self.runtime.block_on(async move {
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            let protocols = connection::protocols(&front);
            let service = Service::Everything(Peer::Network(IpAddr::from([127, 0, 0, 1])));
            let served = connection::serve(theirs, service, front, &protocols, Halt::default());
            let (mut reading, mut writing) = tokio::io::split(ours);
            let spoken = async move {
                let _ = writing.write_all(&sent).await;
                let _ = writing.shutdown().await;
            };
            let mut received = Vec::new();
            let (_, (), _) = tokio::join!(served, spoken, reading.read_to_end(&mut received));
            received
        })
    }
}

#[cfg(test)]
mod tests {
    use super::World;
    use crate::base::fuzz::replay;

    #[test]
    fn stored_requests_reach_their_handlers() {
        let mut world = World::new();
        let steps =
            [("health", "200"), ("create", "201"), ("push", "412"), ("pull", "304"), ("secret", "201")];
        for (name, status) in steps {
            let path = format!("{}/tests/fuzz/corpus/connections/{name}", env!("CARGO_MANIFEST_DIR"));
            let received = world.send(&std::fs::read(path).unwrap());
            let received = String::from_utf8_lossy(&received);
            assert!(received.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {received}");
        }
    }

    #[test]
    fn stored_requests_are_tried() {
        replay("headers", super::headers);
        replay("targets", super::targets);
        replay("bodies", super::bodies);
        replay("connections", super::connections);
    }
}
