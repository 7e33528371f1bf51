//! "did you mean": the nearest name to one that does not exist.

use super::environment;

/// Names less alike than this are not suggested; from 0 to 1.
const ALIKE: f64 = 0.82;
/// What a name in the same table is preferred by.
const SAME_TABLE: f64 = 0.05;

/// What to do about the unknown key `path`.
pub(super) fn key<'a>(path: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(path, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`keywayd config example` lists all settings".to_owned(),
    }
}

/// What to do about an unknown variable, whose name stands for `path`.
pub(super) fn variable<'a>(path: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(path, known) {
        Some(name) => format!("did you mean `{}`?", environment::variable(name)),
        None => {
            "names that start with `KEYWAYD_` are settings; `keywayd config example` lists them".to_owned()
        }
    }
}

/// The most similar of the known paths: of the same table, or with such a name in
/// another table, or similar as a whole. Names are compared by Jaro-Winkler, which
/// favours a common beginning; for whole paths that would favour the table.
fn nearest<'a>(path: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let split = |path: &'a str| path.rsplit_once('.').unwrap_or(("", path));
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    let likeness = |candidate: &'a str| {
        let (its_table, its_name) = split(candidate);
        let names = strsim::jaro_winkler(name, its_name);
        if table == its_table {
            names + SAME_TABLE
        } else {
            names.max(strsim::normalized_damerau_levenshtein(path, candidate))
        }
    };
    let best = known.map(|candidate| (likeness(candidate), candidate)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_in_the_table_then_elsewhere() {
        let known =
            ["server", "server.listen", "server.public_url", "storage", "storage.data_dir", "metrics.listen"];
        for (wrong, right) in [
            ("server.lisen", "server.listen"),
            ("server.publicurl", "server.public_url"),
            ("server.data_dir", "storage.data_dir"),
            ("servr", "server"),
            ("data_dir", "storage.data_dir"),
            ("server_public_url", "server.public_url"),
        ] {
            assert_eq!(nearest(wrong, known.into_iter()), Some(right), "{wrong}");
        }
        assert_eq!(nearest("server.colour", known.into_iter()), None);
    }
}
