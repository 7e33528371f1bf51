//! Raw TOML and environment in, validated settings out.
//!
//! The configuration file, then the environment, then the flags fill `layers`, later
//! ones over earlier ones; the declaration in `settings` takes typed values out of
//! it, and `rules` looks at how they fit together. Everything wrong is collected and
//! told at once. What the sources are is passed in, so no global state is read here.
//!
//! Only `app` and `cli` know this room; every other room is handed what concerns it.

mod environment;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod layers;
mod not_yet;
mod origin;
mod render;
mod rules;
mod settings;
mod suggest;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use origin::{Origin, Problem, Problems};
pub use render::example;
pub use settings::{
    Audit, Auth, Backup, GitHub, Identity, Integrations, KeySource, Local, Log, MasterKey, Metrics, Outbound,
    Provider, RateLimit, Secrets, Server, Settings, Storage, Tls, Vaults,
};
pub use value::{
    AuditReads, Forward, HttpOrigin, HttpUrl, LogFilter, LogFormat, LogLevel, Size, parse_listen,
    parse_network,
};

use environment::Environment;
use layers::Layers;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use table::Section;
use value::Given;
use zeroize::Zeroizing;

/// Read when neither a flag nor the environment names another file, if it is there.
pub const DEFAULT_FILE: &str = "/etc/keywayd/keywayd.toml";

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--config`: the configuration file.
    pub config: Option<PathBuf>,
    /// `--data-dir`, over `storage.data_dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`, over `server.listen`.
    pub listen: Option<SocketAddr>,
}

/// Settings in force, and where they come from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The configuration file that was read, if one was.
    pub file: Option<PathBuf>,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of a key, such as `server.listen`, comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The settings as TOML, each with where it comes from. Secrets show as `[redacted]`.
    #[must_use]
    pub fn show(&self) -> String {
        render::show(&self.settings, |key| self.origin(key))
    }
}

/// Reads the configuration from its file, from the `variables` of the environment and
/// from the flags. `read_file` reads files, the configuration and those that
/// variables ending in `_FILE` name.
///
/// # Errors
/// Everything that is wrong, together.
pub fn load(
    overrides: &Overrides,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Loaded, Problems> {
    load_with(not_yet::NOT_YET, overrides, variables, read_file)
}

/// [`load`], refusing the keys in `not_yet`.
fn load_with(
    not_yet: &'static [&'static str],
    overrides: &Overrides,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Loaded, Problems> {
    let environment = Environment::new(variables);
    let mut layers = Layers::new::<Settings>(not_yet);
    let file = add_file(overrides, &environment, read_file, &mut layers);
    let unknown = environment.read(read_file, &mut layers);
    add_flags(overrides, &mut layers);

    let mut settings = Settings::read("", &mut layers);
    // The variable that holds the master key may have a name like a setting's.
    let key_variable = settings.master_key.env.as_deref();
    unknown
        .iter()
        .filter(|name| key_variable != Some(name))
        .for_each(|name| environment::reject(name, &mut layers));
    let followers = rules::follow(&mut settings, &layers);
    rules::check(&settings, &mut layers);

    let (problems, mut origins) = layers.finish();
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    origins.extend(followers.into_iter().map(|(key, on)| (key.to_owned(), Origin::Follows(on))));
    Ok(Loaded { settings, file, origins })
}

/// Reads the configuration file, if there is one.
fn add_file(
    overrides: &Overrides,
    environment: &Environment,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
    layers: &mut Layers,
) -> Option<PathBuf> {
    let (path, origin) = match (&overrides.config, environment.config()) {
        (Some(path), _) => (path.clone(), Origin::Flag("--config")),
        (None, Some(path)) => (PathBuf::from(path), Origin::Variable(environment::CONFIG.to_owned())),
        (None, None) => (PathBuf::from(DEFAULT_FILE), Origin::Default),
    };
    match read_file(&path) {
        Ok(text) => {
            file::read(&path, &Zeroizing::new(text), layers);
            Some(path)
        }
        Err(error) if origin == Origin::Default && error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let cause = format!("cannot read the configuration file `{}`: {error}", path.display());
            let hint = match error.kind() {
                io::ErrorKind::NotFound => {
                    "correct the path; `keywayd config example` prints a file to start from"
                }
                io::ErrorKind::PermissionDenied => "let the user that runs keywayd read it",
                _ => "it must be a file of UTF-8 text",
            };
            layers.problem(origin, cause, hint);
            None
        }
    }
}

fn add_flags(overrides: &Overrides, layers: &mut Layers) {
    if let Some(listen) = overrides.listen {
        layers.set("server.listen", Given::loose(listen.to_string()), Origin::Flag("--listen"));
    }
    if let Some(data_dir) = &overrides.data_dir {
        let origin = Origin::Flag("--data-dir");
        match data_dir.to_str() {
            Some(path) => layers.set("storage.data_dir", Given::loose(path.to_owned()), origin),
            None => layers.problem(origin, "`--data-dir` is not UTF-8", "name the directory in UTF-8"),
        }
    }
}
