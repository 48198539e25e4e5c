//! Precedence: flag > environment > file > default.
//!
//! The file's values become the command line's defaults, so that clap applies the precedence and `--help` shows the
//! effective values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use base::error::UserError;
use base::kafka_args::hide_property;
use base::kafka_properties::Use;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};
use sandbox::capabilities;
use settings::{File, Found, KafkaArgs, Properties};

use crate::args::{self, Cli};
use crate::examples;

/// The source of each value, by key.
pub type Origins = BTreeMap<&'static str, &'static str>;

/// Keys that are also arguments: key and argument.
const KEYS: [(&str, &str); 8] = [
    ("listen", "listen"),
    ("mail.url", "mail_url"),
    ("store.url", "store"),
    ("create-topics", "create_topics"),
    ("desk.enabled", "desk"),
    ("auto-offset-reset", "auto_offset_reset"),
    ("bootstrap-servers", "bootstrap_servers"),
    ("plugin", "plugins"),
];

/// Parses the command line, with the file's values as defaults. Exits for `--help` and for invalid arguments.
///
/// # Errors
/// The file is invalid.
pub fn parse(mut args: Vec<OsString>) -> Result<Cli, UserError> {
    let path = remove_path(&mut args);
    let read = Found::read(path.as_deref(), &capabilities::extensions()).and_then(|found| {
        let values = found.as_ref().map(|found| values(&found.file)).transpose()?;
        Ok((found, values.unwrap_or_default()))
    });
    let (found, values) = match read {
        Ok(read) => read,
        Err(failure) => {
            // Help must not depend on the file.
            match examples::command().try_get_matches_from(args) {
                Err(other) if !other.use_stderr() => other.exit(),
                _ => return Err(failure),
            }
        }
    };
    let command = values.iter().fold(examples::command(), |command, (id, values)| with(command, id, values));
    let matches = command.try_get_matches_from(args).unwrap_or_else(|error| hide_property(error).exit());
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    cli.origins = origins(&matches, &values);
    check_properties(&matches, &mut cli)?;
    if let Some(args::Command::Demo(demo)) = &mut cli.command {
        // A host.toml that happens to be here is about another system.
        demo.found = found.filter(|_| path.is_some()).map(Box::new);
        return Ok(cli);
    }
    if let Some(run) = cli.run_args_mut() {
        run.found = found.map(Box::new);
    }
    Ok(cli)
}

/// Checks the properties of librdkafka before any client is made.
fn check_properties(matches: &ArgMatches, cli: &mut Cli) -> Result<(), UserError> {
    if let Some(run) = cli.run_args_mut() {
        return run.kafka.check(Use::Handle);
    }
    let mut command = matches;
    while let Some((_, subcommand)) = command.subcommand() {
        command = subcommand;
    }
    if !command.try_contains_id("bootstrap_servers").unwrap_or_default() {
        return Ok(());
    }
    KafkaArgs::from_arg_matches(command).unwrap_or_else(|error| error.exit()).check(Use::Read)
}

/// The path in `--config` or its environment variable. The flag is removed, so that it can precede or follow the
/// command. After `topics`, `--config` is a topic setting.
fn remove_path(args: &mut Vec<OsString>) -> Option<PathBuf> {
    let end = args.iter().position(|arg| arg == "--" || arg == "topics").unwrap_or(args.len());
    let flag =
        |arg: &OsString| arg.to_str().is_some_and(|arg| arg == "--config" || arg.starts_with("--config="));
    let at = args.iter().take(end).position(flag);
    let value = at.and_then(|at| {
        let inline = args.get(at)?.to_str()?.strip_prefix("--config=").map(PathBuf::from);
        // Without a value it stays, so that clap reports it.
        let value = inline.clone().or_else(|| args.get(at + 1).map(PathBuf::from))?;
        args.drain(at..=at + usize::from(inline.is_none()));
        Some(value)
    });
    value.or_else(|| std::env::var_os("HOST_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from))
}

/// The file's values as arguments.
fn values(file: &File) -> Result<Vec<(&'static str, Vec<OsString>)>, UserError> {
    let one = |id: &'static str, value: Option<String>| value.map(|value| (id, vec![value.into()]));
    let Properties(properties) = &file.kafka.properties;
    let scalars = [
        one("listen", file.listen.map(|address| address.to_string())),
        one("mail_url", file.mail.url.as_ref().map(|url| url.read("mail.url")).transpose()?),
        one("store", file.store.url.as_ref().map(|url| url.read("store.url")).transpose()?),
        one("create_topics", file.create_topics.map(|create| create.to_string())),
        one("desk", file.desk.enabled.map(|enabled| enabled.to_string())),
        one("auto_offset_reset", file.auto_offset_reset.map(|reset| reset.as_str().to_owned())),
        one("bootstrap_servers", file.kafka.bootstrap_servers.clone()),
    ];
    let properties = properties.iter().map(|(name, value)| format!("{name}={value}").into()).collect();
    let plugins = file.plugins.iter().map(|plugin| plugin.path.clone().into()).collect();
    let lists: [(_, Vec<OsString>); 2] = [("file_properties", properties), ("plugins", plugins)];
    Ok(scalars.into_iter().flatten().chain(lists.into_iter().filter(|(_, list)| !list.is_empty())).collect())
}

/// Sets the default of an argument in all commands but the demo, which ignores the file.
fn with(command: Command, id: &'static str, values: &[OsString]) -> Command {
    let has = command.get_arguments().any(|arg| arg.get_id() == id);
    let command = if has && command.get_name() != "demo" {
        command.mut_arg(id, |arg| arg.required(false).default_values(values.to_vec()))
    } else {
        command
    };
    command.mut_subcommands(|subcommand| with(subcommand, id, values))
}

fn origins(matches: &ArgMatches, values: &[(&str, Vec<OsString>)]) -> Origins {
    if let Some((_, matches)) = matches.subcommand() {
        return origins(matches, values);
    }
    let origin = |id: &str| match matches.try_get_raw(id).ok().and_then(|_| matches.value_source(id)) {
        Some(ValueSource::CommandLine) => "flag",
        Some(ValueSource::EnvVariable) => "environment",
        _ if values.iter().any(|(known, _)| *known == id) => "file",
        _ => "default",
    };
    KEYS.iter().map(|(key, id)| (*key, origin(id))).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn args(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn read(file: &str, line: &str) -> Cli {
        let file = File::parse(file, &[]).expect("a file");
        let values = values(&file).expect("values");
        let command = values.iter().fold(Cli::command(), |command, (id, values)| with(command, id, values));
        let matches = command.try_get_matches_from(args(line)).expect(line);
        let mut cli = Cli::from_arg_matches(&matches).expect(line);
        cli.origins = origins(&matches, &values);
        cli
    }

    const FILE: &str = "listen = \"127.0.0.1:9000\"\n[kafka]\nbootstrap-servers = \"file:9092\"\n\
        properties.client.id = \"file\"\n[[plugin]]\npath = \"a.wasm\"\ntopic = \"a\"";

    #[test]
    fn the_file_overrides_defaults_and_flags_override_the_file() {
        let cli = read(FILE, "host");
        assert_eq!(cli.run.listen.port(), 9000);
        assert_eq!(cli.run.kafka.bootstrap_servers, "file:9092");
        assert_eq!(cli.run.plugins, [PathBuf::from("a.wasm")]);
        assert_eq!(cli.origins["listen"], "file");
        assert_eq!(cli.origins["create-topics"], "default");
        let cli = read(FILE, "host --plugin b.wasm --listen 127.0.0.1:9001");
        assert_eq!((cli.run.listen.port(), cli.origins["listen"]), (9001, "flag"));
        assert_eq!(cli.run.plugins, [PathBuf::from("b.wasm")]);
    }

    #[test]
    fn properties_are_layered_one_by_one() {
        let kafka = read(FILE, "host -X linger.ms=1").run.kafka;
        let config = kafka::client::config(&kafka, &[("client.id", "own")]);
        assert_eq!((config.get("client.id"), config.get("linger.ms")), (Some("file"), Some("1")));
        let kafka = read(FILE, "host -X client.id=flag").run.kafka;
        let config = kafka::client::config(&kafka, &[]);
        assert_eq!(config.get("client.id"), Some("flag"));
    }

    #[test]
    fn properties_are_checked_for_what_a_command_does() {
        let check = |line: &str| {
            let matches = Cli::command().try_get_matches_from(args(line)).expect(line);
            let mut cli = Cli::from_arg_matches(&matches).expect(line);
            check_properties(&matches, &mut cli).err().map(|error| error.to_string()).unwrap_or_default()
        };
        for refused in [
            "host --plugin a.wasm -X enable.auto.commit=true",
            "host config check --plugin a.wasm -X group.protocol=consumer",
            "host produce t -X acks=1",
            "host consume t -X enable.auto.commit=false",
            "host topics list -X bootstrap.servers=a:1",
        ] {
            assert!(check(refused).contains("help: remove -X"), "{refused}");
        }
        for fine in [
            "host --plugin a.wasm -X group.instance.id=a",
            "host consume t -X group.protocol=consumer",
            "host demo",
            "host config reference",
            "host dlt list",
        ] {
            assert_eq!(check(fine), "", "{fine}");
        }
    }

    #[test]
    fn a_switch_takes_its_value_after_a_space_too() {
        for (line, desk) in [
            ("host --desk false", false),
            ("host --desk=false", false),
            ("host --desk true", true),
            ("host --desk", true),
            ("host --desk --listen 127.0.0.1:1", true),
            ("host", true),
        ] {
            assert_eq!(read(FILE, line).run.desk, desk, "{line}");
        }
        assert!(!read(FILE, "host --create-topics false").run.create_topics);
    }

    #[test]
    fn commands_use_the_file() {
        use crate::args::Command;
        let Some(Command::Topics(_)) = read(FILE, "host topics list").command else {
            panic!("not the command")
        };
        assert_eq!(read(FILE, "host topics list").origins["bootstrap-servers"], "file");
        let Some(Command::Demo(demo)) = read(FILE, "host demo").command else { panic!("not the demo") };
        assert_eq!(demo.listen.port(), 8081);
    }

    #[test]
    fn the_path_is_removed_before_the_rest_is_parsed() {
        let take = |text: &str| {
            let mut args = args(text);
            (remove_path(&mut args), args)
        };
        let file = Some(PathBuf::from("x.toml"));
        assert_eq!(take("host --config x.toml topics list"), (file.clone(), args("host topics list")));
        assert_eq!(take("host produce t --config=x.toml"), (file, args("host produce t")));
        assert_eq!(take("host produce t -- --config y"), (None, args("host produce t -- --config y")));
        assert_eq!(take("host --config"), (None, args("host --config")));
        let create = "host topics create t --config retention.ms=1";
        assert_eq!(take(create), (None, args(create)));
    }
}
