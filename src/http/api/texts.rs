//! Texts that are held to more than the type they are read into says, as the description
//! has them. What refuses the others is named with each.

use crate::base::schema::described;

/// A key as [`SecretName::parse_strict`](crate::base::SecretName::parse_strict) takes it.
pub(super) struct StrictKey;

described!(StrictKey, {
    "type": "string",
    "pattern": "^[A-Z][A-Z0-9_]{0,255}$",
    "examples": ["DATABASE_URL"],
});

/// A value of a secret: 65 536 bytes by default (`domain::secrets`).
pub(super) struct SecretValue;

described!(SecretValue, {
    "type": "string",
    "maxLength": 65_536,
    "pattern": r"^[^\x00]*$",
    "examples": ["postgres://db.internal/app"],
});

/// All secrets of an environment (`domain::push`).
pub(super) struct SecretValues;

described!(SecretValues, {
    "type": "object",
    "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,255}$" },
    "additionalProperties": { "type": "string", "maxLength": 65_536, "pattern": r"^[^\x00]*$" },
    "maxProperties": 1_000,
    "examples": [{ "DATABASE_URL": "postgres://db.internal/app" }],
});

/// The name or id of something at a service (`domain::integrations`).
pub(super) struct ServiceName;

described!(ServiceName, {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
    "examples": ["prj_4f9a"],
});

/// The environment there.
pub(super) struct ServiceEnvironment;

described!(ServiceEnvironment, {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
    "examples": ["production"],
});

/// What a client is called (`domain::api_keys`).
pub(super) struct KeyName;

described!(KeyName, {
    "type": "string",
    "maxLength": 100,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
    "examples": ["CI of acme/app"],
});

/// An address or a network (`api_keys`).
pub(super) struct Network;

described!(Network, {
    "type": "string",
    "anyOf": [
        { "format": "ipv4" },
        { "format": "ipv6" },
        { "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$", "examples": ["192.0.2.0/24"] },
        { "pattern": r"^[0-9A-Fa-f:]+/[0-9]{1,3}$", "examples": ["2001:db8::/32"] },
    ],
    "examples": ["192.0.2.0/24"],
});
