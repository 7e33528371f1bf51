//! Who calls: finding the credential in a request's head, and comparing an API
//! key's scopes with the route's. Whether the credential is good is for the domain
//! to say.

use super::cookies;
use super::problem::{Problem, ProblemKind};
use super::router::Auth;
use crate::base::{Agent, SecretText, ids::RequestId};
use crate::domain::{Actor, Origin};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue, ORIGIN, USER_AGENT};
use std::net::IpAddr;

/// Longest credential that is looked at, in bytes. Ours and GitHub's are far shorter.
const CREDENTIAL_BYTES_MAX: usize = 4_096;
/// Most characters of a `User-Agent` that are kept.
const USER_AGENT_CHARS_MAX: usize = 200;

/// A credential as it was shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: SecretText,
    /// Whether a browser sent it along by itself.
    pub(super) by_cookie: bool,
}

/// The credential in `headers`; `None` if there is none of any kind. The header wins
/// over the cookie.
pub(super) fn credential(headers: &HeaderMap) -> Result<Option<Shown>, Problem> {
    match headers.get(AUTHORIZATION) {
        Some(value) => bearer(value.as_bytes()).map(|text| Some(Shown { text, by_cookie: false })),
        None => Ok(session_cookie(headers)),
    }
}

/// The credential in `headers`, which there has to be.
pub(super) fn shown(headers: &HeaderMap) -> Result<Shown, Problem> {
    credential(headers)?
        .ok_or_else(|| unauthorized("this needs a credential; send `Authorization: Bearer <token>`"))
}

/// The session in `headers`, if a browser sent one.
pub(super) fn session_cookie(headers: &HeaderMap) -> Option<Shown> {
    let value = cookies::find(headers, cookies::SESSION)?;
    let sane = (1..=CREDENTIAL_BYTES_MAX).contains(&value.len());
    sane.then(|| Shown { text: SecretText::new(value.to_owned()), by_cookie: true })
}

/// Refuses what a page of a foreign site made a browser send: with a cookie, what may
/// change something has to come from a page of ours, or of a listed site.
pub(super) fn check_web_origin(headers: &HeaderMap, own: &str, allowed: &[String]) -> Result<(), Problem> {
    let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
    let is = |listed: &str| origin == Some(listed.as_bytes());
    if is(own) || allowed.iter().any(|listed| is(listed)) {
        return Ok(());
    }
    let detail = "with a cookie, this takes an `Origin` header that names this server or a listed site; \
                  use `Authorization: Bearer <token>`";
    Err(Problem::new(ProblemKind::Forbidden, detail))
}

/// The token of a `Bearer` credential (RFC 6750 §2.1); the scheme is case-insensitive.
fn bearer(header: &[u8]) -> Result<SecretText, Problem> {
    let malformed = || unauthorized("the `Authorization` header is not of the form `Bearer <token>`");
    let mut parts = header.splitn(2, |&byte| byte == b' ');
    let (scheme, token) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii());
    let well_formed = (1..=CREDENTIAL_BYTES_MAX).contains(&token.len())
        && !token.iter().any(|byte| matches!(byte, b' ' | b'\t'));
    if !scheme.eq_ignore_ascii_case(b"bearer") || !well_formed {
        return Err(malformed());
    }
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let text = std::str::from_utf8(token).ok().filter(|_| token.iter().all(known));
    text.map(|text| SecretText::new(text.to_owned())).ok_or_else(|| {
        unauthorized(
            "the token in the `Authorization` header has a character that no token has; put a whole token \
             in place of the example's",
        )
    })
}

pub(super) fn unauthorized(detail: &'static str) -> Problem {
    Problem::new(ProblemKind::Unauthorized, detail)
}

/// Refuses an API key that lacks the route's scope.
pub(super) fn check_scope(auth: Auth, actor: &Actor) -> Result<(), Problem> {
    match (auth, actor.scopes()) {
        (Auth::Scoped(scope), Some(scopes)) if !scopes.contains(scope) => {
            let detail = format!("this API key lacks the scope `{scope}`; use one that has it");
            Err(Problem::new(ProblemKind::Forbidden, detail))
        }
        _ => Ok(()),
    }
}

/// What the request tells about itself.
pub(super) fn origin(request_id: RequestId, address: IpAddr, headers: &HeaderMap) -> Origin {
    let text = headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let visible = text.iter().flat_map(|text| text.chars()).filter(|letter| !letter.is_control());
    let user_agent: String = visible.take(USER_AGENT_CHARS_MAX).collect();
    Origin { request_id, address, agent: Agent::of(&user_agent), user_agent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::COOKIE;

    fn read(header: &str) -> Result<Option<Shown>, Problem> {
        credential(&HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]))
    }

    #[test]
    fn bearer_credentials_are_found_whatever_the_case_of_the_scheme() {
        for header in ["Bearer abc.def", "bearer abc.def", "BEARER  abc.def "] {
            let shown = Shown { text: SecretText::new("abc.def".into()), by_cookie: false };
            assert_eq!(read(header).unwrap(), Some(shown), "{header}");
        }
        assert_eq!(credential(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("Bearer {}", "x".repeat(CREDENTIAL_BYTES_MAX + 1));
        for header in ["", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", "abc", "Bearer a b", &long] {
            assert_eq!(read(header).unwrap_err().kind(), ProblemKind::Unauthorized, "{header}");
        }
    }

    #[test]
    fn a_placeholder_is_told_from_a_header_of_another_form() {
        for placeholder in ["kw_live_…", "<token>", "$TOKEN", "\"kw_live_0\"", "kw_live_\u{a0}"] {
            let value = hyper::header::HeaderValue::from_bytes(format!("Bearer {placeholder}").as_bytes());
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.unwrap())]);
            let detail = format!("{:?}", credential(&headers).unwrap_err());
            assert!(detail.contains("a character that no token has"), "{detail}");
            assert!(!detail.contains(placeholder), "{detail}");
        }
    }

    #[test]
    fn a_cookie_counts_when_there_is_no_header() {
        let cookie = (COOKIE, "a=b; keyway_session=x.y.z".parse().unwrap());
        let shown = credential(&HeaderMap::from_iter([cookie.clone()])).unwrap().unwrap();
        assert!(shown.by_cookie && shown.text.expose() == "x.y.z");
        let both = [cookie, (AUTHORIZATION, "Bearer abc".parse().unwrap())];
        assert!(!credential(&HeaderMap::from_iter(both)).unwrap().unwrap().by_cookie);
    }

    #[test]
    fn foreign_pages_are_told_from_ours() {
        let check = |origin: Option<&str>| {
            let headers = origin.map(|origin| (ORIGIN, origin.parse().unwrap()));
            let listed = ["https://app.example".to_owned()];
            check_web_origin(&HeaderMap::from_iter(headers), "https://keyway.example", &listed).is_ok()
        };
        assert!(check(Some("https://keyway.example")) && check(Some("https://app.example")));
        for foreign in
            [None, Some("null"), Some("https://keyway.example.evil"), Some("http://keyway.example")]
        {
            assert!(!check(foreign), "{foreign:?}");
        }
    }

    #[test]
    fn user_agents_are_cut_and_cleaned() {
        let of = |agent: &[u8]| {
            let value = hyper::header::HeaderValue::from_bytes(agent).unwrap();
            let headers = HeaderMap::from_iter([(USER_AGENT, value)]);
            let id = RequestId::from_bytes([0; 16]);
            origin(id, IpAddr::from([127, 0, 0, 1]), &headers)
        };
        assert_eq!(of(b"keyway-cli/1.2").agent, Agent::Cli);
        assert_eq!(of(b"a\tb\xff").user_agent, "ab\u{fffd}");
        assert_eq!(of("é".repeat(300).as_bytes()).user_agent.chars().count(), 200);
    }
}
