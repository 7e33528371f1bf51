//! What is measured on: what the machine calls itself, and how long its disk takes to
//! make one page durable, which bounds every durable answer.

use crate::Outcome;
use crate::measure::median;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const PROBES: u32 = 60;
const PAGE: usize = 4096;

/// One line about processor, memory and kernel.
pub(crate) fn description() -> Outcome<String> {
    let read = |path: &str| fs::read_to_string(path);
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let processors = std::thread::available_parallelism()?;
    let model = field(&read("/proc/cpuinfo")?, "model name");
    let memory = field(&read("/proc/meminfo")?, "MemTotal");
    let gigabytes = memory.trim_end_matches(" kB").parse::<u64>()? >> 20;
    let kernel = read("/proc/sys/kernel/osrelease")?;
    Ok(format!("{processors} × {model}, {gigabytes} GiB, Linux {}", kernel.trim()))
}

/// How long the disk under `dir` takes to make one page durable.
pub(crate) fn sync_time(dir: &Path) -> Outcome<Duration> {
    let path = dir.join("sync-probe");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all_at(&vec![1; PROBES as usize * PAGE], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for number in 0..PROBES {
        file.write_all_at(&[2; PAGE], u64::from(number) * PAGE as u64)?;
        let begin = Instant::now();
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    fs::remove_file(path)?;
    Ok(median(times))
}
