//! Whom load may be sent to: this machine, and hosts that a file names.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Addresses that may be loaded.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    allowed: Vec<IpAddr>,
}

/// Why a target is refused.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not this machine, and in no file.
    #[error(
        "{0} is not on this machine; load goes to other hosts only when a file given by \
         --targets names them"
    )]
    Elsewhere(SocketAddr),
    /// The file can not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line is no address.
    #[error("{} line {line}: `{text}` is not an IP address", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
}

impl Targets {
    /// This machine only.
    pub fn loopback() -> Targets {
        Targets::default()
    }

    /// This machine and the addresses of a file: one a line, `#` begins a comment.
    ///
    /// # Errors
    /// [`TargetError`] when the file can not be read.
    pub fn with_file(path: &Path) -> Result<Targets, TargetError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TargetError::File { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Targets, TargetError> {
        let mut allowed = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let address = line.parse().map_err(|_| TargetError::Line {
                path: path.to_owned(),
                line: number + 1,
                text: line.to_owned(),
            })?;
            allowed.push(address);
        }
        Ok(Targets { allowed })
    }

    /// Checks a target.
    ///
    /// # Errors
    /// [`TargetError::Elsewhere`].
    pub fn check(&self, target: SocketAddr) -> Result<(), TargetError> {
        if target.ip().is_loopback() || self.allowed.contains(&target.ip()) {
            Ok(())
        } else {
            Err(TargetError::Elsewhere(target))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_unless_a_file_says_more() {
        let (near, far) = ("127.0.0.1:5060".parse().unwrap(), "192.0.2.7:5060".parse().unwrap());
        let path = Path::new("targets");
        assert!(Targets::loopback().check(near).is_ok());
        assert!(matches!(Targets::loopback().check(far), Err(TargetError::Elsewhere(_))));
        let more = Targets::parse(path, "# lab\n\n192.0.2.7  # bench\n2001:db8::1\n").unwrap();
        assert!(more.check(far).is_ok());
        assert!(more.check("192.0.2.8:5060".parse().unwrap()).is_err());
        assert!(matches!(Targets::parse(path, "\nlab.example\n"), Err(TargetError::Line { line: 2, .. })));
    }
}
