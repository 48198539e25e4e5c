//! The files of a project, looked at again and again: a stranger's file system (a container's mount, a network drive)
//! reports changes late or never, and a plugin's sources are few.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base::error::UserError;
use sha2::{Digest as _, Sha256};

/// The maximum number of files.
const MAX_FILES: usize = 10_000;
/// The maximum depth of folders.
const MAX_DEPTH: usize = 32;
/// The maximum size of a file whose content is compared, in bytes. Of others, the size and the time are.
const MAX_CONTENT: u64 = 4 << 20;
/// Folders with the results of builds and installations; those that begin with a dot are left out, too.
const NOT_SOURCES: [&str; 3] = ["node_modules", "__pycache__", "wit_world"];
/// The same in the project's own directory.
const NOT_SOURCES_AT_TOP: [&str; 5] = ["target", "dist", "build", "venv", "vendor"];
/// Files that builds write beside the sources.
const RESULTS: [&str; 4] = ["wasm", "pyc", "lock", "tsbuildinfo"];
const LOCK: &str = "package-lock.json";

/// The state of a project's files.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, Stamp>);

#[derive(Debug, Clone)]
struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    /// None for a large file, and for one that cannot be read.
    content: Option<[u8; 32]>,
}

/// Writing the same content again is no change.
impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            (Some(one), Some(other)) => one == other,
            _ => (self.modified, self.size) == (other.modified, other.size),
        }
    }
}

impl Eq for Stamp {}

impl Snapshot {
    /// Looks at a directory again.
    ///
    /// # Errors
    /// The directory has vanished, or has too many files.
    pub fn again(&self, directory: &Path) -> Result<Self, UserError> {
        let mut files = BTreeMap::new();
        self.look(directory, Path::new(""), 0, &mut files).map_err(|error| {
            UserError::unavailable(format!("cannot watch {}: {error}", directory.display()))
                .help("start again in the project's directory: host plugin dev DIR")
        })?;
        if files.len() > MAX_FILES {
            let problem = format!("{} has more than {MAX_FILES} files", directory.display());
            return Err(
                UserError::usage(problem).help("watch the directory of one plugin: host plugin dev DIR")
            );
        }
        Ok(Self(files))
    }

    /// Links to folders are not followed, so that there is no way back up. Only the folder itself must be there: others
    /// come and go.
    fn look(
        &self,
        folder: &Path,
        inside: &Path,
        depth: usize,
        found: &mut BTreeMap<PathBuf, Stamp>,
    ) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let Ok(entry) = entry else { continue };
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let Ok(kind) = entry.file_type() else { continue };
            let inside = inside.join(&name);
            if kind.is_dir() {
                let is_result = |list: &[&str]| list.contains(&name.as_str());
                let is_result = is_result(&NOT_SOURCES) || depth == 0 && is_result(&NOT_SOURCES_AT_TOP);
                if !name.starts_with('.') && !is_result && depth < MAX_DEPTH && found.len() <= MAX_FILES {
                    // It may have vanished since.
                    let _ = self.look(&path, &inside, depth + 1, found);
                }
            } else if is_source(&name, &path)
                && found.len() <= MAX_FILES
                && let Some(metadata) = fs::metadata(&path).ok().filter(Metadata::is_file)
            {
                let stamp = Stamp::of(&path, &metadata, self.0.get(&inside));
                found.insert(inside, stamp);
            }
        }
        Ok(())
    }

    /// The files that differ.
    pub fn changed(&self, later: &Self) -> Vec<PathBuf> {
        let all = self.0.keys().chain(later.0.keys().filter(|path| !self.0.contains_key(*path)));
        all.filter(|path| self.0.get(*path) != later.0.get(*path)).cloned().collect()
    }
}

fn is_source(name: &str, path: &Path) -> bool {
    let is_result = path.extension().is_some_and(|it| RESULTS.iter().any(|result| it == *result));
    !is_result && name != LOCK && !name.ends_with('~') && !name.starts_with(".#") && !name.ends_with(".swp")
}

impl Stamp {
    fn of(path: &Path, metadata: &Metadata, before: Option<&Self>) -> Self {
        let (modified, size) = (metadata.modified().ok(), metadata.len());
        let same =
            before.filter(|before| modified.is_some() && (before.modified, before.size) == (modified, size));
        if let Some(same) = same {
            return same.clone();
        }
        let content = (size <= MAX_CONTENT).then(|| digest(path)).flatten();
        Self { modified, size, content }
    }
}

fn digest(path: &Path) -> Option<[u8; 32]> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_CONTENT).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(&bytes).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn contents_count_and_results_do_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        for folder in ["src/build", "src/deep", "target", "node_modules/x", ".git"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        let write = |path: &str, text: &str| fs::write(root.join(path), text).expect("written");
        let files = [
            "src/build/b.js",
            "src/lib.rs",
            "src/deep/a.py",
            "target/x.rs",
            "node_modules/x/y.js",
            ".git/z",
            "plugin.wasm",
            "Cargo.lock",
        ];
        files.iter().for_each(|path| write(path, "1"));
        let first = Snapshot::default().again(root).expect("a snapshot");
        assert_eq!(first.changed(&first), Vec::<PathBuf>::new());
        assert_eq!(first.0.len(), 3);
        // The same content at another time.
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        let file = File::options().write(true).open(root.join("src/lib.rs")).expect("a file");
        file.set_modified(later).expect("a later time");
        let again = first.again(root).expect("a snapshot");
        assert_eq!(first, again);
        write("src/lib.rs", "2");
        write("new.toml", "");
        fs::remove_file(root.join("src/deep/a.py")).expect("removed");
        let last = again.again(root).expect("a snapshot");
        assert_eq!(again.changed(&last), ["src/deep/a.py", "src/lib.rs", "new.toml"].map(PathBuf::from));
    }

    #[test]
    fn loops_of_links_end_and_a_vanished_folder_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("project");
        fs::create_dir(&root).expect("a folder");
        symlink(&root, root.join("up")).expect("a link to the folder");
        symlink(root.join("b"), root.join("a")).expect("a link");
        symlink(root.join("a"), root.join("b")).expect("a link back");
        fs::write(root.join("c"), "1").expect("written");
        symlink(root.join("c"), root.join("d")).expect("a link to a file");
        let snapshot = Snapshot::default().again(&root).expect("a snapshot");
        assert_eq!(snapshot.0.keys().collect::<Vec<_>>(), ["c", "d"].map(Path::new));
        fs::remove_dir_all(&root).expect("removed");
        let error = snapshot.again(&root).expect_err("it has vanished").to_string();
        assert!(error.contains("cannot watch") && error.contains("No such file"), "{error}");
    }
}
