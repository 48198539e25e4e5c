//! A project of a plugin: its language, the command that builds it, and the component that the build writes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use base::error::UserError;
use serde::Deserialize;
use serde_json::Value;

/// Where other tools than cargo write components.
const RESULTS: [&str; 3] = ["", "dist", "build"];

/// A project.
#[derive(Debug)]
pub struct Project {
    /// Its directory.
    pub directory: PathBuf,
    kind: Kind,
    /// A command of a shell, in place of the one that the kind has.
    build: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rust,
    JavaScript,
    Python,
}

/// The manifests, in the order in which they are looked for.
const MANIFESTS: [(&str, Kind); 3] =
    [("Cargo.toml", Kind::Rust), ("package.json", Kind::JavaScript), ("pyproject.toml", Kind::Python)];

/// What is read of a `pyproject.toml`.
#[derive(Deserialize)]
struct PyProject {
    #[serde(default)]
    project: Named,
    #[serde(default)]
    tool: Tools,
}

#[derive(Default, Deserialize)]
struct Named {
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Tools {
    #[serde(default)]
    kafka_host_plugin: Tool,
}

#[derive(Default, Deserialize)]
struct Tool {
    /// The command of a shell that builds the component.
    build: Option<String>,
}

impl Project {
    /// The project in a directory. `build` is a command of a shell, in place of its own.
    ///
    /// # Errors
    /// There is none.
    pub fn find(directory: &Path, build: Option<String>) -> Result<Self, UserError> {
        let found = MANIFESTS.iter().find(|(name, _)| directory.join(name).is_file());
        let Some((_, kind)) = found else {
            let place = match directory.as_os_str().is_empty() || directory == Path::new(".") {
                true => "this directory".to_owned(),
                false => directory.display().to_string(),
            };
            return Err(UserError::usage(format!(
                "{place} has no project: no Cargo.toml, package.json or pyproject.toml"
            ))
            .help("write one: host plugin new NAME --lang rust, or go to its directory"));
        };
        Ok(Self { directory: directory.to_owned(), kind: *kind, build })
    }

    /// The command that builds it.
    ///
    /// # Errors
    /// The manifest cannot be read.
    pub fn build_command(&self) -> Result<Vec<String>, UserError> {
        let shell = |line: String| vec!["sh".to_owned(), "-c".to_owned(), line];
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        if let Some(build) = &self.build {
            return Ok(shell(build.clone()));
        }
        Ok(match self.kind {
            Kind::Rust => words("cargo build --release --target wasm32-wasip2"),
            Kind::JavaScript => words("npm run --silent build"),
            Kind::Python => {
                let PyProject { project, tool } = self.py_project()?;
                match tool.kafka_host_plugin.build {
                    Some(build) => shell(build),
                    None => {
                        let name = project.name.unwrap_or_else(|| "plugin".to_owned());
                        let build =
                            ["-m", "kafka_host_plugin", "build", "app", "-o", &format!("{name}.wasm")];
                        [self.python().as_str()].iter().chain(&build).map(ToString::to_string).collect()
                    }
                }
            }
        })
    }

    fn py_project(&self) -> Result<PyProject, UserError> {
        let path = self.directory.join("pyproject.toml");
        let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let read = read.and_then(|text| toml::from_str(&text).map_err(|error| error.to_string()));
        read.map_err(|error| {
            UserError::usage(format!("{}: {}", path.display(), error.trim_end()))
                .help("mend the file, or name the command that builds the plugin: --build COMMAND")
        })
    }

    /// The interpreter of the project's virtual environment, if it has one.
    fn python(&self) -> String {
        let own = Path::new(".venv/bin/python");
        if self.directory.join(own).exists() { own.display().to_string() } else { "python3".to_owned() }
    }

    /// The component that the last build has written.
    ///
    /// # Errors
    /// There is none.
    pub fn component(&self) -> Result<PathBuf, UserError> {
        let found = match self.kind {
            Kind::Rust => self.cargo_result()?,
            Kind::JavaScript | Kind::Python => self.newest(),
        };
        found.ok_or_else(|| {
            let build = self.build_command().map(|command| command.join(" ")).unwrap_or_default();
            let place = self.directory.display();
            UserError::usage(format!("{place} has no component: no file *.wasm"))
                .help(format!("build it: {build}"))
                .help("or name the file: host plugin test FILE.wasm, host plugin dev --file FILE.wasm")
        })
    }

    fn newest(&self) -> Option<PathBuf> {
        let entries = RESULTS.iter().filter_map(|place| std::fs::read_dir(self.directory.join(place)).ok());
        let paths = entries.flatten().flatten().map(|entry| entry.path());
        let components = paths.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
        let changed = |path: &PathBuf| {
            path.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
        };
        components.max_by_key(changed)
    }

    /// cargo knows its target directory, and how it names the file.
    fn cargo_result(&self) -> Result<Option<PathBuf>, UserError> {
        let refused = |reason: &str| {
            UserError::unavailable(format!("cargo does not describe the project: {}", reason.trim_end()))
                .help("mend Cargo.toml, or name the file: host plugin dev --file FILE.wasm")
        };
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(&self.directory);
        let output = cargo.output().map_err(|error| refused(&error.to_string()))?;
        if !output.status.success() {
            return Err(refused(&String::from_utf8_lossy(&output.stderr)));
        }
        let metadata: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| refused(&error.to_string()))?;
        let results = Path::new(metadata["target_directory"].as_str().unwrap_or_default());
        let results = results.join("wasm32-wasip2/release");
        let path = library(&metadata, &self.directory).map(|name| results.join(format!("{name}.wasm")));
        Ok(path.filter(|path| path.is_file()))
    }
}

/// The library of the package in a directory, as its file is named.
fn library(metadata: &Value, directory: &Path) -> Option<String> {
    let manifest = directory.join("Cargo.toml").canonicalize().ok()?;
    let packages = metadata["packages"].as_array()?;
    let is_own = |package: &&Value| {
        let path = package["manifest_path"].as_str().map(Path::new);
        path.and_then(|path| path.canonicalize().ok()).is_some_and(|path| path == manifest)
    };
    let targets = packages.iter().find(is_own)?["targets"].as_array()?;
    let is_library = |target: &&Value| {
        target["crate_types"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    };
    let name = targets.iter().find(is_library)?["name"].as_str()?;
    Some(name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Project, UserError>) {
        let directory = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("written");
        }
        let project = Project::find(directory.path(), None);
        (directory, project)
    }

    fn build(files: &[(&str, &str)]) -> String {
        let (_directory, project) = project(files);
        project
            .and_then(|project| project.build_command())
            .map_or_else(|error| error.to_string(), |it| it.join(" "))
    }

    #[test]
    fn each_kind_has_its_own_build() {
        assert_eq!(build(&[("Cargo.toml", "")]), "cargo build --release --target wasm32-wasip2");
        assert_eq!(build(&[("package.json", "{}")]), "npm run --silent build");
        let named = [("pyproject.toml", "[project]\nname = \"greeter\"")];
        assert_eq!(build(&named), "python3 -m kafka_host_plugin build app -o greeter.wasm");
        let own = [("pyproject.toml", "[tool.kafka-host-plugin]\nbuild = \"make all\"")];
        assert_eq!(build(&own), "sh -c make all");
        let with_python = [named[0], (".venv/bin/python", "")];
        assert!(build(&with_python).starts_with(".venv/bin/python -m"));
        assert!(build(&[("pyproject.toml", "[")]).contains("pyproject.toml: "));
        assert!(build(&[]).contains("no Cargo.toml, package.json or pyproject.toml"));
    }

    #[test]
    fn the_newest_component_counts() {
        let (directory, found) = project(&[("package.json", "{}"), ("old.wasm", ""), ("src/no.wasm", "")]);
        let found = found.expect("a project");
        assert_eq!(found.component().expect("a component"), directory.path().join("old.wasm"));
        std::fs::create_dir(directory.path().join("dist")).expect("a directory");
        let new = directory.path().join("dist/new.wasm");
        std::fs::write(&new, "").expect("written");
        let later = SystemTime::now() + std::time::Duration::from_secs(9);
        std::fs::File::open(&new).and_then(|file| file.set_modified(later)).expect("a later time");
        assert_eq!(found.component().expect("a component"), new);
        let (_directory, found) = project(&[("package.json", "{}")]);
        let error = found.and_then(|found| found.component()).expect_err("none").to_string();
        assert!(error.contains("help: build it: npm run"), "{error}");
    }
}
