//! Ids: one newtype per kind of thing, so that a vault's id cannot be handed to
//! something that wants a user's. All are UUIDs (RFC 9562), version 7 for what is
//! stored, so that new records land side by side in the database's trees.

use crate::base::schema::described;
use crate::base::{Timestamp, random};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        described!($name, {
            "type": "string",
            "format": "uuid",
            "examples": ["0196f3a2-7c41-7d3e-9a55-2f6b1c8e4d07"],
        });

        impl $name {
            /// A fresh id, made at `now`.
            #[must_use]
            pub fn new(now: Timestamp) -> Self {
                Self(uuid_at(now))
            }

            /// The id with these bytes, as they stand in a table key.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the hyphenated form; anything else is no id.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                if text.len() == 36 { Uuid::parse_str(text).ok().map(Self) } else { None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    )+};
}

ids! {
    /// A person or an account.
    UserId;
    /// A vault: the secrets of one repository.
    VaultId;
    /// An environment of a vault.
    EnvironmentId;
    /// A secret; it keeps its id through renames, updates and the trash.
    SecretId;
    /// A kept old value of a secret.
    VersionId;
    /// One state of an environment.
    RevisionId;
    /// An API key.
    ApiKeyId;
    /// A rule that lets somebody in or keeps somebody out of an environment.
    OverrideId;
    /// Somebody's account at a service that secrets are synchronised with.
    ConnectionId;
    /// An environment and its place at such a service.
    LinkId;
    /// A signed-in session.
    SessionId;
    /// An entry of the audit log.
    EntryId;
    /// One run of the server, from its start to its end.
    InstanceId;
    /// One request, as told to the client in `X-Request-ID`.
    RequestId;
}

impl InstanceId {
    /// A fresh id that says nothing, not even when it was made: strangers may read it.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0u8; 16];
        random::fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

fn uuid_at(now: Timestamp) -> Uuid {
    let mut bytes = [0u8; 10];
    random::fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let early = VaultId::new(Timestamp::from_millis(1_000));
        let late = VaultId::new(Timestamp::from_millis(2_000));
        assert!(early < late);
    }

    #[test]
    fn only_the_hyphenated_form_is_read() {
        let id = UserId::new(Timestamp::from_millis(1));
        assert_eq!(UserId::parse(&id.to_string()), Some(id));
        assert_eq!(UserId::parse(&id.to_string().replace('-', "")), None);
        assert_eq!(UserId::parse("me"), None);
    }
}
