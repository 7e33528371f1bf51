//! The table, made to be pasted into `README.md` beside this file.

use crate::measure::{FEW_VAULTS, MANY, Results, Work};
use std::time::Duration;

const MIB: f64 = 1_048_576.0;

/// Prints everything.
pub(crate) fn print(results: &Results) {
    println!("{}; one page made durable in {} µs\n", results.machine, micros(results.sync));
    claims(results);
    loads(results);
    shares(results);
}

fn claims(r: &Results) {
    println!("| claim | wanted | measured | |\n|---|---|---|---|");
    let least = |what: &str, wanted: f64, is: f64, unit: &str| {
        println!("| {what} | ≥ {wanted}{unit} | {is:.1}{unit} | {} |", verdict(is >= wanted));
    };
    let percent = |work: &Work| 100.0 * work.rate / r.bare.rate;
    least(&format!("pull, {MANY} connections, to bare hyper"), 25.0, percent(&r.pull), " %");
    least("the same, `audit.reads = \"relaxed\"`", 50.0, percent(&r.relaxed), " %");
    let gain = |many: &Work, one: &Work| many.rate / one.rate;
    least(
        &format!("push, one value new, {MANY} connections to one"),
        3.0,
        gain(&r.push, &r.push_alone),
        " ×",
    );
    least("the same, all fifty values new", 3.0, gain(&r.push_all, &r.push_all_alone), " ×");

    let most = |what: &str, wanted: f64, is: f64, unit: &str| {
        println!("| {what} | < {wanted}{unit} | {is:.2}{unit} | {} |", verdict(is < wanted));
    };
    let slowdown = r.pull_many.half.as_secs_f64() / r.pull_few.half.as_secs_f64();
    most(&format!("pull latency, {} vaults to {FEW_VAULTS}", r.many_vaults), 1.3, slowdown, " ×");
    let beside = r.backups.beside.as_secs_f64() / r.backups.alone.as_secs_f64();
    let each = r.backups.each.as_secs_f64();
    let claim = format!("99 % of pulls within, while backups of {each:.1} s are taken, to otherwise");
    most(&claim, 2.0, beside, " ×");
    let mib = |bytes: u64| bytes as f64 / MIB;
    most("idle memory", 20.0, mib(r.idle_bytes), " MiB");
    most(
        &format!("idle memory, {:.0} MiB in the file", mib(r.large_file_bytes)),
        20.0,
        mib(r.idle_large_bytes),
        " MiB",
    );
    most("memory after the load", 60.0, mib(r.loaded_bytes), " MiB");
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    most("ready after `exec`, that file", 100.0, millis(r.ready), " ms");
    most("the same after `kill -9` while pushing", 100.0, millis(r.ready_killed), " ms");
    most("stripped binary", 15.0, mib(r.binary_bytes), " MiB");
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

fn loads(r: &Results) {
    println!("\n| load | per second | half within | 99 % within | server µs each | machine idle |");
    println!("|---|---|---|---|---|---|");
    for (name, work) in [
        ("bare hyper, 32", &r.bare),
        ("pull, 32", &r.pull),
        ("pull, relaxed, 32", &r.relaxed),
        ("pull, 1", &r.pull_few),
        ("pull, 1, large file", &r.pull_many),
        ("push, one new, 1", &r.push_alone),
        ("push, one new, 32", &r.push),
        ("push, fifty new, 1", &r.push_all_alone),
        ("push, fifty new, 32", &r.push_all),
    ] {
        let (half, most) = (micros(work.half), micros(work.most));
        let (each, idle) = (micros(work.server_time()), work.idle * 100.0);
        println!("| {name} | {:.0} | {half} µs | {most} µs | {each} | {idle:.0} % |", work.rate);
    }
}

/// Where the server's processor time goes, in µs per answer.
fn shares(r: &Results) {
    println!("\n| µs of processor per answer | HTTP | rules and lookups | crypto | commit | bottleneck |");
    println!("|---|---|---|---|---|---|");
    let costs = &r.costs;
    for (name, work, inside, crypto, writer_crypto) in [
        ("pull, 32", &r.pull, costs.pull, costs.pull_crypto, costs.audit_crypto),
        ("pull, relaxed, 32", &r.relaxed, costs.pull, costs.pull_crypto, costs.audit_crypto),
        ("push, one new, 32", &r.push, costs.recognise, costs.recognise_crypto, costs.push_crypto[0]),
        ("push, fifty new, 32", &r.push_all, costs.recognise, costs.recognise_crypto, costs.push_crypto[1]),
    ] {
        let shares = [
            ("HTTP", work.cpu.others.saturating_sub(inside)),
            ("rules and lookups", inside.saturating_sub(crypto)),
            ("crypto", crypto + writer_crypto),
            ("commit", work.cpu.writer.saturating_sub(writer_crypto)),
        ];
        let total = work.server_time().as_secs_f64();
        let cells =
            shares.map(|(_, time)| format!("{} ({:.0} %)", micros(time), 100.0 * time.as_secs_f64() / total));
        let largest = shares.into_iter().max_by_key(|share| share.1).unwrap_or_default();
        // Processors that have nothing to do wait for the disk.
        let next = if work.idle > 0.3 { "the disk" } else { largest.0 };
        println!("| {name} | {} | {next} |", cells.join(" | "));
    }
    println!("\nbare hyper: {} µs per answer, all HTTP", micros(r.bare.server_time()));
    let [alone, together] = costs.counting;
    let share = 1e3 * together.as_secs_f64() / r.pull.server_time().as_secs_f64();
    println!(
        "counting for `/metrics`: {} ns of a request, {} ns when two threads do nothing else, {share:.1} thousandths \
         of a pull",
        alone.as_nanos(),
        together.as_nanos()
    );
}

fn micros(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e6)
}
