//! What an operator or a test may set; `app` fills it from the configuration.

use crate::base::Quota;
use ipnet::IpNet;
use std::time::Duration;

/// Settings of this room.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Where clients reach the server, without a slash at the end.
    pub public_url: String,
    /// What the `type` of a problem starts with, with a slash at the end.
    pub errors_base_url: String,
    /// Origins of web pages that may call the API with their user's credentials.
    pub allowed_origins: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether answers tell browsers to use nothing but HTTPS from now on.
    pub hsts: bool,
    /// Connections served at once.
    pub max_connections: usize,
    /// Largest body, in bytes.
    pub body_limit_bytes: usize,
    /// Largest body of a push, in bytes.
    pub push_body_limit_bytes: usize,
    /// All large bodies of known callers held in memory at once, in bytes; further ones
    /// wait for their turn.
    pub body_memory_bytes: usize,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// `None`: no rate limits.
    pub rate_limits: Option<RateLimits>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the head of a request to its answer.
    pub request: Duration,
    /// For the body of a request to arrive; at most as long as `request`.
    pub body: Duration,
    /// For the first head on a fresh connection to arrive.
    pub first_head: Duration,
    /// For an open connection without a request. Longer than the 60 seconds for which
    /// reverse proxies commonly keep theirs, so that the proxy is the one to hang up.
    pub idle: Duration,
    /// For a client to take any of the bytes we send.
    pub write: Duration,
}

/// Requests per time, for each client.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Per verified credential, else per address.
    pub general: Quota,
    /// Revealing values, per credential.
    pub reveal: Quota,
    /// Entering device codes, per address.
    pub device_verify: Quota,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(25),
            body: Duration::from_secs(20),
            first_head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
        }
    }
}

impl HttpSettings {
    /// The defaults of everything, for a server reached at `public_url`.
    #[must_use]
    pub fn new(public_url: &str) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            errors_base_url: "https://keyway.sh/errors/".to_owned(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            hsts: false,
            max_connections: 4_096,
            body_limit_bytes: 1 << 20,
            push_body_limit_bytes: 8 << 20,
            body_memory_bytes: 128 << 20,
            timeouts: Timeouts::default(),
            rate_limits: None,
        }
    }
}
