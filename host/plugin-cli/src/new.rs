//! `host plugin new`.

mod name;
mod template;

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use base::error::UserError;
use desk_cli::output::{escaped, print};

use self::name::Name;

/// Arguments of `host plugin new`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the plugin: lower-case words joined by `-`, such as order-mail
    #[arg(value_name = "NAME")]
    name: String,
    /// Language of the project
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    lang: Lang,
    /// Directory of the project, new or empty [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The language of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// Rust
    Rust,
    /// TypeScript
    Ts,
    /// JavaScript
    Js,
    /// Python
    Python,
}

impl Lang {
    /// The commands that make a project ready to be built.
    fn set_up(self) -> &'static [&'static str] {
        match self {
            // Its rust-toolchain.toml names the target.
            Self::Rust => &[],
            Self::Ts | Self::Js => &["npm ci"],
            Self::Python => &["python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"],
        }
    }
}

/// Writes a project.
///
/// # Errors
/// The name is invalid, or the directory is not empty or cannot be written.
pub fn run(args: &Args) -> Result<(), UserError> {
    let name: Name = args.name.parse().map_err(|problem: String| {
        UserError::usage(format!("{:?} cannot be the name of a plugin: {problem}", args.name))
            .help("use lower-case words joined by `-`: host plugin new order-mail --lang rust")
    })?;
    let directory = args.dir.clone().unwrap_or_else(|| name.as_str().into());
    let files = template::files(args.lang, &name);
    if files.is_empty() {
        return Err(UserError::unavailable("this host was built without templates")
            .help("build it in a complete checkout of its repository"));
    }
    prepare(&directory)?;
    for (path, content) in &files {
        let path = directory.join(path);
        write(&path, content).map_err(|error| unwritable(&path, &error))?;
    }
    print(next(args.lang, &directory, files.len()))
}

/// Creates the directory. One that exists must be empty.
fn prepare(directory: &Path) -> Result<(), UserError> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                let problem = format!("{} is not empty; nothing was written", directory.display());
                Err(UserError::usage(problem).help("choose a directory that does not exist: --dir DIR"))
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let created = DirBuilder::new().recursive(true).create(directory);
            created.map_err(|error| unwritable(directory, &error))
        }
        Err(error) => Err(unwritable(directory, &error)),
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    // A file that somebody writes at the same time stays as it is.
    File::create_new(path)?.write_all(content)
}

fn unwritable(path: &Path, error: &io::Error) -> UserError {
    UserError::usage(format!("cannot write {}: {error}", path.display()))
        .help("choose a directory that you may write: --dir DIR")
}

/// What was written, and the commands that follow.
fn next(lang: Lang, directory: &Path, count: usize) -> String {
    let directory = escaped(&directory.display().to_string());
    let mut lines = vec![format!("wrote {count} files to {directory}; next:"), String::new()];
    lines.push(format!("  cd {directory}"));
    lines.extend(lang.set_up().iter().map(|command| format!("  {command}")));
    lines.push("  host plugin dev       # builds at every change, and runs the cases".to_owned());
    lines.join("\n")
}
