//! The SDK for plugins in Rust and the contract, as others take them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};
use wit_parser::Resolve;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn table(path: &str) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a directory with this extension: names and contents.
fn files(directory: &Path, extension: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.map(|path| (name(&path), fs::read_to_string(&path).expect("a text"))).collect()
}

#[test]
fn the_contract_in_the_sdk_is_that_of_the_host() {
    let root = root();
    let (host, sdk) = (files(&root.join("wit"), "wit"), files(&root.join("plugins/sdk/rust/wit"), "wit"));
    assert_eq!(host.len(), 3, "{:?}", host.keys());
    assert!(host == sdk, "copy the contract: cp wit/*.wit plugins/sdk/rust/wit/");
}

/// Paths to all values that a table inherits.
fn inherited(value: &Value, path: &str, found: &mut Vec<String>) {
    for (key, value) in value.as_table().into_iter().flatten() {
        if key == "workspace" {
            found.push(path.to_owned());
        }
        inherited(value, &format!("{path}.{key}"), found);
    }
}

#[test]
fn the_sdk_stands_alone_and_agrees_with_the_workspace() {
    let (sdk, all) = (table("plugins/sdk/rust/Cargo.toml"), table("Cargo.toml"));
    let mut found = Vec::new();
    inherited(&Value::Table(sdk.clone()), "", &mut found);
    assert!(found.is_empty(), "inherited, and missing in a copy: {found:?}");

    let workspace = &all["workspace"];
    assert_eq!(sdk["lints"], workspace["lints"], "the lints differ");
    for key in ["edition", "rust-version", "license"] {
        assert_eq!(sdk["package"][key], workspace["package"][key], "{key}");
    }
    for name in ["serde", "serde_json", "httpdate", "wit-bindgen"] {
        let version = |value: &Value| value.get("version").unwrap_or(value).clone();
        let own = version(&sdk["dependencies"][name]);
        assert_eq!(own, version(&workspace["dependencies"][name]), "{name}");
    }
    let contract = read("wit/plugin.wit");
    let version = sdk["package"]["version"].as_str().expect("a version");
    assert!(contract.contains(&format!("package kafka-host:plugin@{version};")), "{version}");
}

#[test]
fn a_new_project_has_the_toolchain_and_linker_of_the_repository() {
    let (own, template) = (table("rust-toolchain.toml"), table("plugins/templates/rust/rust-toolchain.toml"));
    assert_eq!(own["toolchain"]["channel"], template["toolchain"]["channel"]);
    let linker = |path: &str| table(path)["target"].clone();
    assert_eq!(linker(".cargo/config.toml"), linker("plugins/templates/rust/.cargo/config.toml"));
}

#[test]
fn the_package_has_all_that_it_needs() {
    let output = Command::new(env!("CARGO"))
        .args(["package", "-p", "kafka-host-plugin", "--list", "--offline", "--allow-dirty"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("UTF-8");
    for file in ["Cargo.toml", "README.md", "src/lib.rs", "wit/plugin.wit", "wit/mail.wit", "wit/produce.wit"]
    {
        assert!(listed.lines().any(|line| line == file), "{file}: {listed}");
    }
    let package = table("plugins/sdk/rust/Cargo.toml")["package"].clone();
    for key in ["description", "license", "readme", "keywords", "categories"] {
        assert!(package.get(key).is_some(), "{key}");
    }
}

/// As `docs/guides/contract.md` says.
#[test]
fn the_contract_can_be_taken_with_wasi() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("taken-wit");
    let _ = fs::remove_dir_all(&directory);
    let status = Command::new(root().join("scripts/wit")).arg(&directory).status().expect("the script runs");
    assert!(status.success());
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&directory).expect("a package with its dependencies");
    wit_component::encode(&resolve, package).expect("the package in binary form");

    let guide = read("docs/guides/contract.md");
    let (_, world) = guide.split_once("```wit\n").expect("a world with wasi:http");
    let (world, _) = world.split_once("```").expect("the end of the world");
    let own = resolve.push_str("orders.wit", world).expect("a world of a plugin");
    let world = resolve.select_world(&[own], Some("orders")).expect("the world");
    let imports = resolve.worlds[world].imports.keys();
    let names: Vec<String> = imports.map(|key| resolve.name_world_key(key)).collect();
    for import in ["kafka-host:plugin/produce@0.2.0", "wasi:http/outgoing-handler@0.2.12"] {
        assert!(names.iter().any(|name| name == import), "{import}: {names:?}");
    }
}
