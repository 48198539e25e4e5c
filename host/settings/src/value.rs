//! Values that may be secret: in `host.toml`, in the environment or in a file.

use std::fmt;
use std::path::{Path, PathBuf};

use base::error::UserError;
use serde::Deserialize;

/// A text or its source. `Debug` and `Display` never show the text.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a text, { env = \"NAME\" } or { file = \"PATH\" }")]
pub enum Value {
    /// The text itself.
    Text(String),
    /// In an environment variable.
    Env(InEnv),
    /// In a file; line breaks at its end do not belong to the value.
    File(InFile),
}

/// `{ env = "NAME" }`
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InEnv {
    env: String,
}

/// `{ file = "PATH" }`
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InFile {
    file: PathBuf,
}

impl Value {
    /// The text. Errors name `key`.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be read.
    pub fn read(&self, key: &str) -> Result<String, UserError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Env(InEnv { env }) => std::env::var(env).map_err(|_| {
                UserError::usage(format!("{key}: the environment variable {env} is not set"))
                    .help(format!("set it: export {env}=…"))
            }),
            Self::File(InFile { file }) => match std::fs::read_to_string(file) {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    Err(UserError::usage(format!("{key}: cannot read {}: {error}", file.display()))
                        .help("write the value to this file, readable only by this user"))
                }
            },
        }
    }

    /// Makes the path of a file relative to the directory of the configuration file.
    pub(crate) fn resolve(&mut self, directory: &Path) {
        if let Self::File(InFile { file }) = self {
            *file = directory.join(&file);
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

/// The source; a text is masked.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("\"***\""),
            Self::Env(InEnv { env }) => write!(f, "{{ env = {env:?} }}"),
            Self::File(InFile { file }) => write!(f, "{{ file = {:?} }}", file.display().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Doc {
        v: Value,
    }

    fn value(text: &str) -> Value {
        toml::from_str::<Doc>(text).expect(text).v
    }

    #[test]
    fn values_are_read_from_their_place_and_not_shown() {
        assert_eq!(value("v = \"hush\"").read("v").expect("a text"), "hush");
        assert_eq!(format!("{:?}", value("v = \"hush\"")), "\"***\"");
        let directory = std::env::temp_dir().join(format!("host-value-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("secret"), "hush\n").expect("a file");
        let mut in_file = value("v = { file = \"secret\" }");
        in_file.resolve(&directory);
        assert_eq!(in_file.read("v").expect("a file"), "hush");
        std::fs::remove_dir_all(&directory).expect("removed");
        assert!(
            in_file.read("plugin.config.key").expect_err("gone").to_string().contains("plugin.config.key")
        );
        let missing = value("v = { env = \"HOST_TEST_NO_SUCH_VARIABLE\" }").read("v");
        assert!(missing.expect_err("not set").to_string().contains("HOST_TEST_NO_SUCH_VARIABLE"));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["v = 1", "v = { environment = \"A\" }", "v = { env = \"A\", file = \"b\" }"] {
            let error = toml::from_str::<Doc>(text).err().expect(text).to_string();
            assert!(error.contains("{ env = \"NAME\" }"), "{error}");
        }
    }
}
