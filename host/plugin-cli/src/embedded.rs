//! The files of this repository that a new project needs, as they were when the host was built.

/// Paths and contents: `templates/rust/…`, `sdk/rust/…`, `wit/…`.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The files below a folder, with their paths in it.
pub fn below(folder: &str) -> Vec<(&'static str, &'static [u8])> {
    let inside = |(path, content): &(&'static str, &'static [u8])| {
        Some((path.strip_prefix(folder)?.strip_prefix('/')?, *content))
    };
    FILES.iter().filter_map(inside).collect()
}
