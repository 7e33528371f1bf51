//! That a preview is what the synchronisation does, over random pairs of states: every service, both directions, with
//! and without deletions.

use super::integrations::{PROJECT, World, counts};
use super::services::Service;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Pairs of states for each service.
const CASES: u32 = 24;

/// What a name has on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Nothing,
    One,
    Two,
    /// At the service: a value that is told to nobody. In the vault: the same value.
    Sealed,
}

impl Side {
    fn text(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::One => Some("one"),
            Self::Two => Some("two"),
            Self::Sealed => Some("sealed"),
        }
    }
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Nothing), Just(Side::One), Just(Side::Two), Just(Side::Sealed)]
}

/// Names of all sorts: ordinary ones, one that the platform keeps for itself, and one that no vault can hold.
fn names(service: &str) -> [String; 6] {
    let own = match service {
        "vercel" => "VERCEL_URL",
        "netlify" => "NETLIFY_X",
        "railway" => "RAILWAY_ENVIRONMENT_ID",
        _ => "FLY_REGION",
    };
    ["KEY_0", "KEY_1", "KEY_2", "lower", "with-dash", own].map(str::to_owned)
}

fn pairs(
    names: &[String],
    states: &[(Side, Side)],
    pick: fn(&(Side, Side)) -> Side,
) -> BTreeMap<String, Side> {
    let all = names.iter().zip(states).map(|(name, state)| (name.clone(), pick(state)));
    all.filter(|(_, side)| *side != Side::Nothing).collect()
}

fn texts(sides: &BTreeMap<String, Side>) -> BTreeMap<String, String> {
    let text = |side: &Side| side.text().unwrap_or_default().to_owned();
    sides.iter().map(|(name, side)| (name.clone(), text(side))).collect()
}

/// One pair of states, brought about, previewed, synchronised and looked at.
fn check(
    world: &World,
    states: &[(Side, Side)],
    direction: &str,
    allow_delete: bool,
) -> Result<(), TestCaseError> {
    let name = world.service.name;
    let names = names(name);
    let (mut mine, theirs) = (pairs(&names, states, |state| state.0), pairs(&names, states, |state| state.1));
    mine.remove("with-dash");
    world.service.clear(PROJECT);
    for (key, side) in &theirs {
        match side {
            Side::Sealed => world.service.seal(PROJECT, key, "sealed"),
            _ => world.service.put(PROJECT, key, side.text().unwrap_or_default()),
        }
    }
    let (mine, theirs) = (texts(&mine), texts(&theirs));
    world.push(&json!(mine));
    let preview = world.preview(direction, allow_delete);
    let list = |what: &str| -> Vec<String> { serde_json::from_value(preview[what].clone()).expect("names") };
    let writes = world.service.writes();
    let result = world.sync(direction, allow_delete);
    let announced = ["toCreate", "toUpdate", "toDelete", "toSkip"].map(|what| list(what).len() as u64);
    prop_assert_eq!(counts(&result), announced, "{}: {}, {}", name, preview, result);
    prop_assert_eq!(&result["status"], &json!("success"), "{}: {}", name, result);
    let wrote = world.service.writes() > writes;
    prop_assert_eq!(wrote, direction == "push" && announced[..3] != [0, 0, 0], "{}: {}", name, preview);
    // What each side holds now is what it held, with what was announced, and nothing else.
    let (vault, service) = (world.secrets(), json!(world.values()));
    let (before, source) = if direction == "pull" { (&mine, &theirs) } else { (&theirs, &mine) };
    let mut after = before.clone();
    for key in list("toCreate").into_iter().chain(list("toUpdate")) {
        after.insert(key.clone(), source[&key].clone());
    }
    after.retain(|key, _| !list("toDelete").contains(key));
    let (expected_vault, expected_service) =
        if direction == "pull" { (json!(after), json!(theirs)) } else { (json!(mine), json!(after)) };
    prop_assert_eq!(vault, expected_vault, "{}: {}", name, preview);
    prop_assert_eq!(service, expected_service, "{}: {}", name, preview);
    // And then there is nothing left to do.
    let again: Value = world.preview(direction, allow_delete);
    let left = ["toCreate", "toDelete"].map(|what| again[what].clone());
    prop_assert_eq!(left, [json!([]), json!([])], "{}: {}", name, again);
    prop_assert_eq!(&again["toUpdate"], &json!([]), "{}: {}", name, again);
    Ok(())
}

fn holds_for(service: Service) {
    let world = World::new(service);
    let states = (proptest::collection::vec((side(), side()), 6), any::<bool>(), any::<bool>());
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&states, |(states, pull, allow_delete)| {
        check(&world, &states, if pull { "pull" } else { "push" }, allow_delete)
    });
    outcome.unwrap_or_else(|error| panic!("{}: {error}", world.service.name));
}

#[test]
fn a_preview_is_what_happens_at_vercel() {
    holds_for(Service::vercel());
}

#[test]
fn a_preview_is_what_happens_at_netlify() {
    holds_for(Service::netlify());
}

#[test]
fn a_preview_is_what_happens_at_railway() {
    holds_for(Service::railway());
}

#[test]
fn a_preview_is_what_happens_at_fly() {
    holds_for(Service::fly());
}
