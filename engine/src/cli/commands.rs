//! What each command does.

use std::path::Path;

use super::args::Known;
use super::args::Package;
use super::args::{
    Arguments, Call, Cert, Command, Delete, Dependencies, Enterprise, Explain, Format, Line, Named, Object,
    OwnName, Parameter, Phone, Place, Profile, Show, Write,
};
use super::noun::{self, Noun};
use super::source::{self, Source};
use super::{
    Failure, World, audit, backup, bulk, change, completion, crl, inventory, listing, oauth, orders, own,
    pem, rollout, said, show, token, trace,
};
use crate::admin::changes;
use crate::admin::control::{Control, escape};
use crate::admin::lists;
use crate::admin::{PhoneOrder, TOKEN_FILE, description};
use crate::config::{Config, Sources};

pub(super) fn execute(arguments: &Arguments, world: &mut World<'_>) -> Result<(), Failure> {
    // What needs neither node nor configuration.
    match arguments.command {
        Command::Completion { shell } => return completion::print(shell, world),
        Command::Openapi if arguments.place.url.is_none() => return said::whole(&description(), world),
        _ => {}
    }
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
        Command::Import { file } => inventory::import((place, &config), file, world),
        Command::Export { secrets: Some(_) } => Err(Failure::Refused(
            "export --secrets is not available yet; without it the inventory is exported and secrets stay here"
                .to_owned(),
        )),
        Command::Export { secrets: None } => inventory::export((place, &config), world),
        Command::Backup { file } => backup::backup(&config, file, world),
        Command::Restore { file } => backup::restore(&config, file, world),
        Command::Explain(Explain::Call { id }) => {
            let path = format!("/api/v1/calls/{}/security", escape(id));
            let text = running(place, &config)?.text(&path)?;
            world.out.write_all(text.as_bytes()).map_err(Failure::output)
        }
        Command::Health(form) => show::health(&mut running(place, &config)?, form, world),
        Command::Calls(form) => {
            listing::list(&mut running(place, &config)?, &listing::CALLS, form, world)
        }
        Command::Call(Call::Show { id, form }) => {
            show::one(&mut running(place, &config)?, "calls", id, form, world)
        }
        Command::Registrations(form) => {
            listing::list(&mut running(place, &config)?, &listing::REGISTRATIONS, form, world)
        }
        Command::Phone(what) => {
            let mut order = |name: &str, order| {
                orders::phone(name, order, &mut running(place, &config)?, world)
            };
            match what {
                Phone::Object(what) => objects(&noun::PHONE, what, (place, &config), world),
                Phone::Login { name, user, how } => {
                    let mut source = Source::changing(place, &config, how, world)?;
                    change::log_in(name, Some(user), how, &mut source, world)
                }
                Phone::Logout { name, how } => {
                    let mut source = Source::changing(place, &config, how, world)?;
                    change::log_in(name, None, how, &mut source, world)
                }
                Phone::Capf(what) => {
                    change::capf(what, &mut Source::changing(place, &config, &what.how, world)?, world)
                }
                Phone::Reset(one) => order(&one.name, PhoneOrder::Reset),
                Phone::Restart(one) => order(&one.name, PhoneOrder::Restart),
                Phone::Apply(one) => order(&one.name, PhoneOrder::Apply),
                Phone::Setup { name, form } => {
                    let found = Source::any(place, &config, world)?.setup(name)?;
                    show::print(&found, form, world)
                }
            }
        }
        Command::Profile(Profile::Named(what)) => named(&noun::PROFILE, what, (place, &config), world),
        Command::Profile(Profile::Copy { name, to, fields, how }) => {
            let mut source = Source::changing(place, &config, how, world)?;
            change::copy(name, to, (fields, how), &mut source, world)
        }
        Command::Profile(Profile::Rename { name, to, how }) => {
            change::rename(name, to, how, &mut Source::changing(place, &config, how, world)?, world)
        }
        Command::Profile(Profile::Apply(what)) => rollout::begin("apply", what, &mut running(place, &config)?, world),
        Command::Profile(Profile::Restart(what)) => rollout::begin("restart", what, &mut running(place, &config)?, world),
        Command::Profile(Profile::Reset(what)) => rollout::begin("reset", what, &mut running(place, &config)?, world),
        Command::Rollout(what) => rollout::execute(what, &mut running(place, &config)?, world),
        Command::User(user) => {
            let noun = if user.application { &noun::APPLICATION_USER } else { &noun::END_USER };
            named(noun, &user.what, (place, &config), world)
        }
        Command::Line(Line::Named(what)) => named(&noun::LINE, what, (place, &config), world),
        Command::Line(Line::Messages { dn, new, old, urgent_new, urgent_old }) => {
            let waiting = orders::waiting(*new, *old, *urgent_new, *urgent_old);
            orders::messages(dn, waiting, &mut running(place, &config)?, world)
        }
        Command::Parameter(what) => parameters(what, (place, &config), world),
        Command::SipRealm(what) => objects(&noun::SIP_REALM, what, (place, &config), world),
        Command::TrunkProfile(what) => objects(&noun::TRUNK_PROFILE, what, (place, &config), world),
        Command::Trunk(what) => objects(&noun::TRUNK, what, (place, &config), world),
        Command::CommonProfile(what) => named(&noun::COMMON_PROFILE, what, (place, &config), world),
        Command::Enterprise(what) => enterprise(what, (place, &config), world),
        Command::Model(what) => named(&noun::MODEL, what, (place, &config), world),
        Command::Package(what) => packages(what, (place, &config), world),
        Command::Feature(what) => known(&listing::FEATURES, what, (place, &config), world),
        Command::Gateway(what) => known(&listing::GATEWAYS, what, (place, &config), world),
        Command::HardeningTemplate(what) => known(&listing::TEMPLATES, what, (place, &config), world),
        Command::Options { model, protocol, form } => {
            let found = Source::any(place, &config, world)?.options(model, protocol.as_deref())?;
            show::print(&found, form, world)
        }
        Command::HelpText { kind, form } => {
            // The program knows it; a node elsewhere may be of another version.
            let found = match place.url {
                Some(_) => running(place, &config)?.help(kind.as_deref())?,
                None => lists::help(kind.as_deref()).map_err(source::refused)?,
            };
            show::print(&found, form, world)
        }
        Command::Token(what) => token::execute(what, (place, &config), world),
        Command::Oauth(what) => oauth::execute(what, place, &config, world),
        Command::Trace(what) => trace::execute(what, &mut running(place, &config)?, world),
        Command::Bulk(what) => bulk::execute(what, (place, &config), world),
        Command::Audit(what) => audit::execute(what, place, &config, world),
        Command::Cert(what) => certificates(what, (place, &config), world),
        Command::Nodes(form) => listing::list(&mut running(place, &config)?, &listing::NODES, form, world),
        Command::Openapi => {
            let description = running(place, &config)?.node()?.json("/api/v1/openapi.json")?;
            said::whole(&description, world)
        }
        Command::Completion { shell } => completion::print(*shell, world),
    }
}

/// Facts that nobody configures.
fn known(
    table: &'static listing::Table,
    what: &Known,
    site: Site<'_>,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let (place, config) = site;
    match what {
        Known::List(form) => listing::list(&mut Source::any(place, config, world)?, table, form, world),
        Known::Show { name, form } => {
            let found = Source::any(place, config, world)?.listed(table, name)?;
            show::print(&found, form, world)
        }
    }
}

/// Packages; a signature is verified where the change is made.
fn packages(what: &Package, site: Site<'_>, world: &mut World<'_>) -> Result<(), Failure> {
    let (place, config) = site;
    match what {
        Package::List(form) => {
            listing::list(&mut Source::any(place, config, world)?, &listing::PACKAGES, form, world)
        }
        Package::Show { name, form } => {
            let found = Source::any(place, config, world)?.listed(&listing::PACKAGES, name)?;
            show::print(&found, form, world)
        }
        Package::Install { file, dry_run } => {
            let source = &mut Source::changing_unless(*dry_run, place, config, world)?;
            orders::install(file, *dry_run, source, world)
        }
        Package::Delete { name } => orders::uninstall(name, &mut Source::any(place, config, world)?, world),
    }
}

/// A running node, for what only such a one has.
fn running(place: &Place, config: &Config) -> Result<Source, Failure> {
    Source::running(place, config)
}

/// Where a command works: what was typed of it, and the configuration.
type Site<'a> = (&'a Place, &'a Config);

fn named(noun: &Noun, what: &Named, site: Site<'_>, world: &mut World<'_>) -> Result<(), Failure> {
    match what {
        Named::Object(what) => objects(noun, what, site, world),
        Named::Dependencies(Dependencies { name, form }) => {
            let mut source = Source::any(site.0, site.1, world)?;
            listing::dependencies(&mut source, noun, name, form, world)
        }
    }
}

fn objects(noun: &Noun, what: &Object, site: Site<'_>, world: &mut World<'_>) -> Result<(), Failure> {
    let (place, config) = site;
    match what {
        Object::List(form) => listing::list(&mut Source::any(place, config, world)?, noun.table, form, world),
        Object::Show(what) => show::object(noun, what, &mut Source::any(place, config, world)?, world),
        Object::Add(what) => {
            change::add(noun, what, &mut Source::changing(place, config, &what.how, world)?, world)
        }
        Object::Set(Write { name, fields, how }) => {
            let mut source = Source::changing(place, config, how, world)?;
            change::set(noun, (name, fields, how), &mut source, world)
        }
        Object::Replace(Write { name, fields, how }) => {
            let mut source = Source::changing(place, config, how, world)?;
            change::replace(noun, (name, fields, how), &mut source, world)
        }
        Object::Delete(what) => change::delete(noun, what, site, world),
    }
}

/// There is one object; its name is the node's own affair.
fn enterprise(what: &Enterprise, site: Site<'_>, world: &mut World<'_>) -> Result<(), Failure> {
    let (noun, (place, config)) = (&noun::ENTERPRISE, site);
    let name = changes::ENTERPRISE;
    match what {
        Enterprise::Show { etag, form } => {
            let what = Show { name: name.to_owned(), etag: *etag, form: *form };
            show::object(noun, &what, &mut Source::any(place, config, world)?, world)
        }
        Enterprise::Set { fields, how } => {
            let mut source = Source::changing(place, config, how, world)?;
            change::set(noun, (name, fields, how), &mut source, world)
        }
        Enterprise::Replace { fields, how } => {
            let mut source = Source::changing(place, config, how, world)?;
            change::replace(noun, (name, fields, how), &mut source, world)
        }
        Enterprise::Delete { yes, how } => {
            let what = Delete {
                names: vec![name.to_owned()],
                filters: Vec::new(),
                all: false,
                yes: *yes,
                how: how.clone(),
            };
            change::delete(noun, &what, site, world)
        }
    }
}

fn parameters(what: &Parameter, site: Site<'_>, world: &mut World<'_>) -> Result<(), Failure> {
    let (noun, (place, config)) = (&noun::PARAMETER, site);
    match what {
        Parameter::List(form) => {
            listing::list(&mut Source::any(place, config, world)?, noun.table, form, world)
        }
        Parameter::Show(what) => show::object(noun, what, &mut Source::any(place, config, world)?, world),
        Parameter::Set { name, value, how } => {
            let mut source = Source::changing(place, config, how, world)?;
            change::set_parameter(name, value, how, &mut source, world)
        }
        Parameter::Delete(what) => change::delete(noun, what, site, world),
    }
}

fn certificates(what: &Cert, site: Site<'_>, world: &mut World<'_>) -> Result<(), Failure> {
    let (noun, (place, config)) = (&noun::CERTIFICATE, site);
    match what {
        Cert::List(form) => listing::list(&mut Source::any(place, config, world)?, noun.table, form, world),
        Cert::Show(what) => show::object(noun, what, &mut Source::any(place, config, world)?, world),
        Cert::Add { how, .. } => {
            change::add_certificate(what, &mut Source::changing(place, config, how, world)?, world)
        }
        Cert::Set(Write { name, fields, how }) => {
            let mut source = Source::changing(place, config, how, world)?;
            change::set(noun, (name, fields, how), &mut source, world)
        }
        Cert::Replace(Write { name, fields, how }) => {
            let mut source = Source::changing(place, config, how, world)?;
            change::replace(noun, (name, fields, how), &mut source, world)
        }
        Cert::Delete(what) => change::delete(noun, what, site, world),
        Cert::Crl(what) => crl::execute(what, site, world),
        Cert::Own { name, form } => own::show(*name, form.json, site, world),
        Cert::Csr { name, new_key, rsa_bits } => own::request(*name, *new_key, *rsa_bits, site, world),
        Cert::Install { name, pem, dry_run, json } => {
            own::install(*name, pem, (*dry_run, *json), site, world)
        }
        Cert::Staple { name, file, dry_run, delete: _ } => {
            own::staple(*name, file.as_deref(), *dry_run, site, world)
        }
        Cert::Regenerate { name, yes, json } => own::regenerate(*name, (*yes, *json), site, world),
        Cert::Export { name, format } => certificate(config, *name, *format, world),
    }
}

fn configuration(place: &Place, world: &World<'_>) -> Result<Config, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let sources =
        Sources { file: place.config.as_deref(), data: place.data.as_deref(), env: world.env, cores };
    Ok(Config::load(&sources)?)
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
            Self::Model(_) | Self::Trace(_) | Self::CommonProfile(_) | Self::Enterprise(_) => true,
            Self::SipRealm(_) | Self::TrunkProfile(_) | Self::Trunk(_) => true,
            Self::Audit(_) | Self::Rollout(_) | Self::Nodes(_) | Self::Openapi => true,
            Self::Package(_) | Self::Feature(_) | Self::Gateway(_) | Self::HardeningTemplate(_) => true,
            Self::Options { .. } | Self::HelpText { .. } => true,
            Self::Bulk(_) | Self::Token(_) | Self::Oauth(_) => true,
            Self::Cert(what) => !matches!(what, Cert::Export { .. }),
            Self::Import { .. } | Self::Export { .. } => true,
            Self::Serve | Self::Init | Self::CheckConfig => false,
            Self::Backup { .. } | Self::Restore { .. } | Self::Completion { .. } => false,
        }
    }
}
