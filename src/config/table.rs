//! The declaration of settings. Every key is written down once, in `settings/`, with its
//! documentation, type, default and range; [`declare!`] makes of it the struct, its
//! `Default`, the reading of it and the description from which the commented example,
//! `config show`, the check for unknown keys and the names of environment variables
//! are derived. A key that is declared cannot be undocumented, and a document cannot
//! name a key that does not exist.

use super::layers::Layers;

/// One thing the declaration holds, as [`Section::describe`] lists it.
pub(super) enum Item {
    /// A table, before its keys.
    Table {
        /// Dotted path.
        path: String,
        /// Documentation, by line.
        docs: &'static [&'static str],
    },
    /// A key.
    Key(Key),
}

/// A key, with the value it has in the section that described it.
pub(super) struct Key {
    /// Dotted path.
    pub(super) path: String,
    /// Documentation, by line.
    pub(super) docs: &'static [&'static str],
    /// Smallest and largest value, as TOML.
    pub(super) range: Option<(&'static str, &'static str)>,
    /// An example for a key without default, as TOML.
    pub(super) like: Option<&'static str>,
    /// The value as TOML; `None` if it is not set.
    pub(super) value: Option<String>,
}

impl Key {
    /// The key's own name, without its table.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit_once('.').map_or(self.path.as_str(), |(_, name)| name)
    }
}

/// A table of settings.
pub(super) trait Section: Default {
    /// Takes the section's values out of `layers`; where there is none or a wrong one, the default.
    fn read(path: &str, layers: &mut Layers) -> Self;

    /// Lists the section's keys and tables with their current values, in the order of the declaration.
    fn describe(&self, path: &str, list: &mut Vec<Item>);
}

/// The dotted path of `name` in the table `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Declares one section:
///
/// ```text
/// /// What the section is about.
/// Name {
///     /// What the key does.
///     key: Type = default literal, from low to high;
///     other: Option<Type>, like "example";
/// }
/// tables {
///     /// What the table in it is about.
///     inner: Inner;
/// }
/// ```
macro_rules! declare {
    (
        $(#[doc = $section_doc:literal])+
        $Section:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident : $ty:ty $(= $default:tt)? $(, like $like:tt)? $(, from $low:tt to $high:tt)? ;
            )*
        }
        $(tables { $($(#[doc = $table_doc:literal])+ $table:ident : $Table:ty;)+ })?
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug)]
        pub struct $Section {
            $($(#[doc = $doc])+ pub $key: $ty,)*
            $($($(#[doc = $table_doc])+ pub $table: $Table,)+)?
        }

        impl Default for $Section {
            fn default() -> Self {
                Self {
                    $($key: declare!(@default $ty $(, $default)?),)*
                    $($($table: Default::default(),)+)?
                }
            }
        }

        impl $crate::config::table::Section for $Section {
            fn read(path: &str, layers: &mut $crate::config::layers::Layers) -> Self {
                use $crate::config::table::join;
                Self {
                    $($key: declare!(
                        @read layers, &join(path, stringify!($key)),
                        declare!(@default $ty $(, $default)?) $(, $ty, $low, $high)?
                    ),)*
                    $($($table: <$Table>::read(&join(path, stringify!($table)), layers),)+)?
                }
            }

            fn describe(&self, path: &str, list: &mut Vec<$crate::config::table::Item>) {
                use $crate::config::table::{Item, join};
                $(list.push(Item::Key($crate::config::table::Key {
                    path: join(path, stringify!($key)),
                    docs: &[$($doc),+],
                    range: declare!(@pair $($low, $high)?),
                    like: declare!(@like $($like)?),
                    value: $crate::config::value::Setting::show(&self.$key),
                }));)*
                $($(
                    let inner = join(path, stringify!($table));
                    list.push(Item::Table { path: inner.clone(), docs: &[$($table_doc),+] });
                    self.$table.describe(&inner, list);
                )+)?
            }
        }
    };
    (@default $ty:ty) => { Default::default() };
    (@default $ty:ty, $default:tt) => { $crate::config::value::literal::<$ty>(stringify!($default)) };
    (@read $layers:ident, $path:expr, $default:expr) => { $layers.take($path, $default) };
    (@read $layers:ident, $path:expr, $default:expr, $ty:ty, $low:tt, $high:tt) => {
        $layers.take_within::<$ty>($path, $default, stringify!($low), stringify!($high))
    };
    (@pair) => { None };
    (@pair $low:tt, $high:tt) => { Some((stringify!($low), stringify!($high))) };
    (@like) => { None };
    (@like $like:tt) => { Some(stringify!($like)) };
}

pub(super) use declare;
