//! The commands and outputs of a page.

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// Commands of a shell.
    Commands(String),
    /// A command after `$`, and its output.
    Session(String, String),
    /// Lines that the host logs.
    Log(String),
    /// The beginning of the plugin's source.
    Source(String),
}

/// The blocks of a page for a language. Sections of the third level are those of one language.
pub fn blocks(page: &str, language: &str) -> Vec<Block> {
    let (mut found, mut is_ours, mut lines) = (Vec::new(), true, page.lines());
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("### ") {
            is_ours = title == language;
        } else if line.starts_with("## ") {
            is_ours = true;
        } else if let Some(kind) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let text = text.join("\n");
            if is_ours {
                found.push(block(kind, text));
            }
        }
    }
    found
}

fn block(kind: &str, text: String) -> Block {
    match (kind, text.strip_prefix("$ ").and_then(|session| session.split_once('\n'))) {
        ("sh", _) => Block::Commands(text),
        ("rust", _) => Block::Source(text),
        (_, Some((command, output))) => Block::Session(command.to_owned(), output.to_owned()),
        (_, None) => Block::Log(text),
    }
}

/// Whether a text is as expected. `…` stands for any part of a line, and alone on a line for any lines.
pub fn matches(expected: &str, text: &str) -> bool {
    let (expected, text): (Vec<&str>, Vec<&str>) =
        (expected.lines().collect(), text.trim_end().lines().collect());
    lines_match(&expected, &text)
}

fn lines_match(expected: &[&str], text: &[&str]) -> bool {
    match expected.split_first() {
        None => text.is_empty(),
        Some((first, rest)) if first.trim() == "…" => {
            (0..=text.len()).any(|skipped| lines_match(rest, &text[skipped..]))
        }
        Some((first, rest)) => text
            .split_first()
            .is_some_and(|(line, text)| line_matches(first, line) && lines_match(rest, text)),
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = expected.contains('…').then(|| parts.next_back()).flatten() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn a_page_is_read_for_one_language() {
    let page = "## One\n### A\n```sh\na\n```\n### B\n```sh\nb\nc\n```\n## Two\n```\n$ d | e\nf …\n```\n```\nlog\n```\n```rust\ng\n```\n";
    let common = || {
        vec![
            Block::Session("d | e".into(), "f …".into()),
            Block::Log("log".into()),
            Block::Source("g".into()),
        ]
    };
    let with = |commands: &str| {
        let own = std::iter::once(Block::Commands(commands.into()));
        own.chain(common()).collect::<Vec<_>>()
    };
    assert_eq!(blocks(page, "A"), with("a"));
    assert_eq!(blocks(page, "B"), with("b\nc"));
    assert_eq!(blocks(page, "C"), common());
}

#[test]
fn dots_stand_for_what_differs() {
    for (expected, text) in [
        ("a", "a\n"),
        ("a … c", "a b c"),
        ("… c", "a c"),
        ("a\n…\nd", "a\nb\nc\nd"),
        ("a\n…", "a"),
        ("  …\nb", "b"),
    ] {
        assert!(matches(expected, text), "{expected:?} {text:?}");
    }
    for (expected, text) in [("a", "a b"), ("a … c", "a b"), ("a\n…\nd", "a\nb"), ("a", ""), ("… b …", "b")]
    {
        assert!(!matches(expected, text), "{expected:?} {text:?}");
    }
}
