//! What each command does.

use std::path::Path;

use super::args::{Arguments, Cert, Command, Explain, Format, OwnName, Place};
use super::{Failure, World, backup, inventory, listing, pem};
use crate::admin::TOKEN_FILE;
use crate::admin::control::{Control, escape};
use crate::config::{Config, Sources};

pub(super) fn execute(arguments: &Arguments, world: &mut World<'_>) -> Result<(), Failure> {
    let config = configuration(&arguments.place, world)?;
    match &arguments.command {
        Command::Serve => world.backend.serve(config),
        Command::Init => init(&config, world),
        Command::CheckConfig => check_config(&config, world),
        Command::Import { file } => inventory::import(&config, file, world),
        Command::Export { secrets: Some(_) } => Err(Failure::Refused(
            "export --secrets is not available yet; without it the inventory is exported and secrets stay here"
                .to_owned(),
        )),
        Command::Export { secrets: None } => inventory::export(&config, world),
        Command::Backup { file } => backup::backup(&config, file, world),
        Command::Restore { file } => backup::restore(&config, file, world),
        Command::Explain(Explain::Call { id }) => {
            let text = running(&config)?.text(&format!("/api/v1/calls/{}/security", escape(id)))?;
            world.out.write_all(text.as_bytes()).map_err(Failure::output)
        }
        Command::Calls(form) => listing::calls(&mut running(&config)?, form.json, world.out),
        Command::Registrations(form) => listing::registrations(&mut running(&config)?, form.json, world.out),
        Command::Cert(Cert::Export { name, format }) => certificate(&config, *name, *format, world),
    }
}

fn configuration(place: &Place, world: &World<'_>) -> Result<Config, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let sources =
        Sources { file: place.config.as_deref(), data: place.data.as_deref(), env: world.env, cores };
    Ok(Config::load(&sources)?)
}

/// The node that runs on the data directory; a command that only a running node can answer needs one.
fn running(config: &Config) -> Result<Control, Failure> {
    Control::connect(&config.node.data_dir)?.ok_or_else(|| {
        let place = config.node.data_dir.display();
        Failure::Refused(format!(
            "no node runs on {place}; start one with `keyline serve`, or name another with --data"
        ))
    })
}

fn is_made(data_dir: &Path) -> bool {
    data_dir.join(TOKEN_FILE).exists()
}

fn init(config: &Config, world: &mut World<'_>) -> Result<(), Failure> {
    let folder = &config.node.data_dir;
    let before = is_made(folder);
    // A running node has made everything.
    if Control::connect(folder)?.is_none() {
        world.backend.open(config)?;
    }
    let place = folder.display();
    match before {
        true => writeln!(world.out, "{place} is initialised already; nothing was changed"),
        false => writeln!(world.out, "{place} is initialised; the admin token is in {place}/{TOKEN_FILE}"),
    }
    .map_err(Failure::output)
}

fn check_config(config: &Config, world: &mut World<'_>) -> Result<(), Failure> {
    for warning in &config.warnings {
        let _ = writeln!(world.err, "keyline: warning: {}", super::failure::line(warning));
    }
    let file =
        config.file.as_deref().map_or("no file, all defaults".into(), |file| file.display().to_string());
    let listeners: Vec<_> =
        config.listen.bound().map(|(listener, address)| format!("{} {address}", listener.key())).collect();
    writeln!(
        world.out,
        "configuration is right ({file}): node {}, data {}, {} shards, listens on {}",
        config.node.name,
        config.node.data_dir.display(),
        config.shards,
        if listeners.is_empty() { "nothing".to_owned() } else { listeners.join(", ") },
    )
    .map_err(Failure::output)
}

fn certificate(config: &Config, name: OwnName, format: Format, world: &mut World<'_>) -> Result<(), Failure> {
    let name = name.as_str();
    let text = match Control::connect(&config.node.data_dir)? {
        Some(mut node) => node.text(&format!("/certificates/{}", escape(name)))?,
        None => world.backend.open(config)?.certificate(name).ok_or_else(|| {
            let place = config.node.data_dir.display();
            Failure::Refused(format!(
                "{place} has no certificate named {name}; `keyline init` makes what is missing"
            ))
        })?,
    };
    let bytes = match format {
        Format::Pem => text.into_bytes(),
        Format::Der => pem::first_der(&text)?,
    };
    world.out.write_all(&bytes).map_err(Failure::output)
}
