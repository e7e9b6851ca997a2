//! The process: memory, processor time, files and threads, from /proc/self.

use std::fs;

use prometheus::Registry;

use super::pulled::{Pulled, Series};

/// Ticks a second in /proc/self/stat; the kernel gives this value to every program (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

const SERIES: [Series; 5] = [
    Series::gauge("keyline_process_resident_memory_bytes", "Memory that is resident"),
    Series::counter("keyline_process_cpu_seconds_total", "Processor time, user and system"),
    Series::gauge("keyline_process_open_files", "Open file descriptors; each connection is one"),
    Series::gauge("keyline_process_open_files_limit", "Most file descriptors that may be open"),
    Series::gauge("keyline_process_threads", "Threads"),
];

/// Registers the process's own figures. Where /proc is not there they are absent.
pub fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(Pulled::new(SERIES, read)?))
}

fn read() -> [Option<f64>; SERIES.len()] {
    let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let status = text("status");
    [
        field(&status, "VmRSS:").map(|kib| kib * 1024.0),
        processor_seconds(&text("stat")),
        open_files(),
        open_files_limit(&text("limits")),
        field(&status, "Threads:"),
    ]
}

fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15 (utime, stime), counted behind the program's name, which may hold anything.
fn processor_seconds(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Newer kernels tell the number as the folder's size; older ones have it counted.
fn open_files() -> Option<f64> {
    let folder = "/proc/self/fd";
    match fs::metadata(folder).ok()?.len() {
        0 => Some(fs::read_dir(folder).ok()?.count() as f64),
        count => Some(count as f64),
    }
}

fn open_files_limit(limits: &str) -> Option<f64> {
    field(limits, "Max open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_files_and_threads() {
        let [memory, cpu, files, limit, threads] = read().map(Option::unwrap);
        assert!(memory > 100_000.0 && cpu >= 0.0 && threads >= 1.0);
        let open: Vec<_> = (0..20).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(files >= 3.0 && files < limit);
        assert!(open_files().unwrap() >= 20.0);
        drop(open);
    }

    #[test]
    fn a_program_name_with_spaces_and_brackets_moves_no_field() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 100";
        assert_eq!(processor_seconds(stat), Some(2.0));
        assert_eq!(processor_seconds("nonsense"), None);
        assert_eq!(open_files_limit("Max open files            1024       4096      files"), Some(1024.0));
    }
}
