//! What is measured, in which order. Variants that are compared alternate, so that
//! whatever else the machine does hits all of them alike.

use crate::backups::{self, Backups};
use crate::costs::{self, Costs};
use crate::fill::{self, ENVIRONMENT};
use crate::load::{self, Call, Load, STAMP};
use crate::process::{Cpu, Server};
use crate::{Outcome, Plan, machine};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

/// Connections of the loads that have many.
pub(crate) const MANY: usize = 32;
/// Vaults in the small file.
pub(crate) const FEW_VAULTS: usize = 10;
/// Starts that are timed.
const STARTS: usize = 7;

/// What a load did, medians over the rounds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Work {
    /// Answers per second.
    pub(crate) rate: f64,
    /// How long half of the answers took at most.
    pub(crate) half: Duration,
    /// And 99 of 100.
    pub(crate) most: Duration,
    /// The server's processor time per answer.
    pub(crate) cpu: Cpu,
    /// The part of the machine's processor time that nobody used.
    pub(crate) idle: f64,
}

/// Everything the table tells.
pub(crate) struct Results {
    pub(crate) machine: String,
    /// Making one page durable.
    pub(crate) sync: Duration,
    pub(crate) bare: Work,
    pub(crate) pull: Work,
    pub(crate) relaxed: Work,
    /// One of fifty values new.
    pub(crate) push: Work,
    pub(crate) push_alone: Work,
    /// All fifty new.
    pub(crate) push_all: Work,
    pub(crate) push_all_alone: Work,
    /// One connection, few and many vaults in the file.
    pub(crate) pull_few: Work,
    pub(crate) pull_many: Work,
    pub(crate) many_vaults: usize,
    pub(crate) large_file_bytes: u64,
    pub(crate) idle_bytes: u64,
    pub(crate) idle_large_bytes: u64,
    pub(crate) loaded_bytes: u64,
    pub(crate) ready: Duration,
    pub(crate) ready_killed: Duration,
    pub(crate) binary_bytes: u64,
    pub(crate) backups: Backups,
    pub(crate) costs: Costs,
}

/// Does it all. `None`: only one load was wanted, to be watched with other tools.
pub(crate) fn all(plan: &Plan) -> Outcome<Option<Results>> {
    if plan.only.as_deref() == Some("backups") {
        eprintln!("{:?}", beside_backups(plan)?);
        return Ok(None);
    }
    if plan.only.as_deref() == Some("counting") {
        let [alone, together] = costs::counting()?;
        eprintln!("counting takes {alone:?} of a request, {together:?} when two threads do nothing else");
        return Ok(None);
    }
    let [small, relaxed, large] = ["small", "relaxed", "large"].map(|name| plan.dir.join(name));
    eprintln!("filling {} vaults", plan.vaults);
    let large_token = fill::make(&large, plan.vaults)?;
    let token = fill::make(&small, FEW_VAULTS)?;
    let relaxed_token = fill::make(&relaxed, FEW_VAULTS)?;

    let durable = Server::appliance(&small, false)?;
    let lax = Server::appliance(&relaxed, true)?;
    let full = Server::appliance(&large, false)?;
    sleep(Duration::from_secs(2));
    let (idle_bytes, idle_large_bytes) = (durable.resident_bytes()?, full.resident_bytes()?);
    let (pulls, lax_pulls) = (pulls(&token, FEW_VAULTS), pulls(&relaxed_token, FEW_VAULTS));
    let full_pulls = self::pulls(&large_token, plan.vaults);
    let (pushes, whole_pushes) = (pushes(&token, 1), pushes(&token, fill::SECRETS));
    let answer = plan.dir.join("answer");
    fs::write(&answer, load::once(durable.address, &pulls[0])?)?;
    let bare = Server::bare(&answer)?;

    let one = |name, server, calls, connections| Variant { name, server, calls, connections };
    let variants = [
        one("bare", &bare, &pulls, MANY),
        one("pull", &durable, &pulls, MANY),
        one("relaxed", &lax, &lax_pulls, MANY),
        one("push-1", &durable, &pushes, 1),
        one("push", &durable, &pushes, MANY),
        one("push-all-1", &durable, &whole_pushes, 1),
        one("push-all", &durable, &whole_pushes, MANY),
        one("pull-1", &durable, &pulls, 1),
        one("pull-large-1", &full, &full_pulls, 1),
    ];
    if let Some(only) = &plan.only {
        let chosen = variants.iter().find(|variant| variant.name == only).ok_or("no such load")?;
        eprintln!("{only}: process {}", chosen.server.id());
        for _ in 0..plan.rounds {
            let Work { rate, cpu: Cpu { writer, others }, .. } = chosen.measure(plan.slice)?;
            eprintln!("{rate:.0} per second, each {others:?} of processor and {writer:?} of the writer");
        }
        return Ok(None);
    }
    let mut syncs = Vec::new();
    let mut rounds: [Vec<Work>; 9] = Default::default();
    for round in 0..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        syncs.push(machine::sync_time(&plan.dir)?);
        for (variant, works) in variants.iter().zip(&mut rounds) {
            let work = variant.measure(plan.slice)?;
            // The first round warms up.
            if round > 0 {
                works.push(work);
            }
        }
    }
    sleep(Duration::from_secs(2));
    let loaded_bytes = durable.resident_bytes()?.max(lax.resident_bytes()?).max(full.resident_bytes()?);
    let [bare_work, pull, relaxed_work, push_alone, push, push_all_alone, push_all, pull_few, pull_many] =
        rounds.map(|works| Work::median(&works));
    durable.stop()?;
    lax.stop()?;
    full.stop()?;
    drop(bare);

    eprintln!("backing up");
    let backups = beside_backups(plan)?;
    eprintln!("starting and killing");
    let large_file_bytes = fs::metadata(large.join("keyway.redb"))?.len();
    let (ready, ready_killed) = starts(&large, &large_token)?;
    Ok(Some(Results {
        machine: machine::description()?,
        sync: median(syncs),
        bare: bare_work,
        pull,
        relaxed: relaxed_work,
        push,
        push_alone,
        push_all,
        push_all_alone,
        pull_few,
        pull_many,
        many_vaults: plan.vaults,
        large_file_bytes,
        idle_bytes,
        idle_large_bytes,
        loaded_bytes,
        ready,
        ready_killed,
        binary_bytes: fs::metadata(env!("CARGO_BIN_EXE_keywayd"))?.len(),
        backups,
        costs: costs::measure(&relaxed, &relaxed_token, FEW_VAULTS)?,
    }))
}

/// A server and what is asked of it.
struct Variant<'a> {
    name: &'static str,
    server: &'a Server,
    calls: &'a Arc<[Call]>,
    connections: usize,
}

impl Variant<'_> {
    fn measure(&self, slice: Duration) -> Outcome<Work> {
        let (total, unused) = processor_ticks()?;
        let before = self.server.cpu()?;
        let load = load::run(self.server.address, self.calls, self.connections, slice)?;
        let after = self.server.cpu()?;
        let (total, unused) = {
            let now = processor_ticks()?;
            (now.0 - total, now.1 - unused)
        };
        let each = |spent: Duration| spent.div_f64(load.count().max(1.0));
        let cpu =
            Cpu { writer: each(after.writer - before.writer), others: each(after.others - before.others) };
        Ok(Work::of(&load, cpu, unused as f64 / total.max(1) as f64))
    }
}

impl Work {
    fn of(load: &Load, cpu: Cpu, idle: f64) -> Self {
        Self { rate: load.rate(), half: load.latency(0.5), most: load.latency(0.99), cpu, idle }
    }

    fn median(works: &[Self]) -> Self {
        let number = |pick: fn(&Self) -> f64| middle(works.iter().map(pick).collect(), f64::total_cmp);
        let time = |pick: fn(&Self) -> Duration| median(works.iter().map(pick).collect());
        Self {
            rate: number(|work| work.rate),
            half: time(|work| work.half),
            most: time(|work| work.most),
            cpu: Cpu { writer: time(|work| work.cpu.writer), others: time(|work| work.cpu.others) },
            idle: number(|work| work.idle),
        }
    }

    /// The server's processor time per answer.
    pub(crate) fn server_time(&self) -> Duration {
        self.cpu.writer + self.cpu.others
    }
}

/// Pulls on a file of its own, with and without backups beside them.
fn beside_backups(plan: &Plan) -> Outcome<Backups> {
    let dir = plan.dir.join("backed-up");
    let token = fill::make(&dir, backups::VAULTS)?;
    let server = Server::appliance(&dir, false)?;
    let measured = backups::measure(&server, &dir, &pulls(&token, backups::VAULTS), plan.rounds, plan.slice)?;
    server.stop()?;
    Ok(measured)
}

/// Times starts after a stop, and after a `kill -9` in the middle of pushes.
fn starts(dir: &Path, token: &str) -> Outcome<(Duration, Duration)> {
    let (mut stopped, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let server = Server::appliance(dir, false)?;
        stopped.push(server.ready);
        let (address, calls) = (server.address, pushes(token, 1));
        let busy = std::thread::spawn(move || load::run(address, &calls, 4, Duration::from_secs(5)));
        sleep(Duration::from_millis(300));
        drop(server);
        let cut_off = busy.join().map_err(|_| "the client panicked")?.is_err();
        if !cut_off {
            return Err("the server was not killed in the middle of pushes".into());
        }
        let server = Server::appliance(dir, false)?;
        killed.push(server.ready);
        server.stop()?;
    }
    Ok((median(stopped), median(killed)))
}

fn pulls(token: &str, vaults: usize) -> Arc<[Call]> {
    let path = |repo: String| format!("/v1/secrets/pull?repo={repo}&environment={ENVIRONMENT}");
    (0..vaults).map(|number| Call::get(&path(fill::repo(number)), token)).collect()
}

fn pushes(token: &str, stamped: usize) -> Arc<[Call]> {
    let push = |number: usize| {
        let secrets: serde_json::Map<_, _> =
            fill::secrets(STAMP, stamped).into_iter().map(|(key, value)| (key, value.into())).collect();
        let body = json!({
            "repoFullName": fill::repo(number), "environment": ENVIRONMENT, "secrets": secrets,
        });
        Call::post("/v1/secrets/push", token, &body.to_string())
    };
    (0..FEW_VAULTS).map(push).collect()
}

/// The machine's processor time so far, in ticks: all of it, and what nobody used.
fn processor_ticks() -> Outcome<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().ok_or("no processors")?;
    let ticks = line.split_whitespace().skip(1).take(8).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    let [_, _, _, idle, waiting, ..] = ticks[..] else { return Err("no processor times".into()) };
    Ok((ticks.iter().sum(), idle + waiting))
}

pub(crate) fn median(times: Vec<Duration>) -> Duration {
    middle(times, Duration::cmp)
}

fn middle<T: Copy + Default>(mut values: Vec<T>, order: fn(&T, &T) -> std::cmp::Ordering) -> T {
    values.sort_by(order);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
