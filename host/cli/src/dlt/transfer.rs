//! `host dlt export` and `host dlt import`.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use base::error::UserError;
use base::text::counted;
use desk::State;
use reqwest::Body;
use server::api::Imported;
use tempfile::NamedTempFile;
use tokio_util::io::ReaderStream;

use super::client::{Client, broke_off};
use super::select::{Select, query};
use crate::output::{note, unwritable};

/// Arguments of `host dlt export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    select: Select,
    /// What has become of them
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// Where to [default: standard output]
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Arguments of `host dlt import`.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// Where from [default: standard input]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Writes whole letters.
pub async fn export(client: &Client, args: Export) -> Result<(), UserError> {
    let mut filter = args.select.filter()?;
    filter.state = args.state;
    let query = query(&filter);
    let letters = match &args.file {
        None => {
            let mut stdout = io::stdout().lock();
            match copy(client, &query, &mut stdout).await? {
                Ok(letters) => letters,
                // Whoever read it has enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(unwritable(&error)),
            }
        }
        Some(path) => {
            // Under its own name only when it is whole.
            let directory =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut file = NamedTempFile::new_in(directory).map_err(|error| not_written(path, &error))?;
            let letters = copy(client, &query, file.as_file_mut()).await?;
            let letters = letters.map_err(|error| not_written(path, &error))?;
            file.persist(path).map_err(|error| not_written(path, &error.error))?;
            letters
        }
    };
    note(format!("exported {}", counted(letters, "letter")));
    Ok(())
}

/// Copies an export. The inner error is the writer's.
async fn copy(
    client: &Client,
    query: &[(&str, String)],
    to: &mut impl Write,
) -> Result<io::Result<usize>, UserError> {
    let mut response = client.stream("/letters/export", query).await?;
    let mut letters = 0;
    while let Some(part) = response.chunk().await.map_err(|error| broke_off(&error))? {
        letters += part.iter().filter(|byte| **byte == b'\n').count();
        if let Err(error) = to.write_all(&part) {
            return Ok(Err(error));
        }
    }
    Ok(to.flush().map(|()| letters))
}

/// Takes letters in.
pub async fn import(client: &Client, args: Import) -> Result<(), UserError> {
    let body = match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let file = tokio::fs::File::open(path).await;
            Body::from(
                file.map_err(|error| UserError::usage(format!("cannot read {}: {error}", path.display())))?,
            )
        }
        _ => Body::wrap_stream(ReaderStream::new(tokio::io::stdin())),
    };
    let Imported { new, known } = client.upload("/letters/import", body).await?;
    note(format!("imported {}; {known} were there already", counted(new, "letter")));
    Ok(())
}

fn not_written(path: &Path, error: &io::Error) -> UserError {
    UserError::usage(format!("cannot write {}: {error}", path.display()))
}
