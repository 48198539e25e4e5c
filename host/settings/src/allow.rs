//! `allow`: what a plugin may reach.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Extension;

/// What `allow` permits whatever capabilities there are, for the reference.
pub(crate) const ABOUT: &str = "What the plugin may reach; everything else is denied.";
/// The entries that belong to no capability: an example, and what it permits.
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
    Word(String),
}

impl Allow {
    /// Reads an entry.
    ///
    /// # Errors
    /// The entry has none of the possible forms, or its capability refuses it.
    pub fn parse(text: &str, extensions: &[&Extension]) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                return Ok(Self::Env(name.to_owned()));
            }
            Some(("dir", path)) if !path.is_empty() => return Ok(Self::Directory(path.into())),
            _ => {}
        }
        let words = || extensions.iter().flat_map(|extension| extension.words);
        let Some(word) = words().find(|word| (word.matches)(text)) else {
            let forms: Vec<_> = words().map(|word| word.form).chain(["`env:NAME`"]).collect();
            return Err(format!("{text:?} is not something to allow: {} or `dir:PATH`", forms.join(", ")));
        };
        (word.read)(text).map(Self::Word)
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
            Self::Word(text) => f.write_str(text),
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
        assert_eq!(parse("ping"), Ok(Allow::Word("ping".into())));
        assert_eq!(parse("env:TZ"), Ok(Allow::Env("TZ".into())));
        assert_eq!(parse("dir:/etc/x"), Ok(Allow::Directory("/etc/x".into())));
        for wrong in ["", "all", "Ping", "env:", "env:A=B", "dir:", "ftp://a"] {
            let what = parse(wrong).expect_err(wrong);
            assert!(what.ends_with("not something to allow: `ping`, `env:NAME` or `dir:PATH`"), "{what}");
        }
    }
}
