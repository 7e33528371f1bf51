//! The environment: `KEYWAYD_SERVER__PUBLIC_URL` is `server.public_url`, and
//! `KEYWAYD_…_FILE` names a file that holds the value, as container platforms hand out
//! secrets. A variable that starts with `KEYWAYD_` and means nothing is an error: a
//! misspelt protection would otherwise silently not be there.

use super::{Origin, layers::Layers, suggest, value::Given};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    path::Path,
};

/// What all our variables start with.
const PREFIX: &str = "KEYWAYD_";
/// Names the configuration file.
pub(super) const CONFIG: &str = "KEYWAYD_CONFIG";

/// The variables that start with `KEYWAYD_`.
pub(super) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    pub(super) fn new(all: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = all.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self(ours.filter(|(name, _)| name.starts_with(PREFIX)).collect())
    }

    /// The configuration file that the environment names.
    pub(super) fn config(&self) -> Option<&OsStr> {
        self.0.get(CONFIG).map(OsString::as_os_str)
    }

    /// Puts the settings into `layers`, and returns the variables that mean nothing.
    pub(super) fn read(
        &self,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
        layers: &mut Layers,
    ) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, value) in self.0.iter().filter(|(name, _)| *name != CONFIG) {
            let path = path(name);
            let origin = Origin::Variable(name.clone());
            if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
                unknown.push(name.clone());
                continue;
            }
            let Some(value) = value.to_str() else {
                layers.problem(origin, format!("the value of `{name}` is not UTF-8"), "correct the variable");
                continue;
            };
            if layers.is_key(&path) {
                layers.set(&path, Given::loose(value.to_owned()), origin);
            } else if let Some(key) = path.strip_suffix("_file").filter(|key| layers.is_key(key)) {
                self.read_indirect(key, name, value, read_file, layers);
            } else if layers.is_not_yet(&path) {
                layers.refuse(&path, origin);
            } else {
                unknown.push(name.clone());
            }
        }
        unknown
    }

    /// Sets `key` from the file that the variable `name` points to.
    fn read_indirect(
        &self,
        key: &str,
        name: &str,
        file: &str,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
        layers: &mut Layers,
    ) {
        let origin = Origin::Variable(name.to_owned());
        let direct = variable(key);
        if layers.is_not_yet(key) {
            layers.refuse(key, origin);
            return;
        }
        if self.0.contains_key(&direct) {
            layers.problem(origin, format!("`{direct}` and `{name}` are both set"), "unset one of them");
            return;
        }
        match read_file(Path::new(file)) {
            Ok(mut text) => {
                // Most ways to write such a file end it with a newline that is not part of the value.
                if text.ends_with('\n') {
                    text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
                }
                layers.set(key, Given::loose(text), origin);
            }
            Err(error) => {
                let hint = format!("put the value of `{key}` into that file, or unset the variable");
                // Whoever takes the variable for the value itself finds no secret in the log.
                let shown = if file.starts_with(['/', '.']) { file } else { "the file that it names" };
                layers.problem(origin, format!("cannot read {shown}: {error}"), hint);
            }
        }
    }
}

/// Notes that `name` is no variable of ours.
pub(super) fn reject(name: &str, layers: &mut Layers) {
    let hint = suggest::variable(&path(name), layers.supported());
    layers.problem(Origin::Variable(name.to_owned()), format!("unknown variable `{name}`"), hint);
}

/// The variable that sets `path`.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}

/// The key that `name` sets, if there is such a key.
fn path(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase().replace("__", ".")
}
