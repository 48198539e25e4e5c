//! Lists what `host plugin new` writes: the templates, the SDKs and the WIT of the contract.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The folders, by the names that they have in the list.
const ROOTS: [(&str, &str); 3] = [("templates", "plugins/templates"), ("sdk", "plugins/sdk"), ("wit", "wit")];
/// Folders with the results of builds and installations.
const NOT_SOURCES: [&str; 9] = [
    "target",
    "node_modules",
    "dist",
    "venv",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".git",
];
/// Extensions of such files.
const RESULTS: [&str; 3] = ["wasm", "pyc", "tsbuildinfo"];
/// All files together. More is a folder that should be in one of the lists above.
const MAX_SIZE: u64 = 4 << 20;

fn main() -> io::Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let (mut list, mut size) = (String::new(), 0);
    for (name, folder) in ROOTS {
        let folder = repository.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut paths = Vec::new();
        if folder.is_dir() {
            files(&folder, &mut paths)?;
        }
        paths.sort();
        for path in paths {
            let inside = path.strip_prefix(&folder).map_err(io::Error::other)?;
            if name == "wit" && inside.extension().is_none_or(|extension| extension != "wit") {
                continue;
            }
            println!("cargo::rerun-if-changed={}", path.display());
            size += fs::metadata(&path)?.len();
            let _ = writeln!(
                list,
                "    ({:?}, include_bytes!({path:?})),",
                format!("{name}/{}", inside.display())
            );
        }
    }
    if size > MAX_SIZE {
        return Err(io::Error::other(format!(
            "the templates and SDKs have {size} bytes, more than {MAX_SIZE}"
        )));
    }
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    fs::write(out.join("files.rs"), format!("&[\n{list}]\n"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type()?;
        // pip builds there; in other places it is a word like others.
        let is_built = name == "build" && folder.join("pyproject.toml").exists();
        if kind.is_dir() && !is_built && !NOT_SOURCES.contains(&name.as_str()) && !name.ends_with(".egg-info")
        {
            files(&path, found)?;
        }
        let is_result = path.extension().is_some_and(|it| RESULTS.iter().any(|result| it == *result));
        if kind.is_file() && !is_result {
            found.push(path);
        }
    }
    Ok(())
}
