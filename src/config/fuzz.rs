//! What fuzzers try of this room (see `base::fuzz`).

use super::{Overrides, load};

/// A configuration file.
pub fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = |path: &std::path::Path| match path.to_str() {
        Some("keywayd.toml") => Ok(text.to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let overrides = Overrides { config: Some("keywayd.toml".into()), ..Overrides::default() };
    match load(&overrides, [], &read) {
        Ok(loaded) => {
            let shown = loaded.show();
            let secret = loaded.settings.identity.github.client_secret.as_ref();
            let leaked = secret.is_some_and(|secret| secret.len() > 12 && shown.contains(secret.expose()));
            assert!(!leaked, "a secret is shown");
        }
        Err(problems) => {
            assert!(problems.iter().count() > 0, "it is refused without a word");
            for problem in problems.iter() {
                assert!(!problem.cause.is_empty() && !problem.hint.is_empty(), "it is refused without help");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn stored_files_are_tried() {
        crate::base::fuzz::replay("config", super::file);
    }
}
