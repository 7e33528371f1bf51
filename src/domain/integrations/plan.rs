//! What a synchronisation will do, worked out without doing it. The preview shows a
//! plan and the synchronisation carries one out, both from this one function, so the
//! two cannot disagree.
//!
//! A value that the service does not tell is never taken for empty: it may be known
//! from what we put there ([`Seen::Digest`]), and else counts as different. A push then
//! writes it, a pull leaves it.

use crate::base::{SecretName, SecretText};
use std::collections::{BTreeMap, BTreeSet};

/// Which way values go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the vault to the service.
    #[default]
    Push,
    /// From the service into the vault.
    Pull,
}

impl Direction {
    /// The direction's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

/// What is known of a variable's value at the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// This is it.
    Value(SecretText),
    /// Its keyed hash, from when it was last seen.
    Digest([u8; 32]),
    /// Nothing.
    Unknown,
    /// It could have been had, but was not, for want of time.
    Unasked,
}

/// The keyed hash of a value under its name.
pub(super) type Digest<'a> = &'a dyn Fn(&SecretName, &SecretText) -> [u8; 32];

/// Both sides.
pub(super) struct Sides<'a> {
    /// What the vault has.
    pub(super) vault: &'a BTreeMap<SecretName, SecretText>,
    /// What the service has, by the names it uses.
    pub(super) service: &'a BTreeMap<String, Seen>,
    /// Whether a name belongs to the platform, or to something else there.
    pub(super) is_left_alone: &'a dyn Fn(&str) -> bool,
    /// Whether the vault can hold a value.
    pub(super) is_storable: &'a dyn Fn(&SecretText) -> bool,
    /// Makes keyed hashes.
    pub(super) digest: Digest<'a>,
}

/// What is to be done, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Missing where the values go.
    pub(super) create: BTreeSet<String>,
    /// There with another value, or with one nobody knows.
    pub(super) update: BTreeSet<String>,
    /// Only there, and to be removed.
    pub(super) delete: BTreeSet<String>,
    /// Stays as it is: equal, unreadable, or not ours to change.
    pub(super) skip: BTreeSet<String>,
    /// Could not be compared in the time there was; the next time may do.
    pub(super) unreached: BTreeSet<String>,
}

/// How two values of one name compare.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Different,
    Unknown,
}

impl Sides<'_> {
    fn compare(&self, name: &SecretName, mine: &SecretText, theirs: &Seen) -> Verdict {
        let same = match theirs {
            Seen::Value(value) => value == mine,
            Seen::Digest(digest) => (self.digest)(name, mine) == *digest,
            Seen::Unknown | Seen::Unasked => return Verdict::Unknown,
        };
        if same { Verdict::Same } else { Verdict::Different }
    }

    /// The plan for one direction.
    pub(super) fn plan(&self, direction: Direction, allow_delete: bool) -> Plan {
        let mut plan = Plan::default();
        for (name, mine) in self.vault {
            let theirs = self.service.get(name.as_str());
            match direction {
                _ if (self.is_left_alone)(name.as_str()) => {
                    plan.skip.insert(name.to_string());
                }
                Direction::Push => self.push_one(&mut plan, name, mine, theirs),
                Direction::Pull => self.pull_one(&mut plan, name, mine, theirs, allow_delete),
            }
        }
        for (name, theirs) in self.service.iter().filter(|(name, _)| !(self.is_left_alone)(name)) {
            let known = SecretName::parse(name);
            if known.as_ref().is_ok_and(|name| self.vault.contains_key(name)) {
                continue;
            }
            let into = match (direction, theirs) {
                (Direction::Push, _) if allow_delete => &mut plan.delete,
                (Direction::Push, _) => continue,
                (Direction::Pull, Seen::Value(value)) if known.is_ok() && (self.is_storable)(value) => {
                    &mut plan.create
                }
                (Direction::Pull, Seen::Unasked) if known.is_ok() => &mut plan.unreached,
                (Direction::Pull, _) => &mut plan.skip,
            };
            into.insert(name.clone());
        }
        plan
    }

    fn push_one(&self, plan: &mut Plan, name: &SecretName, mine: &SecretText, theirs: Option<&Seen>) {
        let into = match theirs.map(|theirs| self.compare(name, mine, theirs)) {
            None => &mut plan.create,
            Some(Verdict::Same) => &mut plan.skip,
            Some(Verdict::Different | Verdict::Unknown) => &mut plan.update,
        };
        into.insert(name.to_string());
    }

    fn pull_one(
        &self,
        plan: &mut Plan,
        name: &SecretName,
        mine: &SecretText,
        theirs: Option<&Seen>,
        allow_delete: bool,
    ) {
        let into = match theirs {
            None if allow_delete => &mut plan.delete,
            None => return,
            Some(Seen::Unasked) => &mut plan.unreached,
            Some(theirs @ Seen::Value(value))
                if self.compare(name, mine, theirs) == Verdict::Different && (self.is_storable)(value) =>
            {
                &mut plan.update
            }
            Some(_) => &mut plan.skip,
        };
        into.insert(name.to_string());
    }

    /// Both sides side by side.
    pub(super) fn diff(&self) -> Diff {
        let mut diff = Diff::default();
        let visible = |name: &str| !(self.is_left_alone)(name);
        for (name, mine) in self.vault.iter().filter(|(name, _)| visible(name.as_str())) {
            diff.keyway_count += 1;
            let into = match self.service.get(name.as_str()).map(|theirs| self.compare(name, mine, theirs)) {
                None => &mut diff.only_in_keyway,
                Some(Verdict::Same) => &mut diff.same,
                Some(Verdict::Different | Verdict::Unknown) => &mut diff.different,
            };
            into.push(name.to_string());
        }
        for name in self.service.keys().filter(|name| visible(name)) {
            diff.provider_count += 1;
            if SecretName::parse(name).map_or(true, |name| !self.vault.contains_key(&name)) {
                diff.only_in_provider.push(name.clone());
            }
        }
        diff
    }
}

/// The names of both sides, sorted into those that agree and those that do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// How many secrets the environment has.
    pub keyway_count: usize,
    /// How many variables the service has there.
    pub provider_count: usize,
    /// Only in the environment.
    pub only_in_keyway: Vec<String>,
    /// Only at the service.
    pub only_in_provider: Vec<String>,
    /// In both, with different values, or with one that nobody can read.
    pub different: Vec<String>,
    /// In both, with the same value.
    pub same: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &str) -> SecretText {
        SecretText::new(value.to_owned())
    }

    fn fake_digest(name: &SecretName, value: &SecretText) -> [u8; 32] {
        let mut digest = [0; 32];
        for (at, byte) in name.as_str().bytes().chain([b'=']).chain(value.expose().bytes()).enumerate() {
            digest[at % 32] ^= byte.rotate_left(u32::try_from(at / 32).unwrap());
        }
        digest
    }

    fn plan(
        vault: &BTreeMap<SecretName, SecretText>,
        service: &BTreeMap<String, Seen>,
        direction: Direction,
        allow_delete: bool,
    ) -> Plan {
        let sides = Sides {
            vault,
            service,
            is_left_alone: &|name| name.starts_with("SYSTEM_"),
            is_storable: &|value| !value.expose().contains('\0'),
            digest: &fake_digest,
        };
        sides.plan(direction, allow_delete)
    }

    fn vault(pairs: &[(&str, &str)]) -> BTreeMap<SecretName, SecretText> {
        pairs.iter().map(|(name, value)| (SecretName::parse(name).unwrap(), text(value))).collect()
    }

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_cannot_be_read_is_written_on_push_and_left_on_pull() {
        let vault =
            vault(&[("KNOWN", "1"), ("CHANGED", "2"), ("HIDDEN", "3"), ("SYSTEM_X", "4"), ("NEW", "")]);
        let digest = |name: &str, value: &str| {
            Seen::Digest(fake_digest(&SecretName::parse(name).unwrap(), &text(value)))
        };
        let service = BTreeMap::from([
            ("KNOWN".to_owned(), digest("KNOWN", "1")),
            ("CHANGED".to_owned(), digest("CHANGED", "old")),
            ("HIDDEN".to_owned(), Seen::Unknown),
            ("OTHER".to_owned(), Seen::Unknown),
            ("not-a-name".to_owned(), Seen::Value(text("x"))),
            ("NUL".to_owned(), Seen::Value(text("\0"))),
        ]);
        let push = plan(&vault, &service, Direction::Push, false);
        assert_eq!(push.create, names(&["NEW"]));
        assert_eq!(push.update, names(&["CHANGED", "HIDDEN"]));
        assert_eq!(push.skip, names(&["KNOWN", "SYSTEM_X"]));
        assert_eq!(push.delete, names(&[]));
        let push = plan(&vault, &service, Direction::Push, true);
        assert_eq!(push.delete, names(&["OTHER", "not-a-name", "NUL"]));
        let pull = plan(&vault, &service, Direction::Pull, true);
        assert_eq!(
            pull.skip,
            names(&["KNOWN", "CHANGED", "HIDDEN", "SYSTEM_X", "OTHER", "not-a-name", "NUL"])
        );
        assert_eq!((pull.create, pull.update, pull.delete), (names(&[]), names(&[]), names(&["NEW"])));
    }

    #[test]
    fn what_there_was_no_time_to_ask_for_is_neither_changed_nor_called_equal() {
        let vault = vault(&[("A", "1")]);
        let service = BTreeMap::from([("A".to_owned(), Seen::Unasked), ("B".to_owned(), Seen::Unasked)]);
        let pull = plan(&vault, &service, Direction::Pull, true);
        assert_eq!(pull, Plan { unreached: names(&["A", "B"]), ..Plan::default() });
        let push = plan(&vault, &service, Direction::Push, false);
        assert_eq!(push, Plan { update: names(&["A"]), ..Plan::default() });
    }

    fn seen() -> impl Strategy<Value = Seen> {
        prop_oneof![
            3 => "[ab]{0,2}".prop_map(|value| Seen::Value(SecretText::new(value))),
            1 => Just(Seen::Unknown),
        ]
    }

    proptest! {
        /// Every name is dealt with once, and carrying a plan out leaves nothing to do.
        #[test]
        fn a_plan_carried_out_leaves_nothing_to_do(
            mine in proptest::collection::btree_map("[A-D]|SYSTEM_[AB]", "[ab]{0,2}", 0..6),
            theirs in proptest::collection::btree_map("[A-D]|SYSTEM_[AB]|no-name", seen(), 0..6),
            pull: bool,
            allow_delete: bool,
        ) {
            let direction = if pull { Direction::Pull } else { Direction::Push };
            let mut vault: BTreeMap<SecretName, SecretText> = mine.into_iter()
                .map(|(name, value)| (SecretName::parse(&name).unwrap(), SecretText::new(value))).collect();
            let mut service = theirs;
            let first = plan(&vault, &service, direction, allow_delete);
            let all = [&first.create, &first.update, &first.delete, &first.skip];
            let total: usize = all.iter().map(|names| names.len()).sum();
            let union: BTreeSet<_> = all.iter().copied().flatten().collect();
            prop_assert_eq!(total, union.len());
            prop_assert!(union.iter().all(|name| !name.starts_with("SYSTEM_") || first.skip.contains(*name)));
            prop_assert!(allow_delete || first.delete.is_empty());

            for name in first.create.iter().chain(&first.update) {
                let key = SecretName::parse(name).unwrap();
                if pull {
                    let Some(Seen::Value(value)) = service.get(name).cloned() else { panic!("pulled from nowhere") };
                    vault.insert(key, value);
                } else {
                    service.insert(name.clone(), Seen::Value(vault[&key].clone()));
                }
            }
            for name in &first.delete {
                if pull { vault.remove(&SecretName::parse(name).unwrap()); } else { service.remove(name); }
            }
            let second = plan(&vault, &service, direction, allow_delete);
            prop_assert!(second.create.is_empty() && second.update.is_empty() && second.delete.is_empty());
        }
    }
}
