//! The shapes that are stored: plain data, no rules. bincode writes fields by their
//! order and enum variants by their number, so fields are never moved and variants
//! only appended; any other change raises the record's version.

mod audit;
mod integrations;
mod people;
mod sign_in;
mod vault;

pub use audit::{Action, CredentialKind, Entry, EntryActor};
pub use integrations::{Connection, Grants, Link, Memory, PendingConnection, Renewal};
pub use people::{Account, ApiKey, ApiKeyUsage, Grant, KeyEnvironment, KeyRepository, User};
pub use sign_in::{
    DeviceCode, DeviceState, ForgeGrant, PendingSignIn, RefreshToken, Session, SignInCode, SignInTarget,
};
pub use vault::{
    Deletion, Environment, EnvironmentInfo, EnvironmentKind, EnvironmentSeen, ManifestItem, Override,
    OverrideTarget, Revision, Secret, SecretSeen, Source, TrashedSecret, Vault, VaultKeys, Version,
};
