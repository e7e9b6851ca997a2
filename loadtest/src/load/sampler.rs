//! Looks at a server's process once a second while load goes on.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::process::Process;

/// What `/proc` said at a moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the start.
    pub at_s: f64,
    /// Processor time since the sample before, in cores.
    pub cores: f64,
    /// Memory of the process and its descendants, bytes.
    pub memory: u64,
}

/// Samples until it is asked for them.
pub struct Sampler {
    stop: SyncSender<()>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    /// Begins.
    pub fn start(process: Process) -> Sampler {
        let (stop, stopped) = sync_channel::<()>(1);
        let thread = std::thread::spawn(move || {
            let (start, mut samples) = (Instant::now(), Vec::new());
            let mut last = (0.0, process.cpu_of_family().unwrap_or_default());
            // Ends at the end of the sender, whatever became of it.
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let Ok(cpu) = process.cpu_of_family() else { break };
                let at_s = start.elapsed().as_secs_f64();
                let cores = cpu.saturating_sub(last.1).as_secs_f64() / (at_s - last.0).max(1e-9);
                samples.push(Sample { at_s, cores, memory: process.memory_of_family() });
                last = (at_s, cpu);
            }
            samples
        });
        Sampler { stop, thread }
    }

    /// Ends and gives what was seen.
    pub fn end(self) -> Vec<Sample> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}
