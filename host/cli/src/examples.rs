//! Examples in `--help`.

use clap::{Command, CommandFactory as _};

use crate::Cli;

/// Examples by the words of the command.
const EXAMPLES: &[(&str, &str)] = &[
    ("demo", "host demo\nhost demo --listen 127.0.0.1:9000\nhost demo --plugin greeter.wasm --alone"),
    (
        "doctor",
        "host doctor --plugin email.wasm --bootstrap-servers kafka:9092\nhost doctor --config host.toml -o json",
    ),
    ("topics create", "host topics create email.send --partitions 6 --config retention.ms=604800000"),
    ("topics list", "host topics list\nhost topics list -o json"),
    ("topics describe", "host topics describe email.send email.send.dlt"),
    ("topics delete", "host topics delete email.send-retry-1000 --yes"),
    ("groups list", "host groups list -o json"),
    ("groups describe", "host groups describe email-send-group"),
    (
        "groups release",
        "host groups release email-send-group --topic email.send --key 4711\nhost groups release email-send-group --topic email.send --all",
    ),
    ("groups adopt", "host groups adopt --plugin email.wasm --dry-run"),
    ("alerts test", "host alerts test"),
    (
        "produce",
        "echo '{\"to\":\"you@example.com\"}' | host produce email.send\nhost produce email.send --key-separator '|' < messages.txt",
    ),
    (
        "consume",
        "host consume email.send --from-beginning --max-messages 10\nhost consume email.send.dlt -o json",
    ),
    (
        "plugin new",
        "host plugin new greeter --lang rust\nhost plugin new order-mail --lang python --dir plugins/order-mail",
    ),
    ("plugin dev", "host plugin dev\nhost plugin dev plugins/order-mail --build 'make plugin'"),
    (
        "plugin test",
        "host plugin test\nhost plugin test greeter.wasm cases/empty.json -o json\nhost plugin test --update",
    ),
    (
        "plugin compile",
        "host plugin compile email.wasm\nhost plugin compile email.wasm sms.wasm --cache /var/cache/host",
    ),
    ("plugin inspect", "host plugin inspect email.wasm\nhost plugin inspect email.wasm -o json"),
    ("plugin invoke", "echo '{\"value\": \"Kim\"}' | host plugin invoke greeter.wasm --message -"),
    ("plugin list", "host plugin list\nhost plugin list -o json"),
    ("plugin show", "host plugin show email"),
    ("plugin pause", "host plugin pause email --reason 'the mail server moves'"),
    ("plugin resume", "host plugin resume email"),
    ("config check", "host config check --config host.toml"),
    ("config show", "host config show --config host.toml\nhost config show -o json"),
    ("config init", "host config init --plugin email.wasm\nhost config init -o -"),
    ("config reference", "host config reference > configuration.md"),
    ("status", "host status\nhost status -o json --api http://127.0.0.1:8081"),
    (
        "completions",
        "host completions bash > /etc/bash_completion.d/host\nhost completions zsh > ~/.zfunc/_host",
    ),
    ("dlt list", "host dlt list --since 2h\nhost dlt list --code 'smtp-5*' --plugin email -o json"),
    ("dlt show", "host dlt show 3f2a9c11"),
    ("dlt failures", "host dlt failures\nhost dlt failures --all -o json"),
    ("dlt failures close", "host dlt failures close 9d41 --reason 'mended in 1.4.2'"),
    ("dlt failures reopen", "host dlt failures reopen 9d41"),
    ("dlt failures note", "host dlt failures note 9d41 'the shop knows'"),
    ("dlt try", "host dlt try --plugin email-1.4.2.wasm --failure 9d41"),
    (
        "dlt replay",
        "host dlt replay --failure 9d41 --reason 'mended in 1.4.2'\nhost dlt replay 3f2a9c11 --to retry\nhost dlt replay --code smtp-421 --rate 50 --max-failures 5",
    ),
    (
        "dlt edit",
        "host dlt edit 3f2a9c11 --replay\nhost dlt edit 3f2a9c11 --value mended.json --reason 'a typo'",
    ),
    ("dlt discard", "host dlt discard --failure 9d41 --reason 'sent by a test'"),
    ("dlt restore", "host dlt restore 3f2a9c11 --reason 'needed after all'"),
    ("dlt export", "host dlt export --failure 9d41 --output failed.jsonl"),
    ("dlt import", "host dlt import failed.jsonl"),
    ("dlt replays show", "host dlt replays show 51c0"),
    ("dlt replays follow", "host dlt replays follow 51c0"),
    ("dlt replays pause", "host dlt replays pause 51c0 --reason 'the server is slow'"),
    ("dlt replays resume", "host dlt replays resume 51c0"),
    ("dlt replays cancel", "host dlt replays cancel 51c0"),
    ("dlt audit-log", "host dlt audit-log --limit 20\nhost dlt audit-log 3f2a9c11 -o json"),
    ("waiting list", "host waiting list\nhost waiting list --code 'smtp-*' -o json"),
    ("waiting run-now", "host waiting run-now email.send-retry-16000/0/11022"),
    (
        "waiting postpone",
        "host waiting postpone --by 30m --code smtp-421 --count 1000 --reason 'the mail server moves'",
    ),
    (
        "waiting give-up",
        "host waiting give-up --code bad-template --count 171 --reason 'the template is wrong'",
    ),
    ("man", "host man /usr/local/share/man/man1"),
];

/// The command line with its examples.
pub fn command() -> Command {
    EXAMPLES.iter().fold(Cli::command(), |command, (words, examples)| add(command, words, examples))
}

fn add(command: Command, words: &str, examples: &str) -> Command {
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    command.mut_subcommand(name, |found| match rest {
        "" => {
            let lines: Vec<String> = examples.lines().map(|line| format!("  {line}")).collect();
            found.after_help(format!("Examples:\n{}", lines.join("\n")))
        }
        rest => add(found, rest, examples),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(command: &Command, path: &str, found: &mut Vec<(String, bool)>) {
        for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
            let path = format!("{path} {}", one.get_name()).trim_start().to_owned();
            // Some commands with subcommands do something by themselves.
            if one.has_subcommands() {
                leaves(one, &path, found);
            }
            if !one.has_subcommands() || one.get_after_help().is_some() {
                found.push((path, one.get_after_help().is_some()));
            }
        }
    }

    #[test]
    fn every_command_has_an_example() {
        let mut found = Vec::new();
        leaves(&command(), "", &mut found);
        let without: Vec<_> = found.iter().filter(|(_, has)| !has).map(|(path, _)| path).collect();
        assert!(without.is_empty() && found.len() >= EXAMPLES.len(), "{without:?}");
    }

    #[test]
    fn every_example_is_a_command_line() {
        for (words, examples) in EXAMPLES {
            for line in examples.lines() {
                let line = line.rsplit_once("| ").map_or(line, |(_, line)| line);
                let line = line.split(['>', '<']).next().unwrap_or(line);
                let args = words_of(line);
                assert!(line.starts_with(&format!("host {words}")), "{line}");
                // `--config` is taken out before the command line is parsed.
                let at =
                    args.iter().position(|arg| arg == "--config").filter(|_| !words.starts_with("topics"));
                let args = args
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| at.is_none_or(|at| *index != at && *index != at + 1));
                let args: Vec<&String> = args.map(|(_, arg)| arg).collect();
                if let Err(error) = command().try_get_matches_from(&args) {
                    let is_known =
                        error.to_string().contains("--plugin <FILE>") && !line.contains("--plugin");
                    assert!(is_known, "{line}: {error}");
                }
            }
        }
    }

    /// The words of a line, of which some are in quotes.
    fn words_of(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            match index % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }
}
