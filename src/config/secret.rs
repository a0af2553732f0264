//! Secrets: read from files when they are needed, never kept in the configuration, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

/// A secret text. Its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the peer that it is meant for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file does not open.
    #[error("cannot read the secret in {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has nothing in it.
    #[error("{0} is empty: write the secret on its first line")]
    Empty(PathBuf),
}

/// The first line of `path`, without the line's end.
pub fn read(path: &Path) -> Result<Secret, SecretFault> {
    let text = std::fs::read_to_string(path).map_err(|source| SecretFault::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret(line.to_owned())),
        _ => Err(SecretFault::Empty(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_first_line_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mqtt.password");
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret = read(&path).unwrap();
        assert_eq!(secret.reveal(), "s3cret");
        assert_eq!(format!("{secret:?}"), "Secret");
        std::fs::write(&path, "").unwrap();
        assert!(matches!(read(&path), Err(SecretFault::Empty(_))));
        assert!(read(&dir.path().join("none")).is_err());
    }
}
