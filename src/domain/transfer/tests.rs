//! Whatever is there arrives elsewhere as it was, in however many pieces; and what is there already
//! loses nothing, least of all its protection.

use super::*;
use crate::domain::upkeep::Watch;

fn parcel(repo: &str, environment: &str, pairs: &[(&str, String)]) -> Parcel {
    Parcel {
        repository: RepoName::parse(repo).unwrap(),
        source: Some(Home::Local),
        environment: EnvironmentName::parse(environment).unwrap(),
        kind: Some(EnvironmentKind::Standard),
        overrides: Vec::new(),
        secrets: pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value(SecretText::new(value.clone()))))
            .collect(),
    }
}

async fn put_in(services: &Services, parcel: Parcel) -> Arrival {
    services.import(parcel, false).await.unwrap()
}

/// Everything, piece by piece, in an order of its own; and how many pieces it took.
async fn everything(services: &Services) -> (Vec<Parcel>, usize) {
    let (mut parcels, mut after, mut pieces, mut total) = (Vec::new(), None, 0, 0);
    loop {
        let piece = services.export(after).await.unwrap();
        total = piece.total.max(total);
        parcels.extend(piece.parcels);
        pieces += 1;
        match piece.next {
            Some(place) => after = Some(place),
            None => break,
        }
    }
    assert_eq!(parcels.len() as u64, total);
    parcels.sort_by_key(|parcel| (parcel.repository.to_string(), parcel.environment.to_string()));
    (parcels, pieces)
}

#[tokio::test]
async fn everything_arrives_as_it_was() {
    let (from, to) = (Services::in_memory(), Services::in_memory());
    for repo in 0..30 {
        for environment in 0..8 {
            let long = "x".repeat(if (repo + environment) % 5 == 0 { 60_000 } else { 10 });
            let pairs = [("A", format!("{repo} {environment}")), ("B", long), ("EMPTY", String::new())];
            let mut one =
                parcel(&format!("acme/r{repo}"), &format!("env-{environment}"), &pairs[..environment % 4]);
            if environment == 3 {
                one.kind = Some(EnvironmentKind::Protected);
                let target = Target::Role(Role::Triage);
                one.overrides.push(Exception { target, can_read: true, can_write: false });
            }
            let arrival = put_in(&from, one).await;
            assert!(arrival.refused.is_empty() && arrival.new_environment, "{arrival:?}");
            assert_eq!(arrival.new_vault, environment == 0);
        }
    }
    let (there, pieces) = everything(&from).await;
    assert!(there.len() == 240 && pieces > 2, "{} in {pieces}", there.len());
    for parcel in there.clone() {
        put_in(&to, parcel).await;
    }
    let (arrived, _) = everything(&to).await;
    assert!(arrived == there, "something is otherwise than it was");
    for parcel in there {
        let again = put_in(&to, parcel.clone()).await;
        assert!(again.taken.is_empty() && again.changed.is_empty(), "{again:?}");
        assert_eq!(again.same.len(), parcel.secrets.len());
    }
    let findings = to.verify(Watch::nobody().at_full_speed()).await.unwrap();
    assert!(findings.is_sound(), "{findings:?}");
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let services = Services::in_memory();
    put_in(&services, parcel("acme/api", "staging", &[("A", "1".to_owned()), ("B", "2".to_owned())])).await;
    let head = services.audit_head().await.unwrap();
    let next = parcel(
        "acme/api",
        "staging",
        &[("A", "1".to_owned()), ("B", "3".to_owned()), ("C", "4".to_owned()), ("9", String::new())],
    );
    let planned = services.import(next.clone(), true).await.unwrap();
    assert_eq!(services.audit_head().await.unwrap(), head);
    let done = put_in(&services, next).await;
    assert_eq!(format!("{planned:?}"), format!("{done:?}"));
    let names = |names: &[SecretName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(
        (names(&done.taken), names(&done.changed), names(&done.same)),
        ("C".into(), "B".into(), "A".into())
    );
    assert_eq!(done.refused[0].0, "9");
}

#[tokio::test]
async fn an_import_lets_nobody_in() {
    let services = Services::in_memory();
    let mut guarded = parcel("acme/api", "production", &[("A", "1".to_owned())]);
    guarded.kind = Some(EnvironmentKind::Protected);
    put_in(&services, guarded.clone()).await;
    let mut open = guarded.clone();
    open.kind = Some(EnvironmentKind::Standard);
    open.overrides.push(Exception { target: Target::Role(Role::Read), can_read: true, can_write: true });
    let arrival = put_in(&services, open).await;
    assert_eq!(arrival.notes.len(), 2, "{arrival:?}");
    assert!(everything(&services).await.0 == [guarded], "type and overrides are as they were");

    let mut personal = parcel("acme/api", "staging", &[]);
    personal.overrides.push(Exception {
        target: Target::Account("nobody".to_owned()),
        can_read: false,
        can_write: false,
    });
    let arrival = put_in(&services, personal).await;
    assert!(arrival.refused[0].0.contains("account `nobody`"), "{arrival:?}");
}

#[tokio::test]
async fn what_cannot_be_here_is_refused_in_words() {
    let services = Services::in_memory();
    let mut foreign = parcel("acme/api", "staging", &[("A", "1".to_owned())]);
    foreign.source = Some(Home::GitHub(7));
    let arrival = put_in(&services, foreign).await;
    assert!(arrival.refused[0].1.contains("not connected with GitHub"), "{arrival:?}");
    let large: Vec<_> = (0..40).map(|n| (format!("K{n}"), "x".repeat(60_000))).collect();
    let large: Vec<_> = large.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let arrival = put_in(&services, parcel("acme/api", "staging", &large)).await;
    assert!(arrival.refused[0].1.contains("the limit is"), "{arrival:?}");
    assert_eq!(everything(&services).await.0.len(), 0, "nothing of it is there");
}
