//! Schemas of types that read and write themselves, for the description of the API. All
//! others derive theirs.

/// Describes `$name` by the JSON schema `$schema`.
macro_rules! described {
    ($name:ident, $schema:tt) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

pub(crate) use described;
