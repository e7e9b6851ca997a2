//! Two servers side by side: a node and Kamailio, one after the other on the first core, phones on the others. What
//! an operation costs each in processor time, as busy as it can be made and at a rate that is the same for both.
//!
//! Kamailio runs as somebody sets it up who wants it cheap (`peers/kamailio.cfg`, allocator tlsf, all in memory);
//! the node as it is shipped, with credentials of each phone and every binding committed before its 200, only the
//! limits of one source raised: the loopback network is one.

mod contender;
mod report;
mod session;

use std::path::Path;

use serde::Serialize;

pub use self::contender::Contender;
pub use self::report::Compared;
use crate::load::{Carrier, Process, machine};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Phones over UDP.
    pub phones: u32,
    /// Phones over TCP and over TLS, each with its connection.
    pub stream_phones: u32,
    /// Calls.
    pub calls: u64,
    /// Operations a second of the rows at part load; of calls a tenth of it.
    pub part_rate: f64,
    /// Seconds of a row at part load.
    pub part_s: f64,
    /// Operations at a time of the rows at saturation.
    pub window: u64,
    /// How often all of it.
    pub repeats: u32,
    /// Transports.
    pub carriers: Vec<Carrier>,
    /// Servers.
    pub contenders: Vec<Contender>,
}

/// One operation over one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Row {
    /// Place in the table.
    pub place: u8,
    /// `UDP`, `TCP`, `TLS`.
    pub transport: &'static str,
    /// Operation.
    pub operation: &'static str,
}

/// What one server needed for one operation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figure {
    /// Processor time of all its processes, user and system, microseconds an operation.
    pub us: f64,
    /// Operations a second that went well.
    pub per_s: f64,
    /// Part of the time in which it ran or would have run, had others not had its core.
    pub busy: f64,
    /// Share of operations that failed.
    pub failed: f64,
}

/// A row of one server in one repeat.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Row.
    pub row: Row,
    /// Server.
    pub contender: Contender,
    /// From 1.
    pub repeat: u32,
    /// As busy as it can be made.
    pub saturated: Result<Figure, String>,
    /// At the rate that is the same for all.
    pub part: Result<Figure, String>,
}

/// What one server keeps in memory for one phone.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    /// What for.
    pub what: &'static str,
    /// Server.
    pub contender: Contender,
    /// From 1.
    pub repeat: u32,
    /// Bytes.
    pub bytes: f64,
}

/// Runs all of it. A row that fails says why and is no reason to end.
///
/// # Errors
/// When not even a folder or the cores can be had.
pub fn compare(keyline: &Path, plan: Plan) -> Result<Compared, Fault> {
    crate::storm::raise_descriptors();
    let machine = machine();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    // Before any server is started: children stay where their parent is until they are put elsewhere.
    Process::of(std::process::id())?.pin(1.min(cores - 1)..cores)?;
    let folder = tempfile::tempdir()?;
    let (mut cells, mut memory) = (Vec::new(), Vec::new());
    for repeat in 1..=plan.repeats.max(1) {
        for &carrier in &plan.carriers {
            for &contender in &plan.contenders {
                eprintln!("repeat {repeat}: {} over {}", contender.name(), carrier.via());
                let place = folder.path().join(format!(
                    "{repeat}-{}-{}",
                    carrier.via(),
                    contender.name().replace(' ', "-")
                ));
                let (measured, kept) = session::measure(keyline, &place, &plan, carrier, contender);
                memory.extend(kept.into_iter().map(|(what, bytes)| Memory {
                    what,
                    contender,
                    repeat,
                    bytes,
                }));
                for (row, saturated, part) in measured {
                    cells.push(Cell { row, contender, repeat, saturated, part });
                    eprintln!("  {}", report::line(&cells[cells.len() - 1]));
                }
                // What it left is of no use, and may be large.
                let _ = std::fs::remove_dir_all(&place);
            }
        }
    }
    Ok(Compared { command: std::env::args().collect::<Vec<_>>().join(" "), machine, cells, memory })
}
