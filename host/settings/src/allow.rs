//! `allow`: a plugin's permissions.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Extension;

/// The description of `allow` in the reference, before those of its entries.
pub(crate) const ABOUT: &str = "The plugin's permissions; everything else is denied.";
/// The entries that belong to no capability: an example and a description.
pub(crate) const OWN: [(&str, &str); 2] = [
    ("env:TZ", "`env:NAME`: this environment variable."),
    ("dir:templates", "`dir:PATH`: reading this directory and everything below it."),
];

/// One entry of `allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// An environment variable.
    Env(String),
    /// A directory and everything below it, for reading.
    Directory(PathBuf),
    /// An entry of a capability, in its canonical form.
    Capability(String),
}

impl Allow {
    /// Reads an entry.
    ///
    /// # Errors
    /// The entry has none of the possible forms, or is invalid for its capability.
    pub fn parse(text: &str, extensions: &[&Extension]) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                return Ok(Self::Env(name.to_owned()));
            }
            Some(("dir", path)) if !path.is_empty() => return Ok(Self::Directory(path.into())),
            _ => {}
        }
        let entries = || extensions.iter().flat_map(|extension| extension.allow);
        let Some(entry) = entries().find(|entry| (entry.matches)(text)) else {
            let forms: Vec<_> = entries().map(|entry| entry.form).chain(["`env:NAME`"]).collect();
            return Err(format!(
                "{text:?} is not an entry of `allow`: expected {} or `dir:PATH`",
                forms.join(", ")
            ));
        };
        (entry.parse)(text).map(Self::Capability)
    }

    /// Makes the path of a directory relative to that of the configuration file.
    pub(crate) fn resolve(&mut self, directory: &Path) {
        if let Self::Directory(path) = self {
            *path = directory.join(&path);
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Capability(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::PING;

    #[test]
    fn entries_have_a_form() {
        let parse = |text| Allow::parse(text, &[&PING]);
        assert_eq!(parse("ping"), Ok(Allow::Capability("ping".into())));
        assert_eq!(parse("env:TZ"), Ok(Allow::Env("TZ".into())));
        assert_eq!(parse("dir:/etc/x"), Ok(Allow::Directory("/etc/x".into())));
        for wrong in ["", "all", "Ping", "env:", "env:A=B", "dir:", "ftp://a"] {
            let what = parse(wrong).expect_err(wrong);
            assert!(what.ends_with("expected `ping`, `env:NAME` or `dir:PATH`"), "{what}");
        }
    }
}
