//! `host dlt export` and `host dlt import`.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use base::clock;
use base::error::UserError;
use base::text::counted;
use desk_api::{AuditEntry, DeadLetterState, ImportResult, Page};
use reqwest::Body;
use tempfile::NamedTempFile;
use tokio_util::io::ReaderStream;

use super::client::{Client, incomplete};
use super::follow::progress_bar;
use super::select::Select;
use crate::output::{OutputArgs, note, unwritable};

/// Interval at which the progress of an import is read.
const INTERVAL: Duration = Duration::from_millis(500);

/// Arguments of `host dlt export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    select: Select,
    /// Only dead letters in this state
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<DeadLetterState>,
    /// File to write to [default: standard output]
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Arguments of `host dlt import`.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// File to read from [default: standard input]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Exports dead letters.
pub async fn export(client: &Client, args: Export) -> Result<(), UserError> {
    let mut filter = args.select.filter()?;
    filter.state = args.state;
    let query = filter.query_pairs();
    let exported = match &args.file {
        None => match copy(client, &query, &mut io::stdout().lock()).await? {
            Ok(count) => count,
            // The reader has ended.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(unwritable(&error)),
        },
        Some(path) => export_file(client, &query, path).await?,
    };
    note(format!("exported {}", counted(exported, "dead letter")));
    Ok(())
}

/// Exports to a file that gets its name only when it is complete.
async fn export_file(client: &Client, query: &[(&str, String)], path: &Path) -> Result<usize, UserError> {
    let failed = |error: &io::Error| UserError::usage(format!("cannot write {}: {error}", path.display()));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory).map_err(|error| failed(&error))?;
    let exported = copy(client, query, file.as_file_mut()).await?.map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(exported)
}

/// Copies an export; returns the number of lines. The inner error is the writer's.
async fn copy(
    client: &Client,
    query: &[(&str, String)],
    writer: &mut impl Write,
) -> Result<io::Result<usize>, UserError> {
    let mut response = client.stream("/dead-letters/export", query).await?;
    let mut lines = 0;
    while let Some(part) = response.chunk().await.map_err(|error| incomplete(&error))? {
        lines += part.iter().filter(|byte| **byte == b'\n').count();
        if let Err(error) = writer.write_all(&part) {
            return Ok(Err(error));
        }
    }
    Ok(writer.flush().map(|()| lines))
}

/// Imports dead letters.
pub async fn import(client: &Client, args: Import) -> Result<(), UserError> {
    let (body, lines) = match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let failed = |error| UserError::usage(format!("cannot read {}: {error}", path.display()));
            let lines = count_lines(path).map_err(failed)?;
            (Body::from(tokio::fs::File::open(path).await.map_err(failed)?), Some(lines))
        }
        _ => (Body::wrap_stream(ReaderStream::new(tokio::io::stdin())), None),
    };
    let importing = client.post_lines("/dead-letters/import", body);
    let imported = match lines {
        Some(lines) => with_progress(client, lines, importing).await?,
        None => importing.await?,
    };
    args.output.report(&imported, || {
        let ImportResult { new, known } = imported;
        format!("imported {}; {known} existed already", counted(new, "dead letter"))
    })
}

/// The number of lines of a file, without empty ones.
fn count_lines(path: &Path) -> io::Result<u64> {
    let mut lines = 0;
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        lines += u64::from(!line?.trim_ascii().is_empty());
    }
    Ok(lines)
}

/// Shows the progress of an import until it ends. Its entry in the audit log counts the dead letters so far.
async fn with_progress(
    client: &Client,
    lines: u64,
    importing: impl Future<Output = Result<ImportResult, UserError>>,
) -> Result<ImportResult, UserError> {
    let (bar, began, mut importing) = (progress_bar(lines), clock::now_ms(), pin!(importing));
    let result = loop {
        tokio::select! {
            result = &mut importing => break result,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let recent: Result<Page<AuditEntry>, _> =
            client.get("/audit-log", &[("limit", "5".to_owned())]).await;
        let entries = recent.map(|page| page.items).unwrap_or_default();
        let own = entries.iter().find(|entry| entry.action == "import" && entry.at_ms >= began);
        bar.set_position(own.map_or(0, |entry| entry.dead_letters));
    };
    bar.finish_and_clear();
    result
}
