//! The node and the store as the command line sees them.

use super::{Failure, log};
use crate::admin::OfflineApi;
use crate::config::Config;

/// Starts nodes and opens stores.
pub trait Backend {
    /// Runs a node until it is told to stop.
    fn serve(&self, config: Config) -> Result<(), Failure>;
    /// Opens the store of a data directory, which is made if it is empty or not there.
    fn open(&self, config: &Config) -> Result<Box<dyn OfflineApi>, Failure>;
    /// Fills an empty data directory from a backup; the number of rows.
    fn restore(&self, config: &Config, file: &std::path::Path) -> Result<u64, Failure>;
}

/// The real ones.
#[derive(Debug, Clone, Copy)]
pub struct Real;

impl Backend for Real {
    fn serve(&self, config: Config) -> Result<(), Failure> {
        log::start("info,actix_server=warn");
        crate::node::run(&config).map_err(|e| Failure::Refused(e.to_string()))
    }

    fn open(&self, config: &Config) -> Result<Box<dyn OfflineApi>, Failure> {
        log::start("warn");
        match crate::offline::open(config) {
            Ok(store) => Ok(Box::new(store)),
            Err(e) => Err(Failure::Refused(e.to_string())),
        }
    }

    fn restore(&self, config: &Config, file: &std::path::Path) -> Result<u64, Failure> {
        log::start("warn");
        crate::offline::restore(config, file).map_err(Failure::Refused)
    }
}
