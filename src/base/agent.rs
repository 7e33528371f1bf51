//! Which program speaks, judged by its `User-Agent`. Two shipped clients get a
//! courtesy on push (see `domain::push`); beyond that it only labels the audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The program at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// The Keyway command line, `keyway-cli/…`.
    Cli,
    /// The Keyway MCP server, `keyway-mcp/…`.
    Mcp,
    /// Anything else.
    Other,
}

impl Agent {
    /// Reads a `User-Agent` header.
    #[must_use]
    pub fn of(user_agent: &str) -> Self {
        if user_agent.starts_with("keyway-cli/") {
            Self::Cli
        } else if user_agent.starts_with("keyway-mcp/") {
            Self::Mcp
        } else {
            Self::Other
        }
    }
}

/// Where an action came from, as the activity list shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// The Keyway command line.
    Cli,
    /// A browser with a session cookie.
    Web,
    /// Anything else that speaks the API.
    Api,
    /// The Keyway MCP server.
    Mcp,
    /// An administrator on the machine itself; the wire says `api`.
    #[schemars(skip)]
    Admin,
}

impl Platform {
    /// The platform's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Web => "web",
            // Upstream clients know four platforms; the machine's own administrator is shown as `api`.
            Self::Api | Self::Admin => "api",
            Self::Mcp => "mcp",
        }
    }
}
