//! `host plugin new`: projects from the templates that are in the binary.

use std::fs;
use std::path::{Path, PathBuf};

use crate::plugin_command::{host, stderr, stdout, text};

/// A directory of this test that does not exist yet.
fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(format!("new-{name}"));
    let _ = fs::remove_dir_all(&path);
    path
}

#[track_caller]
fn new(name: &str, lang: &str, directory: &Path, code: i32) -> String {
    let args = ["plugin", "new", name, "--lang", lang, "--dir", text(directory)];
    let output = host("plugin-new", &args, "");
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    stdout(&output) + &stderr(&output)
}

#[test]
fn a_new_project_is_complete_in_every_language() {
    for (lang, manifest, next) in [
        ("rust", "Cargo.toml", "host plugin dev"),
        ("ts", "package.json", "npm ci"),
        ("js", "package.json", "npm ci"),
        ("python", "pyproject.toml", ".venv/bin/pip install"),
    ] {
        let directory = fresh(lang);
        let said = new("order-mail", lang, &directory, 0);
        assert!(said.contains(next) && said.contains(&format!("  cd {}", text(&directory))), "{said}");
        let manifest = fs::read_to_string(directory.join(manifest)).expect("a manifest");
        assert!(manifest.contains("\"order-mail\"") && !manifest.contains("{{"), "{manifest}");
        for part in ["cases", "README.md", ".gitignore"] {
            assert!(directory.join(part).exists(), "{lang}: {part}");
        }
        // Nothing is written over.
        fs::write(directory.join("README.md"), "mine").expect("written");
        assert!(new("order-mail", lang, &directory, 2).contains("is not empty; nothing was written"));
        assert_eq!(fs::read_to_string(directory.join("README.md")).expect("the file"), "mine");
    }
}

#[test]
fn an_empty_directory_is_filled_and_a_file_is_not_replaced() {
    let directory = fresh("empty");
    fs::create_dir_all(&directory).expect("a directory");
    new("greeter", "rust", &directory, 0);
    assert!(directory.join("Cargo.toml").is_file());
    let file = fresh("file");
    fs::write(&file, "mine").expect("written");
    assert!(new("greeter", "rust", &file, 2).contains("cannot write"));
    assert_eq!(fs::read_to_string(&file).expect("the file"), "mine");
    assert!(new("greeter", "rust", &file.join("below"), 2).contains("cannot write"));
    fs::remove_file(&file).expect("removed");
}

#[test]
fn a_name_cannot_lead_out_of_its_directory() {
    let parent = fresh("parent");
    for name in ["..", "../out", "/tmp/out", "a/b", "a\\b", "A", "a_b", "import", "std", "", "-x"] {
        let said = new(name, "rust", &parent, 2);
        assert!(said.contains("cannot be the name of a plugin") || name == "-x", "{name}: {said}");
        assert!(!parent.exists(), "{name}");
    }
}
