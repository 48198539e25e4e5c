//! The files of a project, from its template, its SDK and the contract.

use super::Lang;
use super::name::Name;
use crate::embedded;

/// The files of a new project: paths and contents.
pub fn files(lang: Lang, name: &Name) -> Vec<(String, Vec<u8>)> {
    let own = embedded::below(&format!("templates/{}", lang.template()));
    let mut files: Vec<_> =
        own.into_iter().map(|(path, content)| (filled(path, name), with_name(content, name))).collect();
    if files.is_empty() {
        return files;
    }
    let Sdk { source, place } = lang.sdk();
    let sdk = embedded::below(&format!("sdk/{source}"));
    // Its own tests are no part of the project.
    let sdk = sdk.into_iter().filter(|(path, _)| !path.starts_with("test/") && !path.starts_with("tests/"));
    files.extend(sdk.map(|(path, content)| (format!("{place}/{path}"), content.to_vec())));
    files
}

/// The SDK of a language.
struct Sdk {
    /// Its folder among the SDKs.
    source: &'static str,
    /// Where a project has its copy, on which it depends by this path.
    place: &'static str,
}

impl Lang {
    /// Its folder among the templates.
    fn template(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Ts => "ts",
            Self::Js => "js",
            Self::Python => "python",
        }
    }

    fn sdk(self) -> Sdk {
        let (source, place) = match self {
            Self::Rust => ("rust", "vendor/kafka-host-plugin"),
            Self::Ts | Self::Js => ("js", "sdk"),
            Self::Python => ("python", "vendor/kafka-host-plugin"),
        };
        Sdk { source, place }
    }
}

fn filled(text: &str, name: &Name) -> String {
    text.replace("{{name}}", name.as_str()).replace("{{name_snake}}", &name.snake())
}

/// Pictures and the like have no placeholders.
fn with_name(content: &[u8], name: &Name) -> Vec<u8> {
    match str::from_utf8(content) {
        Ok(text) => filled(text, name).into_bytes(),
        Err(_) => content.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn each_language_has_a_template_without_placeholders_left() {
        let name: Name = "order-mail".parse().expect("a name");
        for lang in Lang::value_variants() {
            let files = files(*lang, &name);
            let has = |end: &str| files.iter().any(|(path, _)| path.starts_with(end));
            assert!(has("cases/") && has("README.md") && has(".gitignore"), "{lang:?}: {files:?}");
            let mut all = String::new();
            let Sdk { place, .. } = lang.sdk();
            for (path, content) in files.iter().filter(|(path, _)| !path.starts_with(place)) {
                assert!(!path.split('/').any(|part| part == ".."), "{path}");
                let text = String::from_utf8_lossy(content);
                assert!(!text.contains("{{name") && !path.contains("{{"), "{lang:?}: {path}");
                all.push_str(&text);
            }
            assert!(all.contains("order-mail"), "{lang:?}");
            assert!(all.contains(place) && has(&format!("{place}/")), "{lang:?}: no SDK in {place}");
            let has_test = |(path, _): &(String, _)| path.starts_with(&format!("{place}/test"));
            assert!(!files.iter().any(has_test), "{lang:?}");
        }
    }
}
