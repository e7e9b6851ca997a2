//! What each command does.

use std::path::Path;

use super::args::{Arguments, Call, Cert, Command, Explain, Format, ListOnly, Object, OwnName, Place, User};
use super::source::Source;
use super::{Failure, World, audit, backup, inventory, listing, pem, show, token, trace};
use crate::admin::TOKEN_FILE;
use crate::admin::control::{Control, escape};
use crate::admin::lists::List;
use crate::config::{Config, Sources};

pub(super) fn execute(arguments: &Arguments, world: &mut World<'_>) -> Result<(), Failure> {
    let config = configuration(&arguments.place, world)?;
    let place = &arguments.place;
    if place.url.is_some() && !arguments.command.is_thin() {
        return Err(Failure::Refused(
            "this command works on the node of this machine only: leave out --url".to_owned(),
        ));
    }
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
            let path = format!("/api/v1/calls/{}/security", escape(id));
            let text = Source::running(place, &config)?.text(&path)?;
            world.out.write_all(text.as_bytes()).map_err(Failure::output)
        }
        Command::Health(form) => show::health(&mut Source::running(place, &config)?, form, world),
        Command::Calls(form) => {
            listing::list(&mut Source::running(place, &config)?, &listing::CALLS, form, world)
        }
        Command::Call(Call::Show { id, form }) => {
            show::one(&mut Source::running(place, &config)?, "calls", None, id, form, world)
        }
        Command::Registrations(form) => {
            listing::list(&mut Source::running(place, &config)?, &listing::REGISTRATIONS, form, world)
        }
        Command::Phone(what) => objects(what, List::Phones, &listing::PHONES, place, &config, world),
        Command::Profile(what) => {
            objects(what, List::SecurityProfiles, &listing::PROFILES, place, &config, world)
        }
        Command::Parameter(what) => {
            objects(what, List::Parameters, &listing::PARAMETERS, place, &config, world)
        }
        Command::Model(what) => objects(what, List::PhoneModels, &listing::MODELS, place, &config, world),
        Command::Token(what) => token::execute(what, &config, world),
        Command::Trace(what) => trace::execute(what, &mut Source::running(place, &config)?, world),
        Command::User(User::List { application, form }) => {
            let table = if *application { &listing::APPLICATION_USERS } else { &listing::END_USERS };
            listing::list(&mut Source::any(place, &config, world)?, table, form, world)
        }
        Command::Line(ListOnly::List(form)) => {
            listing::list(&mut Source::any(place, &config, world)?, &listing::LINES, form, world)
        }
        Command::Cert(Cert::List(form)) => {
            listing::list(&mut Source::any(place, &config, world)?, &listing::CERTIFICATES, form, world)
        }
        Command::Audit(what) => audit::execute(what, place, &config, world),
        Command::Cert(Cert::Export { name, format }) => certificate(&config, *name, *format, world),
    }
}

fn configuration(place: &Place, world: &World<'_>) -> Result<Config, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let sources =
        Sources { file: place.config.as_deref(), data: place.data.as_deref(), env: world.env, cores };
    Ok(Config::load(&sources)?)
}

fn objects(
    what: &Object,
    list: List,
    table: &listing::Table,
    place: &Place,
    config: &Config,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let mut source = Source::any(place, config, world)?;
    match what {
        Object::List(form) => listing::list(&mut source, table, form, world),
        Object::Show { name, form } => {
            show::one(&mut source, list.shape().name, Some(list), name, form, world)
        }
    }
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

impl Command {
    /// It only asks the admin API.
    fn is_thin(&self) -> bool {
        match self {
            Self::Explain(_) | Self::Health(_) | Self::Calls(_) | Self::Call(_) | Self::Registrations(_) => {
                true
            }
            Self::Phone(_) | Self::Profile(_) | Self::User(_) | Self::Line(_) | Self::Parameter(_) => true,
            Self::Model(_) | Self::Cert(Cert::List(_)) | Self::Trace(_) | Self::Audit(_) => true,
            Self::Serve | Self::Init | Self::CheckConfig | Self::Import { .. } | Self::Export { .. } => false,
            Self::Token(_) | Self::Backup { .. } | Self::Restore { .. } | Self::Cert(Cert::Export { .. }) => {
                false
            }
        }
    }
}
