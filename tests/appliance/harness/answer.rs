//! An answer, and the rules that every answer keeps: the envelope, the problem document, the headers.

use serde_json::{Map, Value};

/// What problems are called, by status.
const PROBLEMS: [(u16, &str, &str); 12] = [
    (400, "bad-request", "Bad Request"),
    (401, "unauthorized", "Unauthorized"),
    (403, "forbidden", "Forbidden"),
    (404, "not-found", "Not Found"),
    (405, "method-not-allowed", "Method Not Allowed"),
    (409, "conflict", "Conflict"),
    (412, "precondition-failed", "Precondition Failed"),
    (413, "payload-too-large", "Payload Too Large"),
    (415, "unsupported-media-type", "Unsupported Media Type"),
    (429, "rate-limited", "Too Many Requests"),
    (500, "internal-error", "Internal Server Error"),
    (502, "upstream-error", "Bad Gateway"),
];

/// Every header the appliance may send: one that is not listed here was let out by mistake.
const HEADERS: [&str; 24] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "location",
    "retry-after",
    "set-cookie",
    "vary",
    "www-authenticate",
    "x-content-type-options",
    "x-github-sso",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The header `name`, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The header `name` as a number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let value = self.header(name).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no number `{name}` in {}", self.show()))
    }

    /// Whether an answer of this kind has a body.
    pub(crate) fn has_body(&self) -> bool {
        self.method != "HEAD" && !matches!(self.status, 100..=199 | 204 | 304)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.show()))
    }

    /// The `data` of a 200.
    pub(crate) fn ok(&self) -> Value {
        self.data(200)
    }

    /// The `data` of a 201.
    pub(crate) fn created(&self) -> Value {
        self.data(201)
    }

    /// It is a 204.
    pub(crate) fn no_content(&self) {
        assert_eq!(self.status, 204, "{}", self.show());
    }

    /// The problem of this status.
    pub(crate) fn refused(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.show());
        self.json()
    }

    /// The fields that a 400 complains about.
    pub(crate) fn bad_fields(&self) -> Vec<String> {
        let problem = self.refused(400);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The problem without what differs from request to request.
    pub(crate) fn anonymous(&self) -> (u16, Vec<(String, String)>, Value) {
        let mut problem = self.json();
        problem.as_object_mut().expect("problems are objects").remove("requestId");
        let varying = ["x-request-id", "date", "content-length"];
        let headers = self.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str())).cloned();
        (self.status, headers.collect(), problem)
    }

    fn data(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.show());
        self.json()["data"].clone()
    }

    /// For messages about it.
    pub(crate) fn show(&self) -> String {
        let head: Vec<_> = self.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let body: String = String::from_utf8_lossy(&self.body).chars().take(2_000).collect();
        format!("{} {}\n{}\n{}\n\n{body}", self.method, self.target, self.status, head.join("\n"))
    }

    /// Holds it to the rules of all answers.
    pub(crate) fn check(&self) {
        self.check_headers();
        let path = self.target.split('?').next().unwrap_or_default();
        if !self.has_body() {
            assert!(self.body.is_empty(), "{}", self.show());
        } else if self.status >= 400 {
            self.check_problem(path);
        } else if path.ends_with("/health") {
            assert_eq!(self.json()["status"], "healthy", "{}", self.show());
        } else if path == "/ready" {
            assert_eq!(self.json()["status"], "ready", "{}", self.show());
        } else if path == "/v1/openapi.json" {
            assert_eq!(self.json()["openapi"], "3.1.0", "{}", self.show());
        } else {
            self.check_envelope();
        }
    }

    fn check_headers(&self) {
        for (name, _) in &self.headers {
            assert!(
                HEADERS.contains(&name.as_str()) || name == "x-request-id",
                "`{name}` in {}",
                self.show()
            );
            let count = self.headers.iter().filter(|(other, _)| other == name).count();
            assert_eq!(count, 1, "`{name}` in {}", self.show());
        }
        assert!(is_uuid(self.header("x-request-id").unwrap_or_default()), "no request id in {}", self.show());
        assert_eq!(self.header("cache-control"), Some("no-store"), "{}", self.show());
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{}", self.show());
        assert!(self.header("content-security-policy").is_some(), "{}", self.show());
        assert!(self.header("date").is_some(), "{}", self.show());
        let needs = |status: u16, name: &str| {
            assert!(self.status != status || self.header(name).is_some(), "no `{name}` in {}", self.show());
        };
        needs(401, "www-authenticate");
        needs(405, "allow");
        needs(429, "retry-after");
        needs(503, "retry-after");
        needs(304, "etag");
        if self.status == 401 {
            assert_eq!(self.header("www-authenticate"), Some("Bearer"), "{}", self.show());
        }
    }

    fn check_problem(&self, path: &str) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.show());
        let problem = self.json();
        let members = problem.as_object().unwrap_or_else(|| panic!("no object in {}", self.show()));
        let known = PROBLEMS.iter().find(|(status, ..)| *status == self.status);
        let unavailable = (503, "service-unavailable", "Service Unavailable");
        let (status, slug, title) = known.copied().unwrap_or(unavailable);
        assert_eq!(problem["status"], status, "{}", self.show());
        assert_eq!(problem["type"], format!("https://keyway.sh/errors/{slug}"), "{}", self.show());
        assert_eq!(problem["title"], title, "{}", self.show());
        assert_eq!(problem["instance"], path, "{}", self.show());
        assert_eq!(problem["requestId"].as_str(), self.header("x-request-id"), "{}", self.show());
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", self.show());
        let mut expected = vec!["detail", "instance", "requestId", "status", "title", "type"];
        if let Some(errors) = members.get("errors") {
            assert_eq!(self.status, 400, "{}", self.show());
            expected.push("errors");
            let errors = errors.as_array().filter(|errors| !errors.is_empty());
            for error in errors.unwrap_or_else(|| panic!("no list of errors in {}", self.show())) {
                let told = |member: &str| error[member].as_str().is_some_and(|text| !text.is_empty());
                assert!(told("field") && told("message"), "{}", self.show());
                assert_eq!(error.as_object().map(Map::len), Some(2), "{}", self.show());
            }
        }
        self.check_members(members, &expected);
    }

    fn check_envelope(&self) {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.show());
        let body = self.json();
        let members = body.as_object().unwrap_or_else(|| panic!("no object in {}", self.show()));
        if path_of(&self.target).starts_with("/v1/auth/device/") {
            self.check_twice(members);
        } else {
            self.check_members(members, &["data", "meta"]);
        }
        let meta = &body["meta"];
        assert_eq!(meta["requestId"].as_str(), self.header("x-request-id"), "{}", self.show());
        let members = meta.as_object().unwrap_or_else(|| panic!("no object in {}", self.show()));
        let Some(items) = body["data"].as_array() else {
            return self.check_members(members, &["requestId"]);
        };
        self.check_members(members, &["pagination", "requestId"]);
        let pagination = &meta["pagination"];
        let number = |name: &str| {
            pagination[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in {}", self.show()))
        };
        let (total, limit, offset) = (number("total"), number("limit"), number("offset"));
        let (count, seen) = (items.len() as u64, offset.saturating_add(items.len() as u64));
        assert!((1..=100).contains(&limit) && count <= limit, "{}", self.show());
        assert_eq!(count, limit.min(total.saturating_sub(offset)), "{}", self.show());
        assert_eq!(pagination["hasMore"], seen < total, "{}", self.show());
    }

    /// What stands in `data` stands at the top as well, and nothing else.
    fn check_twice(&self, members: &Map<String, Value>) {
        let mut top = members.clone();
        let data = top.remove("data");
        assert!(top.remove("meta").is_some(), "{}", self.show());
        assert_eq!(data, Some(Value::Object(top)), "{}", self.show());
    }

    fn check_members(&self, members: &Map<String, Value>, expected: &[&str]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{}", self.show());
    }
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// Whether `text` is a UUID in its usual form, in whatever case.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, letter)| match at {
            8 | 13 | 18 | 23 => letter == '-',
            _ => letter.is_ascii_hexdigit(),
        })
}

/// Whether `value` is a time as the API writes it: RFC 3339 in UTC, with `Z`.
pub(crate) fn is_time(value: &Value) -> bool {
    let format = &time::format_description::well_known::Rfc3339;
    value
        .as_str()
        .is_some_and(|text| text.ends_with('Z') && time::OffsetDateTime::parse(text, format).is_ok())
}

/// The names of an object's members, sorted.
pub(crate) fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}
