//! Questions: whether something destructive is meant, and secrets that do not belong on a command line.

use std::fs::{self, File};
use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::failure::line;
use super::{Failure, World};

/// Longest body or secret that is read, in bytes: an inventory row.
const INPUT_MAX: u64 = 1 << 20;

/// Whether a question can be asked, where one is needed.
///
/// # Errors
/// Usage, where nobody sits there.
pub(super) fn possible(unasked: bool, world: &World<'_>) -> Result<(), Failure> {
    if unasked || world.terminal {
        return Ok(());
    }
    Err(Failure::Usage(
        "this cannot be taken back and nobody can be asked here: add --yes, or see with --dry-run what it does"
            .to_owned(),
    ))
}

/// Asks whether something is meant.
///
/// # Errors
/// Refused, where the answer is no.
pub(super) fn confirm(question: &str, world: &mut World<'_>) -> Result<(), Failure> {
    possible(false, world)?;
    let _ = write!(world.err, "{} [y/N] ", line(question));
    let _ = world.err.flush();
    let answer = read_line(world.input, "the answer")?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Refused("nothing was done".to_owned())),
    }
}

/// A JSON object from a file, or from stdin.
pub(super) fn object(file: &Path, world: &mut World<'_>) -> Result<Map<String, Value>, Failure> {
    let text = text(file, world)?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Failure::Refused(format!("{} holds no JSON object", named(file)))),
        // What serde says repeats no values but of a wrong type, and there is no type here.
        Err(e) => Err(Failure::Refused(format!("{} holds no JSON object: {e}", named(file)))),
    }
}

/// The whole text of a file, or of stdin where it is `-`.
pub(super) fn text(file: &Path, world: &mut World<'_>) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = match is_stdin(file) {
        true => world.input.take(INPUT_MAX + 1).read_to_string(&mut text),
        false => File::open(file).and_then(|f| f.take(INPUT_MAX + 1).read_to_string(&mut text)),
    };
    match read {
        Ok(bytes) if bytes as u64 > INPUT_MAX => {
            Err(Failure::Refused(format!("{} has more than {INPUT_MAX} bytes", named(file))))
        }
        Ok(_) => Ok(text),
        Err(e) => Err(Failure::Refused(format!("cannot read {}: {e}", named(file)))),
    }
}

/// A secret: the first line of a file, or of stdin.
pub(super) fn secret_of(file: &Path, world: &mut World<'_>) -> Result<Zeroizing<String>, Failure> {
    if is_stdin(file) {
        return read_line(world.input, "the secret");
    }
    let whole = fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|e| Failure::Refused(format!("cannot read {}: {e}", named(file))))?;
    Ok(Zeroizing::new(whole.lines().next().unwrap_or_default().to_owned()))
}

/// Asks for a secret twice (R204); on a terminal nothing of it is shown.
pub(super) fn secret(what: &str, world: &mut World<'_>) -> Result<Zeroizing<String>, Failure> {
    let _silent = world.terminal.then(Silence::begin);
    let first = prompted(what, world)?;
    let second = prompted(&format!("{what} again"), world)?;
    match first == second {
        true => Ok(first),
        false => Err(Failure::Refused(
            "the two entries differ; nothing was changed (credentials_mismatch)".to_owned(),
        )),
    }
}

fn prompted(what: &str, world: &mut World<'_>) -> Result<Zeroizing<String>, Failure> {
    if world.terminal {
        let _ = write!(world.err, "{what}: ");
        let _ = world.err.flush();
    }
    let text = read_line(world.input, what);
    if world.terminal {
        let _ = writeln!(world.err);
    }
    text
}

/// One line, without its end.
fn read_line(input: &mut dyn BufRead, what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    match input.take(INPUT_MAX).read_line(&mut text) {
        Ok(0) => Err(Failure::Refused(format!("stdin ended before {what} came"))),
        Ok(_) => Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned())),
        Err(e) => Err(Failure::Refused(format!("cannot read {what}: {e}"))),
    }
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn named(file: &Path) -> String {
    if is_stdin(file) { "stdin".to_owned() } else { file.display().to_string() }
}

/// While it lives the terminal shows nothing of what is typed.
struct Silence(Option<nix::sys::termios::Termios>);

impl Silence {
    fn begin() -> Self {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_flags.remove(LocalFlags::ECHO);
            // Where it cannot be, what is typed is seen: better than not to work.
            let _ = tcsetattr(&stdin, SetArg::TCSANOW, &silent);
        }
        Self(before)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ =
                nix::sys::termios::tcsetattr(std::io::stdin(), nix::sys::termios::SetArg::TCSANOW, before);
        }
    }
}
