//! What /proc says about a process: the server under load.

use std::fs;
use std::io;
use std::time::Duration;

/// Clock ticks a second of the times in /proc, fixed in the kernel's interface.
const TICKS: f64 = 100.0;

/// A running process of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// That process.
    ///
    /// # Errors
    /// When there is none, or it is not ours to read.
    pub fn of(pid: u32) -> io::Result<Process> {
        let process = Process { pid };
        process.cpu()?;
        Ok(process)
    }

    /// User and system time so far, in steps of 10 ms.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        Ok(Duration::from_secs_f64(ticks_of(&stat) as f64 / TICKS))
    }

    /// The same to the nanosecond, where the kernel tells it for each thread (`schedstat`); threads that ended are
    /// not in it.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_of_threads(self) -> io::Result<Duration> {
        let mut ns = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // It may end meanwhile.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            ns += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        if ns == 0 { self.cpu() } else { Ok(Duration::from_nanos(ns)) }
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident(self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kb| kb.parse::<u64>().ok());
        Ok(kb.unwrap_or(0) * 1024)
    }
}

/// utime and stime of a stat line; the name in front of them may hold anything.
fn ticks_of(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Processor, cores and kernel of this machine.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_process_name() {
        let stat = "42 (a) b ()) S 1 42 42 0 -1 4194560 100 0 0 0 17 5 0 0 20 0 1 0 1000 1 1";
        assert_eq!(ticks_of(stat), 22);
        assert_eq!(ticks_of("broken"), 0);
    }

    #[test]
    fn the_own_process_can_be_measured() {
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.resident().unwrap() > 1_000_000);
        assert!(own.cpu_of_threads().unwrap() > Duration::ZERO);
        assert!(Process::of(u32::MAX).is_err());
        assert!(machine().contains("Linux"));
    }
}
