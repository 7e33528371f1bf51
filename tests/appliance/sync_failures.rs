//! A service that fails in the middle of a synchronisation, in every way and at every request: what was done is
//! reported exactly, nothing is lost on either side, and repeating does the rest.

use super::harness::Appliance;
use super::integrations::{PROJECT, REPO, World, connect, counts};
use super::services::{Fault, Service, Vercel};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Values = BTreeMap<String, String>;

fn some(range: std::ops::Range<usize>, value: &str) -> Values {
    range.map(|number| (format!("KEY_{number:03}"), value.to_owned())).collect()
}

fn failed_keys(result: &Value) -> Vec<String> {
    serde_json::from_value(result["failedKeys"].clone()).expect("names")
}

/// Two names to be made, two to be changed, two to be removed, two that agree.
const HERE: [(&str, &str); 6] = [
    ("NEW_A", "new"),
    ("NEW_B", "new"),
    ("OLD_A", "new"),
    ("OLD_B", "new"),
    ("SAME_A", "same"),
    ("SAME_B", "same"),
];
const THERE: [(&str, &str); 6] = [
    ("OLD_A", "old"),
    ("OLD_B", "old"),
    ("GONE_A", "old"),
    ("GONE_B", "old"),
    ("SAME_A", "same"),
    ("SAME_B", "same"),
];

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn set_up(world: &World, service: &Values, vault: &Values) {
    world.service.accept_again();
    world.service.clear(PROJECT);
    for (name, value) in service {
        world.service.put(PROJECT, name, value);
    }
    world.push(&json!(vault));
}

/// `before` becoming `after`, but for the names in `except`.
fn partly(before: &Values, after: &Values, except: &[String]) -> Values {
    let mut partly = after.clone();
    for name in except {
        match before.get(name) {
            Some(value) => partly.insert(name.clone(), value.clone()),
            None => partly.remove(name),
        };
    }
    partly
}

/// How many names do not have any more what they had.
fn changes(before: &Values, now: &Values) -> u64 {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != now.get(*name)).count() as u64
}

/// Fails at each request of a synchronisation in turn.
fn fails_everywhere(world: &World, direction: &str, fault: &Fault) -> usize {
    let name = world.service.name;
    let (source, target) = (values(&HERE), values(&THERE));
    let (vault, service) = if direction == "push" { (&source, &target) } else { (&target, &source) };
    let (mut at, mut partial) = (0, 0);
    loop {
        let case = format!("{name}, {direction}, {fault:?} at request {at}");
        set_up(world, service, vault);
        let asked = world.service.asked().len();
        world.service.spoil(at, fault.clone());
        let answer = world.admin.send(&world.request(direction, true));
        let spent = world.service.asked().len() - asked;
        if spent <= at {
            // It ended before the fault.
            assert_eq!(answer.ok()["status"], "success", "{case}");
            return partial;
        }
        let (vault_now, service_now): (Values, Values) =
            (serde_json::from_value(world.secrets()).expect("texts"), world.values());
        let (before, now) = if direction == "push" { (service, &service_now) } else { (vault, &vault_now) };
        let untouched = if direction == "push" { (vault, &vault_now) } else { (service, &service_now) };
        assert_eq!(untouched.0, untouched.1, "{case}: what the values came from has changed");
        if answer.status == 200 {
            let result = answer.ok();
            let failed = failed_keys(&result);
            partial += usize::from(!failed.is_empty());
            assert_eq!(result["success"], json!(failed.is_empty()), "{case}: {result}");
            let [created, updated, deleted, _] = counts(&result);
            if matches!(fault, Fault::DoneButFailed) {
                // It was done in spite of what was answered: nobody can know, but all else is as told.
                let told = |all: Values| -> Values {
                    all.into_iter().filter(|(name, _)| !failed.contains(name)).collect()
                };
                assert_eq!(told(now.clone()), told(partly(before, &source, &failed)), "{case}: {result}");
            } else {
                assert_eq!(*now, partly(before, &source, &failed), "{case}: {result}");
                // What agrees may be written once more, where that could not be seen.
                let done = created + updated + deleted;
                let changed = changes(before, now);
                assert!((changed..=changed + 2).contains(&done), "{case}: {changed} changed, {result}");
            }
        } else {
            assert!(matches!(answer.status, 502 | 503 | 404), "{case}: {}", answer.show());
            assert_eq!(now, before, "{case}: {}", answer.show());
        }
        world.service.accept_again();
        let repeated = world.sync(direction, true);
        assert_eq!(repeated["status"], "success", "{case}: {repeated}");
        let end: Values = if direction == "push" {
            world.values()
        } else {
            serde_json::from_value(world.secrets()).expect("texts")
        };
        assert_eq!(end, source, "{case}: repeating does not do the rest");
        at += 1;
    }
}

fn fails_in_every_way(service: Service) {
    let world = World::new(service);
    let pushes_only = world.service.name == "fly";
    for fault in
        [Fault::Status(500), Fault::Html, Fault::Revoked, Fault::TooMany(Some(3_600)), Fault::DoneButFailed]
    {
        let partial = fails_everywhere(&world, "push", &fault);
        assert!(partial > 0, "{}: {fault:?} was never in the middle", world.service.name);
        if !pushes_only {
            fails_everywhere(&world, "pull", &fault);
        }
    }
}

#[test]
fn vercel_fails_at_every_request_in_every_way() {
    fails_in_every_way(Service::vercel());
}

#[test]
fn netlify_fails_at_every_request_in_every_way() {
    fails_in_every_way(Service::netlify());
}

#[test]
fn railway_fails_at_every_request_in_every_way() {
    fails_in_every_way(Service::railway());
}

#[test]
fn fly_fails_at_every_request_in_every_way() {
    fails_in_every_way(Service::fly());
}

/// A push that takes five writes; Fly.io takes all settings in one and all removals in another.
fn five_writes(service: &Service) -> (Values, Values, usize) {
    match service.name {
        "vercel" => (Values::new(), some(0..250, "value"), 5),
        "netlify" => (some(0..5, "old"), some(0..5, "value"), 5),
        "railway" => (some(0..4, "old"), some(10..20, "value"), 5),
        _ => (some(0..5, "old"), some(10..20, "value"), 2),
    }
}

#[test]
fn the_third_write_of_five_fails_and_the_others_are_done() {
    for service in Service::all() {
        let (there, here, writes) = five_writes(&service);
        let more = [("KEYWAYD_OUTBOUND__TIMEOUT_SECS", "1")];
        let world = World::with(service, &more);
        let name = world.service.name;
        let goes_on = [Fault::Status(500), Fault::Html, Fault::Silence];
        let waits = [Fault::TooMany(None), Fault::TooMany(Some(1))];
        let stops = [Fault::Revoked, Fault::TooMany(Some(3_600))];
        for fault in goes_on.iter().chain(&waits).chain(&stops) {
            set_up(&world, &there, &here);
            let before = world.service.writes();
            world.service.spoil_write(writes / 2, fault.clone());
            let result = world.sync("push", true);
            let (failed, case) = (failed_keys(&result), format!("{name}, {fault:?}: {result}"));
            assert_eq!(world.values(), partly(&there, &here, &failed), "{case}");
            assert_eq!(world.secrets(), json!(here), "{case}");
            let is = |faults: &[Fault]| faults.iter().any(|one| format!("{one:?}") == format!("{fault:?}"));
            let portion = if name == "vercel" {
                50
            } else if name == "fly" {
                5
            } else {
                1
            };
            if is(&waits) {
                assert_eq!((failed.len(), &result["status"]), (0, &json!("success")), "{case}");
                assert_eq!(world.service.writes() - before, writes + 1, "{case}");
            } else if is(&stops) {
                assert_eq!(result["status"], "partial", "{case}");
                assert_eq!(world.service.writes() - before, writes / 2 + 1, "{case}");
            } else {
                assert_eq!((failed.len(), &result["status"]), (portion, &json!("partial")), "{case}");
                assert_eq!(world.service.writes() - before, writes, "{case}");
            }
            world.service.accept_again();
            let repeated = world.sync("push", true);
            assert_eq!(repeated["status"], "success", "{case}, then {repeated}");
            let [created, updated, deleted, _] = counts(&repeated);
            assert_eq!(created + updated + deleted, failed.len() as u64, "{case}, then {repeated}");
            assert_eq!(world.values(), here, "{case}, then {repeated}");
        }
        world.service.release();
    }
}

/// Changing one target of a variable that serves three takes it from two of them for a moment.
#[test]
fn a_shared_variable_is_never_lost_to_the_others() {
    let world = World::new(Service::vercel());
    let all = ["production", "preview", "development"];
    let serving = |target: &str| {
        world.service.with(|vercel: &mut Vercel| {
            let records = vercel.records.get(PROJECT).into_iter().flatten();
            let own = records.filter(|one| one.targets.iter().any(|served| served == target));
            own.map(|one| one.value.clone()).collect::<Vec<_>>()
        })
    };
    for fault in [Fault::Status(500), Fault::Html, Fault::Revoked, Fault::DoneButFailed] {
        for at in 0.. {
            let case = format!("{fault:?} at write {at}");
            set_up(&world, &Values::new(), &values(&[("A", "new")]));
            world.service.with(|vercel: &mut Vercel| vercel.add(PROJECT, "A", "old", "encrypted", &all));
            let writes = world.service.writes();
            world.service.spoil_write(at, fault.clone());
            let answer = world.admin.send(&world.request("push", false));
            if world.service.writes() - writes <= at {
                assert_eq!((answer.ok()["status"].clone(), at), (json!("success"), 2), "{case}");
                break;
            }
            assert_eq!(
                (serving("preview"), serving("development")),
                (vec!["old".into()], vec!["old".into()]),
                "{case}"
            );
            let here = serving("production");
            // Without a good token nothing can be given back; then it is told.
            let told = answer.show().contains("may be missing");
            assert!(
                here.len() == 1 || told && matches!(fault, Fault::Revoked),
                "{case}: {here:?} {}",
                answer.show()
            );
            world.service.accept_again();
            assert_eq!(world.sync("push", false)["status"], "success", "{case}");
            assert_eq!(serving("production"), ["new"], "{case}");
            assert_eq!(
                (serving("preview"), serving("development")),
                (vec!["old".into()], vec!["old".into()]),
                "{case}"
            );
        }
    }
}

#[test]
fn values_that_come_one_by_one_and_fail_are_had_by_repeating() {
    let world = World::with(Service::vercel(), &[("KEYWAYD_OUTBOUND__TIMEOUT_SECS", "1")]);
    let there = some(0..20, "theirs");
    set_up(&world, &there, &Values::new());
    // Finding the project, the list, and then the values, some side by side.
    world.service.spoil(5, Fault::Silence);
    world.service.spoil(9, Fault::Status(500));
    let preview = world.admin.get(&format!(
        "/v1/integrations/vaults/{REPO}/sync/preview?connectionId={}&projectId={PROJECT}&direction=pull",
        world.connection
    ));
    preview.refused(503);
    world.service.spoil(5, Fault::Silence);
    let result = world.sync("pull", false);
    let failed = failed_keys(&result);
    assert_eq!((failed.len(), &result["status"]), (1, &json!("partial")), "{result}");
    assert_eq!(world.secrets(), json!(partly(&Values::new(), &there, &failed)));
    let asked = world.service.asked().len();
    assert_eq!(counts(&world.sync("pull", false)), [1, 0, 0, 19]);
    assert!(world.service.asked().len() - asked < 5, "what is known already is not read again");
    assert_eq!(world.secrets(), json!(there));
    world.service.release();
}

#[test]
fn a_long_synchronisation_holds_up_its_own_project_and_nothing_else() {
    let world = World::new(Service::netlify());
    world.service.populate(2);
    world.push(&json!({ "A": "1" }));
    world.admin.create_vault("admin/other");
    world.service.spoil_write(0, Fault::Silence);
    let (appliance, request) = (&world.appliance, &world.request("push", false));
    std::thread::scope(|scope| {
        let push = || appliance.admin().send(request).ok();
        let first = scope.spawn(push);
        world.service.await_held();
        let second = scope.spawn(push);
        // Other vaults, this vault, and another project at the service.
        world.admin.push("admin/other", "production", &json!({ "B": "2" })).ok();
        world.admin.push(REPO, "production", &json!({ "A": "1", "C": "3" })).ok();
        let body = json!({ "connectionId": world.connection, "projectId": "app-1" });
        let other = world.admin.post("/v1/integrations/vaults/admin/other/sync", &body).ok();
        assert_eq!(counts(&other), [1, 0, 0, 0], "{other}");
        assert!(!first.is_finished() && !second.is_finished());
        world.service.release();
        let (first, second) = (first.join().expect("an answer"), second.join().expect("an answer"));
        assert_eq!(counts(&first), [1, 0, 0, 0], "{first}");
        assert_eq!(counts(&second), [1, 0, 0, 1], "the second finds what the first did: {second}");
    });
    assert_eq!(world.values(), values(&[("A", "1"), ("C", "3")]));
    let log = world.appliance.log().text();
    assert!(log.contains("synchronising"), "{log}");
}

/// Every way out of the appliance leads through the proxy of its environment, and that is ours.
#[test]
fn an_appliance_without_integrations_opens_no_connection() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    proxy.set_nonblocking(true).expect("a socket can be told");
    let way_out = format!("http://{}", proxy.local_addr().expect("it has an address"));
    let knocked = || proxy.accept().is_ok();
    let through = [("HTTPS_PROXY", way_out.as_str()), ("HTTP_PROXY", &way_out), ("ALL_PROXY", &way_out)];
    let appliance = Appliance::start_with(&through);
    let admin = appliance.admin();
    admin.create_vault(REPO);
    admin.push(REPO, "production", &json!({ "A": "1" })).ok();
    admin.get("/v1/integrations").ok();
    for service in ["vercel", "netlify", "railway", "fly"] {
        admin.post(&format!("/v1/integrations/{service}/connect"), &json!({ "token": "x" })).refused(409);
        admin.get(&format!("/v1/integrations/{service}/authorize")).refused(409);
        admin.get(&format!("/v1/integrations/providers/{service}/all-projects")).refused(409);
    }
    let nowhere = json!({ "connectionId": "01890000-0000-7000-8000-000000000000", "projectId": "p" });
    admin.post(&format!("/v1/integrations/vaults/{REPO}/sync"), &nowhere).refused(404);
    assert!(!knocked(), "it called somebody");

    // With one enabled, it does: the proxy would have seen it.
    let enabled = ("KEYWAYD_INTEGRATIONS__VERCEL__ENABLED", "true");
    let short = ("KEYWAYD_OUTBOUND__TIMEOUT_SECS", "1");
    let appliance = Appliance::start_with(&[&through[..], &[enabled, short]].concat());
    appliance.admin().post("/v1/integrations/vercel/connect", &json!({ "token": "x" })).refused(502);
    assert!(knocked(), "the proxy is not used, so this test shows nothing");
}

#[test]
fn a_token_that_has_expired_is_told_before_anything_is_tried() {
    for service in Service::all() {
        let world = World::new(service);
        let name = world.service.name;
        let secrets: Value = Map::from_iter([("A".to_owned(), json!("1"))]).into();
        world.push(&secrets);
        world.service.spoil(0, Fault::Revoked);
        for direction in ["push", "pull"] {
            let problem = world.admin.send(&world.request(direction, true)).refused(502);
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("connect") && detail.contains("again"), "{name}: {problem}");
        }
        assert_eq!((world.secrets(), world.service.writes()), (secrets, 0), "{name}");
        world.service.accept_again();
        let again = connect(&world.admin, name);
        assert_eq!(again, world.connection, "{name}");
    }
}
