//! What /proc says about a process: the server under load.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

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

    /// Its number.
    pub fn pid(self) -> u32 {
        self.pid
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
        let (ran, _) = self.scheduled()?;
        if ran.is_zero() { self.cpu() } else { Ok(ran) }
    }

    /// How long its threads ran, and how long they waited for a core while they could have run.
    fn scheduled(self) -> io::Result<(Duration, Duration)> {
        let mut ns = [0, 0];
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // It may end meanwhile.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            for (ns, field) in ns.iter_mut().zip(text.split_whitespace()) {
                *ns += field.parse::<u64>().unwrap_or(0);
            }
        }
        Ok((Duration::from_nanos(ns[0]), Duration::from_nanos(ns[1])))
    }

    /// How long this process and all that descend from it waited for a core that others had.
    pub fn waited_of_family(self) -> Duration {
        self.family().iter().filter_map(|one| one.scheduled().ok()).map(|(_, waited)| waited).sum()
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

impl Process {
    /// This process and all that descend from it.
    pub fn family(self) -> Vec<Process> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .filter_map(|pid| Some((pid, parent_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
            .collect();
        let mut family = vec![self];
        let mut next = 0;
        while let Some(one) = family.get(next).copied() {
            let children = parents.iter().filter(|(_, parent)| *parent == one.pid);
            family.extend(children.map(|(pid, _)| Process { pid: *pid }));
            next += 1;
        }
        family
    }

    /// User and system time of this process and all that descend from it, to the nanosecond where the kernel tells.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_of_family(self) -> io::Result<Duration> {
        let own = self.cpu_of_threads()?;
        // A child may end meanwhile.
        Ok(own + self.family()[1..].iter().filter_map(|one| one.cpu_of_threads().ok()).sum::<Duration>())
    }

    /// Memory of this process and all that descend from it, bytes: what they share counts once (`Pss`), where
    /// the kernel tells; else what each has resident.
    pub fn memory_of_family(self) -> u64 {
        self.family().iter().map(|one| one.proportional().or_else(|| one.resident().ok()).unwrap_or(0)).sum()
    }

    fn proportional(self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// Keeps all threads of this process on some cores; threads and children that it starts later stay there too.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pin(self, cores: std::ops::Range<usize>) -> io::Result<()> {
        let mut set = CpuSet::new();
        for core in cores {
            set.set(core)?;
        }
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            if let Ok(task) = task?.file_name().to_string_lossy().parse::<i32>() {
                sched_setaffinity(Pid::from_raw(task), &set)?;
            }
        }
        Ok(())
    }
}

/// The parent in a stat line.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
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
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn times_are_read_behind_any_process_name() {
        let stat = "42 (a) b ()) S 1 42 42 0 -1 4194560 100 0 0 0 17 5 0 0 20 0 1 0 1000 1 1";
        assert_eq!(ticks_of(stat), 22);
        assert_eq!(ticks_of("broken"), 0);
        assert_eq!((parent_of(stat), parent_of("broken")), (Some(1), None));
    }

    #[test]
    fn the_own_process_can_be_measured() {
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.resident().unwrap() > 1_000_000);
        assert!(own.cpu_of_threads().unwrap() > Duration::ZERO);
        assert!(Process::of(u32::MAX).is_err());
        assert!(machine().contains("Linux"));
    }

    #[test]
    fn children_belong_to_the_family() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.family().iter().any(|one| one.pid == child.id()));
        assert!(own.cpu_of_family().unwrap() > Duration::ZERO && own.memory_of_family() > 1_000_000);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
