//! Any sequence of changes, against a plain model in memory: what is visible, the versions, the trash and the
//! states to go back to are the same, and stay the same when the server is killed, between two requests or in
//! the middle of one. A request that was cut off has happened whole or not at all.

use super::harness::{Appliance, Client, Request, Wire};
use super::services::{Service, TOKEN, Vercel};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const REPO: &str = "acme/app";
const ENVIRONMENTS: [&str; 5] = ["local", "development", "staging", "production", "preview"];
/// At the service.
const PROJECT: &str = "app-0";
const KEYS: [&str; 4] = ["A", "B", "C", "D"];
/// Few, so that going back often meets values that are gone.
const VERSIONS_KEPT: u64 = 3;

/// One change. Numbers choose among what is there at that time.
#[derive(Clone, Debug)]
enum Op {
    Push(usize, BTreeMap<usize, u8>),
    Set(usize, usize, u8),
    Rename(usize, usize, usize),
    Delete(usize, usize),
    RestoreSecret(usize),
    PurgeSecret(usize),
    EmptyTrash,
    RestoreVersion(usize, usize, usize),
    Revert(usize, usize),
    CreateEnvironment(usize),
    RenameEnvironment(usize, usize),
    DeleteEnvironment(usize),
    RestoreEnvironment(usize),
    PurgeEnvironment(usize),
    DeleteAndRestoreVault,
    /// Pulls these from a service; whether what it does not have is deleted.
    Sync(usize, BTreeMap<usize, u8>, bool),
}

/// What happens to the server meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    /// Killed after the answer.
    KilledAfter,
    /// Killed as soon as the request is sent.
    KilledDuring,
}

fn steps() -> impl Strategy<Value = Vec<(Op, Fate)>> {
    let environment = 0..ENVIRONMENTS.len();
    let (key, value, some) = (0..KEYS.len(), 0..4_u8, 0..8_usize);
    let pairs = prop::collection::btree_map(key.clone(), value.clone(), 0..4);
    let op = prop_oneof![
        4 => (environment.clone(), pairs.clone()).prop_map(|(environment, pairs)| Op::Push(environment, pairs)),
        2 => (environment.clone(), pairs, any::<bool>()).prop_map(|(e, pairs, delete)| Op::Sync(e, pairs, delete)),
        6 => (environment.clone(), key.clone(), value).prop_map(|(e, k, v)| Op::Set(e, k, v)),
        2 => (environment.clone(), key.clone(), key.clone()).prop_map(|(e, k, l)| Op::Rename(e, k, l)),
        3 => (environment.clone(), key.clone()).prop_map(|(e, k)| Op::Delete(e, k)),
        3 => some.clone().prop_map(Op::RestoreSecret),
        1 => some.clone().prop_map(Op::PurgeSecret),
        1 => Just(Op::EmptyTrash),
        3 => (environment.clone(), key, some.clone()).prop_map(|(e, k, v)| Op::RestoreVersion(e, k, v)),
        4 => (environment.clone(), some.clone()).prop_map(|(e, r)| Op::Revert(e, r)),
        1 => environment.clone().prop_map(Op::CreateEnvironment),
        2 => (environment.clone(), environment.clone()).prop_map(|(e, f)| Op::RenameEnvironment(e, f)),
        2 => environment.prop_map(Op::DeleteEnvironment),
        3 => some.clone().prop_map(Op::RestoreEnvironment),
        1 => some.prop_map(Op::PurgeEnvironment),
        1 => Just(Op::DeleteAndRestoreVault),
    ];
    let fate = prop_oneof![
        20 => Just(Fate::Lives),
        1 => Just(Fate::KilledAfter),
        2 => Just(Fate::KilledDuring),
    ];
    prop::collection::vec((op, fate), 10..50)
}

/// A secret, wherever it is. Its place in [`Model::secrets`] is who it is.
#[derive(Clone, Debug)]
struct Secret {
    /// What the server calls it, once it has told.
    id: Option<String>,
    key: String,
    value: String,
    number: u64,
    versions: BTreeMap<u64, String>,
}

#[derive(Clone, Debug)]
struct Environment {
    name: String,
    living: BTreeSet<usize>,
    trash: BTreeSet<usize>,
    /// The states it went through: who was in it, under which key, with which version.
    states: Vec<Vec<(usize, String, u64)>>,
}

#[derive(Clone, Debug)]
struct Model {
    secrets: Vec<Secret>,
    living: Vec<Environment>,
    trash: Vec<Environment>,
}

impl Model {
    fn new() -> Self {
        let environment = |name: &&str| Environment {
            name: (*name).to_owned(),
            living: BTreeSet::new(),
            trash: BTreeSet::new(),
            states: vec![Vec::new()],
        };
        let living = ENVIRONMENTS[..4].iter().map(environment).collect();
        Self { secrets: Vec::new(), living, trash: Vec::new() }
    }

    fn environment(&self, name: &str) -> Option<usize> {
        self.living.iter().position(|environment| environment.name == name)
    }

    fn named(&self, environment: usize, key: &str) -> Option<usize> {
        self.living[environment].living.iter().copied().find(|&who| self.secrets[who].key == key)
    }

    /// The trash of living environments: environment and secret.
    fn trashed(&self) -> Vec<(usize, usize)> {
        let environments = self.living.iter().enumerate();
        environments
            .flat_map(|(at, environment)| environment.trash.iter().map(move |&who| (at, who)))
            .collect()
    }

    fn set(&mut self, environment: usize, key: &str, value: &str) -> bool {
        let Some(who) = self.named(environment, key) else {
            self.secrets.push(Secret {
                id: None,
                key: key.to_owned(),
                value: value.to_owned(),
                number: 1,
                versions: BTreeMap::new(),
            });
            self.living[environment].living.insert(self.secrets.len() - 1);
            return true;
        };
        self.overwrite(who, value)
    }

    /// One step that sets all these, and may delete all others.
    fn write(&mut self, environment: usize, pairs: &BTreeMap<&str, String>, delete: bool) {
        let there: Vec<_> = self.living[environment].living.iter().copied().collect();
        let mut changed = false;
        for who in there {
            if delete && !pairs.contains_key(self.secrets[who].key.as_str()) {
                self.remove(environment, who);
                changed = true;
            }
        }
        for (key, value) in pairs {
            changed |= self.set(environment, key, value);
        }
        if changed {
            self.note_state(environment);
        }
    }

    fn overwrite(&mut self, who: usize, value: &str) -> bool {
        let secret = &mut self.secrets[who];
        if secret.value == value {
            return false;
        }
        let old = std::mem::replace(&mut secret.value, value.to_owned());
        secret.versions.insert(secret.number, old);
        secret.versions.retain(|&number, _| number + VERSIONS_KEPT > secret.number);
        secret.number += 1;
        true
    }

    fn remove(&mut self, environment: usize, who: usize) {
        self.living[environment].living.remove(&who);
        self.living[environment].trash.insert(who);
    }

    fn note_state(&mut self, environment: usize) {
        let secrets = &self.secrets;
        let environment = &mut self.living[environment];
        let state =
            environment.living.iter().map(|&who| (who, secrets[who].key.clone(), secrets[who].number));
        environment.states.push(state.collect());
    }

    /// Goes back to a state; `false` if a value of it is gone.
    fn revert(&mut self, environment: usize, state: usize) -> bool {
        let state = self.living[environment].states[state].clone();
        let mut wanted = Vec::new();
        for (who, key, number) in state {
            let there = [&self.living[environment].living, &self.living[environment].trash];
            let secret = &self.secrets[who];
            let value =
                if number == secret.number { Some(&secret.value) } else { secret.versions.get(&number) };
            match value {
                Some(value) if there.iter().any(|set| set.contains(&who)) => {
                    wanted.push((who, key, value.clone()))
                }
                _ => return false,
            }
        }
        let before: Vec<_> = self.living[environment].living.iter().copied().collect();
        let mut changed = false;
        for who in before {
            if !wanted.iter().any(|(other, ..)| *other == who) {
                self.remove(environment, who);
                changed = true;
            }
        }
        for (who, key, value) in wanted {
            changed |= self.living[environment].trash.remove(&who);
            self.living[environment].living.insert(who);
            changed |= self.overwrite(who, &value);
            changed |= std::mem::replace(&mut self.secrets[who].key, key.clone()) != key;
        }
        if changed {
            self.note_state(environment);
        }
        true
    }
}

/// A call, the status it must be answered with, and the model after it. `None`: there is nothing to call on.
type Planned = Option<(Request, u16, Model)>;

/// Works out what `op` comes to. Ids that are not known yet are in the model by then: each comparison learns them.
fn plan(model: &Model, op: &Op, client: &Client, service: &Connected) -> Planned {
    let mut after = model.clone();
    let base = format!("/v1/vaults/{REPO}");
    let id = |who: usize| model.secrets[who].id.clone().expect("ids were learnt");
    let request = |method: &str, path: String| Request::new(method, &format!("{base}{path}"));
    match op {
        Op::Push(environment, pairs) => {
            let at = model.environment(ENVIRONMENTS[*environment])?;
            let pairs: BTreeMap<&str, String> =
                pairs.iter().map(|(key, value)| (KEYS[*key], value.to_string())).collect();
            after.write(at, &pairs, true);
            let body =
                json!({ "repoFullName": REPO, "environment": ENVIRONMENTS[*environment], "secrets": pairs });
            Some((Request::new("POST", "/v1/secrets/push").json(&body), 200, after))
        }
        Op::Set(environment, key, value) => {
            let at = model.environment(ENVIRONMENTS[*environment])?;
            let (key, value) = (KEYS[*key], value.to_string());
            if after.set(at, key, &value) {
                after.note_state(at);
            }
            Some(match model.named(at, key) {
                Some(who) => (
                    request("PATCH", format!("/secrets/{}", id(who))).json(&json!({ "value": value })),
                    200,
                    after,
                ),
                None => {
                    let body =
                        json!({ "key": key, "value": value, "environment": ENVIRONMENTS[*environment] });
                    (request("POST", "/secrets".into()).json(&body), 201, after)
                }
            })
        }
        Op::Rename(environment, from, to) => {
            let at = model.environment(ENVIRONMENTS[*environment])?;
            let who = model.named(at, KEYS[*from])?;
            let call = request("PATCH", format!("/secrets/{}", id(who))).json(&json!({ "name": KEYS[*to] }));
            if from == to {
                return Some((call, 200, after));
            }
            if model.named(at, KEYS[*to]).is_some() {
                return Some((call, 409, after));
            }
            KEYS[*to].clone_into(&mut after.secrets[who].key);
            after.note_state(at);
            Some((call, 200, after))
        }
        Op::Delete(environment, key) => {
            let at = model.environment(ENVIRONMENTS[*environment])?;
            let who = model.named(at, KEYS[*key])?;
            after.remove(at, who);
            after.note_state(at);
            Some((request("DELETE", format!("/secrets/{}", id(who))), 204, after))
        }
        Op::RestoreSecret(which) => {
            let trash = model.trashed();
            let &(at, who) = trash.get(which % trash.len().max(1))?;
            let call = request("POST", format!("/trash/{}/restore", id(who)));
            if model.named(at, &model.secrets[who].key).is_some() {
                return Some((call, 409, after));
            }
            after.living[at].trash.remove(&who);
            after.living[at].living.insert(who);
            after.note_state(at);
            Some((call, 200, after))
        }
        Op::PurgeSecret(which) => {
            let trash = model.trashed();
            let &(at, who) = trash.get(which % trash.len().max(1))?;
            after.living[at].trash.remove(&who);
            Some((request("DELETE", format!("/trash/{}", id(who))), 204, after))
        }
        Op::EmptyTrash => {
            after.living.iter_mut().for_each(|environment| environment.trash.clear());
            Some((request("DELETE", "/trash".into()), 200, after))
        }
        Op::RestoreVersion(environment, key, which) => {
            let at = model.environment(ENVIRONMENTS[*environment])?;
            let who = model.named(at, KEYS[*key])?;
            let versions: Vec<_> = model.secrets[who].versions.iter().collect();
            let (number, value) = versions.get(which % versions.len().max(1))?;
            let listed = client.get(&format!("{base}/secrets/{}/versions", id(who))).ok();
            let listed = listed["versions"].as_array().cloned().unwrap_or_default();
            let version = listed.iter().find(|version| version["versionNumber"] == **number);
            let version = text(version.expect("the version is listed"), "id").to_owned();
            if after.overwrite(who, value) {
                after.note_state(at);
            }
            Some((request("POST", format!("/secrets/{}/versions/{version}/restore", id(who))), 200, after))
        }
        Op::Revert(environment, which) => {
            let at = model.environment(ENVIRONMENTS[*environment])?;
            let name = ENVIRONMENTS[*environment];
            let path = format!("{base}/environments/{name}/revisions?limit=100");
            let listed = client.get(&path).ok();
            let listed = listed.as_array().cloned().unwrap_or_default();
            let states = model.living[at].states.len();
            if states == 1 {
                assert!(listed.is_empty(), "nobody has changed it yet: {listed:?}");
                return None;
            }
            assert_eq!(listed.len(), states.min(50), "states of {name}");
            let back = which % listed.len();
            let call = request(
                "POST",
                format!("/environments/{name}/revisions/{}/restore", text(&listed[back], "id")),
            );
            let status = if after.revert(at, states - 1 - back) { 200 } else { 409 };
            Some((call, status, if status == 200 { after } else { model.clone() }))
        }
        Op::CreateEnvironment(environment) => {
            let name = ENVIRONMENTS[*environment];
            let call = request("POST", "/environments".into()).json(&json!({ "name": name }));
            if model.environment(name).is_some() {
                return Some((call, 409, after));
            }
            after.living.push(Environment {
                name: name.to_owned(),
                living: BTreeSet::new(),
                trash: BTreeSet::new(),
                states: vec![Vec::new()],
            });
            Some((call, 201, after))
        }
        Op::RenameEnvironment(from, to) => {
            let at = model.environment(ENVIRONMENTS[*from])?;
            let body = json!({ "newName": ENVIRONMENTS[*to] });
            let call = request("PATCH", format!("/environments/{}", ENVIRONMENTS[*from])).json(&body);
            if from != to && model.environment(ENVIRONMENTS[*to]).is_some() {
                return Some((call, 409, after));
            }
            ENVIRONMENTS[*to].clone_into(&mut after.living[at].name);
            Some((call, 200, after))
        }
        Op::DeleteEnvironment(environment) => {
            let at = model.environment(ENVIRONMENTS[*environment])?;
            let call = request("DELETE", format!("/environments/{}", ENVIRONMENTS[*environment]));
            if model.living.len() == 1 {
                return Some((call, 403, after));
            }
            let gone = after.living.remove(at);
            after.trash.push(gone);
            Some((call, 200, after))
        }
        Op::RestoreEnvironment(which) => {
            let at = which % model.trash.len().max(1);
            let name = &model.trash.get(at)?.name;
            let call =
                request("POST", format!("/trash/environments/{}/restore", trashed_id(client, model, at)));
            if model.environment(name).is_some() {
                return Some((call, 409, after));
            }
            let back = after.trash.remove(at);
            after.living.push(back);
            Some((call, 200, after))
        }
        Op::PurgeEnvironment(which) => {
            let at = which % model.trash.len().max(1);
            model.trash.get(at)?;
            let call = request("DELETE", format!("/trash/environments/{}", trashed_id(client, model, at)));
            after.trash.remove(at);
            Some((call, 204, after))
        }
        Op::DeleteAndRestoreVault => {
            client.delete(&base).no_content();
            client.get(&base).refused(404);
            let trashed = client.get("/v1/trash/vaults").ok();
            let call = format!("/v1/trash/vaults/{}/restore", text(&trashed[0], "id"));
            Some((Request::new("POST", &call), 200, after))
        }
        Op::Sync(environment, pairs, delete) => {
            let name = ENVIRONMENTS[*environment];
            let at = model.environment(name)?;
            let pairs: BTreeMap<&str, String> =
                pairs.iter().map(|(key, value)| (KEYS[*key], value.to_string())).collect();
            service.played.with(|vercel: &mut Vercel| vercel.records.clear());
            for (key, value) in &pairs {
                service.played.put(PROJECT, key, value);
            }
            after.write(at, &pairs, *delete);
            let body = json!({
                "connectionId": service.connection, "projectId": PROJECT, "keywayEnvironment": name,
                "direction": "pull", "allowDelete": delete,
            });
            let call = format!("/v1/integrations/vaults/{REPO}/sync");
            Some((Request::new("POST", &call).json(&body), 200, after))
        }
    }
}

/// A service to pull from.
struct Connected {
    played: Service,
    connection: String,
}

/// The id of a deleted environment; they are listed last deleted first.
fn trashed_id(client: &Client, model: &Model, at: usize) -> String {
    let listed = client.get(&format!("/v1/vaults/{REPO}/trash/environments?limit=100")).ok();
    let one = &listed[model.trash.len() - 1 - at];
    assert_eq!(text(one, "environment"), model.trash[at].name);
    text(one, "id").to_owned()
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_else(|| panic!("no text `{member}` in {value}"))
}

/// Compares everything that can be seen with the model, which learns the ids of new secrets. What differs is told.
fn differences(model: &mut Model, client: &Client) -> Result<(), String> {
    let base = format!("/v1/vaults/{REPO}");
    let same = |what: &str, shown: &Value, expected: &Value| {
        if shown == expected { Ok(()) } else { Err(format!("{what}: shown {shown}, expected {expected}")) }
    };
    let mut names: Vec<String> = model.living.iter().map(|environment| environment.name.clone()).collect();
    names.sort();
    let shown = client.get(&format!("{base}/environments")).ok();
    let mut shown: Vec<_> = shown["environments"].as_array().cloned().unwrap_or_default();
    shown.sort_by_key(|name| name.as_str().map(str::to_owned));
    same("environments", &json!(shown), &json!(names))?;

    let listed = client.get(&format!("{base}/secrets?limit=100")).ok();
    for at in 0..model.living.len() {
        let name = model.living[at].name.clone();
        let living: Vec<usize> = model.living[at].living.iter().copied().collect();
        let values: BTreeMap<&str, &str> = living
            .iter()
            .map(|&who| (model.secrets[who].key.as_str(), model.secrets[who].value.as_str()))
            .collect();
        same(&format!("values of {name}"), &client.secrets(REPO, &name), &json!(values))?;
        for who in living {
            let secret = &mut model.secrets[who];
            let of = |one: &&Value| one["environment"] == *name && one["key"] == *secret.key;
            let one = listed.as_array().and_then(|all| all.iter().find(of));
            let id =
                text(one.ok_or_else(|| format!("{} of {name} is not listed", secret.key))?, "id").to_owned();
            let expected = secret.id.get_or_insert_with(|| id.clone());
            same(&format!("id of {} in {name}", secret.key), &json!(id), &json!(expected))?;
            let versions = client.get(&format!("{base}/secrets/{id}/versions")).ok();
            let mut shown = BTreeMap::new();
            for version in versions["versions"].as_array().into_iter().flatten() {
                let value =
                    client.get(&format!("{base}/secrets/{id}/versions/{}/value", text(version, "id"))).ok();
                shown.insert(
                    version["versionNumber"].as_u64().unwrap_or_default(),
                    text(&value, "value").to_owned(),
                );
            }
            same(&format!("versions of {} in {name}", secret.key), &json!(shown), &json!(secret.versions))?;
        }
    }

    let trash = client.get(&format!("{base}/trash?limit=100")).ok();
    let trash = trash.as_array().into_iter().flatten();
    let shown: BTreeSet<_> = trash
        .map(|one| [text(one, "id"), text(one, "key"), text(one, "environment")].map(str::to_owned))
        .collect();
    let expected: BTreeSet<_> = model
        .trashed()
        .into_iter()
        .map(|(at, who)| {
            let secret = &model.secrets[who];
            [secret.id.clone().unwrap_or_default(), secret.key.clone(), model.living[at].name.clone()]
        })
        .collect();
    same("trash", &json!(shown), &json!(expected))?;

    let trash = client.get(&format!("{base}/trash/environments?limit=100")).ok();
    let shown: Vec<_> =
        trash.as_array().into_iter().flatten().map(|one| text(one, "environment").to_owned()).collect();
    let expected: Vec<_> = model.trash.iter().rev().map(|environment| environment.name.clone()).collect();
    same("deleted environments", &json!(shown), &json!(expected))
}

/// Sends `request` and kills the server without waiting for the answer.
fn cut_off(appliance: &mut Appliance, request: &Request) {
    let address = appliance.address();
    let request = request.clone().header("Authorization", &format!("Bearer {}", appliance.token));
    Wire::open(address).say(request.bytes(&address.to_string()));
    appliance.kill();
    appliance.restart();
}

fn run(steps: &[(Op, Fate)]) {
    let kept = VERSIONS_KEPT.to_string();
    let played = Service::vercel();
    let outside = played.settings();
    let mut settings =
        vec![("KEYWAYD_SECRETS__VERSIONS_KEPT", kept.as_str()), ("KEYWAYD_AUDIT__READS", "relaxed")];
    settings.extend(outside.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut appliance = Appliance::start_with(&settings);
    appliance.admin().create_vault(REPO);
    appliance.admin().post("/v1/integrations/vercel/connect", &json!({ "token": TOKEN })).ok();
    let connections = appliance.admin().get("/v1/integrations/connections").ok();
    let connection = text(&connections["connections"][0], "id").to_owned();
    let service = Connected { played, connection };
    let mut model = Model::new();
    for (number, (op, fate)) in steps.iter().enumerate() {
        let client = appliance.admin();
        let Some((request, status, after)) = plan(&model, op, &client, &service) else { continue };
        let step = format!("step {number}, {op:?}, {fate:?}");
        let mut candidates = vec![after];
        if *fate == Fate::KilledDuring {
            candidates.push(model.clone());
            cut_off(&mut appliance, &request);
            if matches!(op, Op::DeleteAndRestoreVault)
                && appliance.admin().get("/v1/vaults/acme/app").status == 404
            {
                appliance.admin().send(&request).ok();
            }
        } else {
            let answer = client.send(&request);
            assert_eq!(answer.status, status, "{step}: {}", answer.show());
            if *fate == Fate::KilledAfter {
                appliance.kill();
                appliance.restart();
            }
        }
        let client = appliance.admin();
        let told: Vec<String> =
            candidates.iter_mut().map_while(|candidate| differences(candidate, &client).err()).collect();
        assert!(told.len() < candidates.len(), "{step}: {}", told.join("\nor "));
        model = candidates.swap_remove(told.len());
    }
    let verified = appliance.cli(&["audit", "verify"]);
    assert_eq!(verified.status, 0, "{verified:?}");
}

#[test]
fn any_sequence_of_changes_leaves_what_the_model_says_also_after_kills() {
    // PROPTEST_CASES asks for more.
    let cases = Config::default().cases;
    let cases = if cases == 256 { 8 } else { cases };
    let config = Config { cases, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        run(&steps);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
