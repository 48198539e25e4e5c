//! The rules of the repository: dependencies between crates, sizes, and links in the documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Lines of a crate without its tests.
const MAX_CRATE_LINES: usize = 7_000;
/// Lines of a file.
const MAX_FILE_LINES: usize = 400;
/// Lines of a function.
const MAX_FUNCTION_LINES: usize = 60;
/// Lines of the pages that a newcomer reads first.
const PAGES: [(&str, usize); 3] = [("README.md", 130), ("README.ko.md", 130), ("ARCHITECTURE.md", 200)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below a directory, without build results and directories whose name starts with a dot.
fn files(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.')
                && !matches!(name.as_str(), "target" | "dist" | "node_modules" | "corpus" | "regressions")
            {
                files(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

/// The dependencies of each crate on other crates of the workspace, according to cargo, without those for
/// tests.
fn used() -> Edges {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let edges = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies");
        let all = all.iter().filter(|dependency| dependency["kind"] != "dev").map(name);
        all.filter(|name| ours.contains(name)).collect()
    };
    packages.iter().map(|package| (name(package), edges(package))).collect()
}

/// The dependencies that ARCHITECTURE.md allows.
fn allowed() -> Edges {
    let text = read(&root().join("ARCHITECTURE.md"));
    let (_, block) = text.split_once("```edges\n").expect("a block of edges");
    let (block, _) = block.split_once("```").expect("the end of the block");
    let line = |line: &str| {
        let (from, to) = line.split_once("->").unwrap_or_else(|| panic!("{line}: not an edge"));
        (from.trim().to_owned(), to.split_whitespace().map(str::to_owned).collect())
    };
    block.lines().map(line).collect()
}

#[test]
fn crates_use_each_other_only_as_architecture_allows() {
    let (used, allowed) = (used(), allowed());
    for (from, to) in &allowed {
        let found =
            used.get(from).unwrap_or_else(|| panic!("ARCHITECTURE.md lists {from}, which is not a crate"));
        assert_eq!(found, to, "{from}: the manifest and ARCHITECTURE.md differ");
    }
    // Plugins and guests are not part of the host. Test tools may use every crate.
    let others = [
        "email",
        "sms",
        "kafka-host-plugin",
        "order-enricher",
        "faulty",
        "faulty-fast",
        "faulty-mended",
        "hostile",
        "parse",
        "testkit",
        "fuzz",
    ];
    for from in used.keys().filter(|from| !others.contains(&from.as_str())) {
        assert!(allowed.contains_key(from), "ARCHITECTURE.md does not list {from}");
    }
}

#[test]
fn the_edges_have_no_cycle() {
    let mut left = allowed();
    while !left.is_empty() {
        let free: Vec<_> = left
            .iter()
            .filter(|(_, to)| to.iter().all(|to| !left.contains_key(to)))
            .map(|(from, _)| from.clone())
            .collect();
        assert!(!free.is_empty(), "a cycle among {:?}", left.keys());
        free.iter().for_each(|from| _ = left.remove(from));
    }
}

/// Whether a file contains only tests.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name.ends_with("tests") || path.components().any(|part| part.as_os_str() == "tests")
}

/// The number of lines before the tests at the end of a source file.
fn lines_without_tests(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[test]
fn crates_files_and_functions_are_bounded() {
    let mut too_large = Vec::new();
    for name in allowed().keys().filter(|name| !matches!(name.as_str(), "messages" | "producer" | "host")) {
        let mut sources = Vec::new();
        files(&root().join("host").join(name).join("src"), "rs", &mut sources);
        let lines: usize =
            sources.iter().filter(|path| !is_test(path)).map(|path| lines_without_tests(&read(path))).sum();
        if lines > MAX_CRATE_LINES {
            too_large.push(format!("{name}: {lines} lines"));
        }
    }
    // Files and functions are bounded everywhere: sources, plugins, tests, guests, tools.
    let mut sources = Vec::new();
    files(&root(), "rs", &mut sources);
    assert!(sources.len() > 300, "{} files", sources.len());
    for path in sources {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            too_large.push(format!("{}: {lines} lines", path.display()));
        }
        too_large.extend(long_functions(&path, &text));
    }
    for (page, most) in PAGES {
        let lines = read(&root().join(page)).lines().count();
        if lines > most {
            too_large.push(format!("{page}: {lines} lines"));
        }
    }
    assert!(too_large.is_empty(), "{}", too_large.join("\n"));
}

/// rustfmt puts the closing brace of a function in the column of its first letter.
fn long_functions(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, &str)> = None;
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match open {
            None if is_function(line) && !line.ends_with(['}', ';']) => open = Some((number, indent, line)),
            Some((start, at, name)) if indent == at && line.trim_start().starts_with('}') => {
                if number - start >= MAX_FUNCTION_LINES {
                    found.push(format!(
                        "{}:{}: {} lines: {}",
                        path.display(),
                        start + 1,
                        number - start + 1,
                        name.trim()
                    ));
                }
                open = None;
            }
            _ => {}
        }
    }
    found
}

fn is_function(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut words =
        words.skip_while(|word| word.starts_with("pub") || matches!(*word, "async" | "const" | "unsafe"));
    words.next() == Some("fn")
}

/// `make test` runs the examples in the SDK's documentation: elsewhere there are none, and rustdoc would take seconds for
/// each crate to find that out.
#[test]
fn only_the_sdk_has_examples_in_its_documentation() {
    let mut sources = Vec::new();
    for directory in ["host", "producer"] {
        files(&root().join(directory), "rs", &mut sources);
    }
    assert!(sources.len() > 300, "{} files", sources.len());
    let is_example = |line: &str| line.starts_with("//") && line.contains("```");
    for path in sources {
        let has_example = read(&path).lines().any(|line| is_example(line.trim_start()));
        assert!(!has_example, "{}: `make test` would not run its example", path.display());
    }
}

#[test]
fn links_in_the_documents_resolve() {
    let mut pages = Vec::new();
    files(&root(), "md", &mut pages);
    let mut dead = Vec::new();
    for page in &pages {
        for link in links(&read(page)) {
            let target = link.split('#').next().unwrap_or_default();
            let is_external = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !is_external && !page.parent().expect("a directory").join(target).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(pages.len() > 50, "{} pages", pages.len());
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// The targets of `[text](target)` outside code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Text between backticks is code too.
        let line: String = line.split('`').step_by(2).collect();
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else { break };
            found.push(target.to_owned());
            rest = after;
        }
    }
    found
}

/// The decisions and ARCHITECTURE.md name the tests that keep a rule, and the files of the code.
#[test]
fn cited_tests_and_files_exist() {
    let (mut pages, mut sources) = (vec![root().join("ARCHITECTURE.md")], Vec::new());
    files(&root().join("docs/decisions"), "md", &mut pages);
    files(&root(), "rs", &mut sources);
    let code: String = sources.iter().map(|path| read(path)).collect();
    let mut missing = Vec::new();
    let mut tests = 0;
    for page in pages.iter().filter(|page| !page.ends_with("README.md")) {
        let text = read(page);
        let evidence = ["\nKept by ", "\n## Invariants"].iter().find_map(|start| text.split_once(start));
        let (_, evidence) = evidence.unwrap_or_else(|| panic!("{}: kept by nothing", page.display()));
        for cited in evidence.split('`').skip(1).step_by(2) {
            let is_path = cited.starts_with("host/") || cited.starts_with("producer/");
            let is_test = cited.matches('_').count() >= 3 && !cited.contains([':', '/', '.']);
            tests += usize::from(is_test);
            if is_path && !root().join(cited).exists() || is_test && !code.contains(&format!("fn {cited}(")) {
                missing.push(format!("{}: {cited}", page.display()));
            }
        }
    }
    assert!(tests > 50, "{tests} tests");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn violations_are_detected() {
    let long = format!("    fn f() {{\n{}    }}\n", "        x();\n".repeat(MAX_FUNCTION_LINES));
    assert_eq!(long_functions(Path::new("a.rs"), &long).len(), 1);
    assert_eq!(links("[a](b.md) and [c](d.md#e), `[f](g)`\n```\n[x](y)\n```\n"), ["b.md", "d.md#e"]);
}
