//! A long time under mixed load: a hundred clients who pull, push, list, reveal, look at
//! the activity and sign in, each with a pause in between as people and pipelines have
//! them. What is asked is whether anything grows, fails or gets slow. `--minutes 30`.

use crate::fill::{self, ENVIRONMENT};
use crate::load::{self, Call, Dice, Line, body_start};
use crate::process::Server;
use crate::{Outcome, Plan, machine};
use serde_json::{Value, json};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

const CLIENTS: usize = 100;
const VAULTS: usize = 200;
/// Longest pause between two calls of a client.
const PAUSE_MAX_MILLIS: usize = 200;
/// How often the memory is looked at.
const LOOKS: u32 = 6;
/// By how much it may have grown since the first look: a twentieth, and what a moment's work takes.
const GROWTH: f64 = 1.05;
const MOMENT_BYTES: u64 = 4 << 20;
const ACCOUNTS: usize = 10;
const PASSWORD: &str = "correct horse";

/// What clients do, and how often out of a thousand times.
const DEEDS: [(&str, usize); 6] =
    [("pull", 600), ("push", 100), ("list", 150), ("reveal", 95), ("activity", 50), ("sign-in", 5)];

/// What the clients know.
struct World {
    address: std::net::SocketAddr,
    token: String,
    /// One secret's id for each vault.
    secrets: Vec<String>,
    /// How long each call of each kind took, in microseconds.
    times: [Mutex<Vec<u32>>; DEEDS.len()],
    /// What went wrong.
    errors: Mutex<Vec<String>>,
}

/// Does it, and prints what came of it.
pub(crate) fn run(plan: &Plan, minutes: u32) -> Outcome<()> {
    let dir = plan.dir.join("endurance");
    eprintln!("filling {VAULTS} vaults");
    let token = fill::make(&dir, VAULTS)?;
    fill::add_accounts(&dir, (0..ACCOUNTS).map(account), PASSWORD)?;
    let server = Server::appliance(&dir, false)?;
    let secrets = (0..VAULTS).map(|number| secret_of(&server, &token, number)).collect::<Outcome<_>>()?;
    let address = server.address;
    let world =
        Arc::new(World { address, token, secrets, times: Default::default(), errors: Mutex::default() });

    println!("{}\n", machine::description()?);
    println!("| after | memory | file | answers | errors |\n|---|---|---|---|---|");
    let span = Duration::from_secs(60 * u64::from(minutes));
    let looks = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut clients, begin) = (JoinSet::new(), Instant::now());
        for number in 0..CLIENTS {
            clients.spawn(client(Arc::clone(&world), number, begin + span));
        }
        let mut looks = Vec::new();
        for look in 1..=LOOKS {
            sleep((span * look / LOOKS).saturating_sub(begin.elapsed())).await;
            looks.push(server.resident_bytes()?);
            let file = fs::metadata(dir.join("keyway.redb"))?.len();
            let answers: usize = world.times.iter().map(|times| lock(times).len()).sum();
            let errors = lock(&world.errors).len();
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let (memory, file) = (mib(server.resident_bytes()?), mib(file));
            println!("| {:.0?} | {memory:.1} MiB | {file:.0} MiB | {answers} | {errors} |", begin.elapsed());
        }
        while let Some(ended) = clients.join_next().await {
            ended?;
        }
        Outcome::Ok(looks)
    })?;
    server.stop()?;

    println!("\n| call | answers | half within | 99 % within | longest |\n|---|---|---|---|---|");
    let mut all = Vec::new();
    for ((name, _), times) in DEEDS.iter().zip(&world.times) {
        tell(name, &mut lock(times));
        all.append(&mut lock(times));
    }
    tell("all", &mut all);
    let errors = lock(&world.errors);
    let most = (looks[0] as f64 * GROWTH) as u64 + MOMENT_BYTES;
    match (errors.first(), looks.iter().max()) {
        (Some(first), _) => Err(format!("{} calls failed, the first so:\n{first}", errors.len()).into()),
        (None, Some(&highest)) if highest > most => Err("the memory grows".into()),
        _ => {
            println!("\nno error; the memory is flat");
            Ok(())
        }
    }
}

fn tell(name: &str, micros: &mut [u32]) {
    micros.sort_unstable();
    let within = |share: f64| {
        let at = ((micros.len() as f64 * share) as usize).min(micros.len().saturating_sub(1));
        f64::from(micros.get(at).copied().unwrap_or_default()) / 1e3
    };
    let (half, most, longest) = (within(0.5), within(0.99), within(1.0));
    println!("| {name} | {} | {half:.1} ms | {most:.1} ms | {longest:.0} ms |", micros.len());
}

fn account(number: usize) -> String {
    format!("person-{number}")
}

fn secret_of(server: &Server, token: &str, vault: usize) -> Outcome<String> {
    let path = format!("/v1/vaults/{}/secrets?environment={ENVIRONMENT}&limit=1", fill::repo(vault));
    let answer = load::once(server.address, &Call::get(&path, token))?;
    let body: Value = serde_json::from_slice(&answer[body_start(&answer).unwrap_or_default()..])?;
    Ok(body["data"][0]["id"].as_str().ok_or("no secret")?.to_owned())
}

/// One client, which connects again after a failure.
async fn client(world: Arc<World>, number: usize, end: Instant) {
    let mut dice = Dice::new(number + 1);
    while Instant::now() < end {
        if let Err(error) = work(&world, &mut dice, end).await {
            lock(&world.errors).push(error.to_string());
        }
    }
}

async fn work(world: &World, dice: &mut Dice, end: Instant) -> Outcome<()> {
    let mut line = Line::connect(world.address).await?;
    while Instant::now() < end {
        sleep(Duration::from_millis(dice.below(PAUSE_MAX_MILLIS) as u64)).await;
        let mut die = dice.below(1_000);
        let deed = DEEDS.iter().position(|(_, share)| {
            let hit = die < *share;
            die = die.saturating_sub(*share);
            hit
        });
        let deed = deed.ok_or("the shares are a thousand together")?;
        let begin = Instant::now();
        act(world, dice, &mut line, DEEDS[deed].0).await?;
        lock(&world.times[deed]).push(u32::try_from(begin.elapsed().as_micros())?);
    }
    Ok(())
}

async fn act(world: &World, dice: &mut Dice, line: &mut Line, deed: &str) -> Outcome<()> {
    let vault = dice.below(VAULTS);
    let (repo, token) = (fill::repo(vault), &world.token);
    let get = |path: &str| Call::get(path, token);
    let call = match deed {
        "pull" => get(&format!("/v1/secrets/pull?repo={repo}&environment={ENVIRONMENT}")),
        "push" => {
            let value = format!("{:010}", dice.below(1 << 30));
            let secrets: Value = fill::secrets(&value, 1).into_iter().collect();
            let body = json!({ "repoFullName": repo, "environment": ENVIRONMENT, "secrets": secrets });
            Call::post("/v1/secrets/push", token, &body.to_string())
        }
        "list" if vault.is_multiple_of(2) => get("/v1/vaults?limit=100"),
        "list" => get(&format!("/v1/vaults/{repo}/secrets?environment={ENVIRONMENT}&limit=100")),
        "reveal" => get(&format!("/v1/vaults/{repo}/secrets/{}/value", world.secrets[vault])),
        "activity" => get(&format!("/v1/activity?repo={repo}&limit=50")),
        _ => return sign_in(line, &account(dice.below(ACCOUNTS))).await,
    };
    line.exchange(call.bytes()).await?;
    line.expect(200)
}

/// As a browser does it, and out again.
async fn sign_in(line: &mut Line, name: &str) -> Outcome<()> {
    line.exchange(b"GET /login HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
    line.expect(200)?;
    let page = String::from_utf8_lossy(&line.answer).into_owned();
    let hidden = page.split("<input").find(|input| input.contains("type=\"hidden\"")).ok_or("no form")?;
    let attribute = |name: &str| {
        let value = hidden.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.ok_or("no such attribute")
    };
    let form = format!("{}={}&name={name}&password=correct%20horse", attribute("name")?, attribute("value")?);
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: bench\r\nCookie: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        cookie(&page, "").ok_or("no cookie")?,
        form.len()
    );
    line.exchange(request.as_bytes()).await?;
    line.expect(303)?;
    let answer = String::from_utf8_lossy(&line.answer).into_owned();
    let session = cookie(&answer, "keyway_session=").ok_or("no session")?;
    let token = session.trim_start_matches("keyway_session=");
    line.exchange(Call::get("/v1/users/me", token).bytes()).await?;
    line.expect(200)?;
    line.exchange(Call::post("/v1/auth/logout", token, "{}").bytes()).await?;
    line.expect(200)
}

/// The first cookie in the head of `answer` that begins with `start`.
fn cookie<'a>(answer: &'a str, start: &str) -> Option<&'a str> {
    let cookies = answer.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    cookies.filter_map(|cookie| cookie.split(';').next()).find(|cookie| cookie.starts_with(start))
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
