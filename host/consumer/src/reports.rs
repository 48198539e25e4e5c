//! What became of replayed messages on their first try, reported to the desk.

use tokio::sync::mpsc;

/// How many reports wait to be written at most; what comes then is lost, and its outcome `unknown`.
pub const QUEUE: usize = 100_000;

/// The replay that a record says it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The replay.
    pub job: String,
    /// The number of the letter in it, from 1.
    pub position: i64,
}

impl Tag {
    /// Reads `<job>/<position>`. None where it is anything else.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (job, position) = std::str::from_utf8(value).ok()?.split_once('/')?;
        let is_id = job.len() == 32 && job.bytes().all(|byte| byte.is_ascii_hexdigit());
        let position = position.parse().ok().filter(|position| *position > 0)?;
        is_id.then(|| Self { job: job.to_owned(), position })
    }

    /// As it is written.
    pub fn write(job: &str, position: i64) -> String {
        format!("{job}/{position}")
    }
}

/// What became of a record on its first try. It counts where the record is the one that the job published:
/// others can carry the same header.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose it says it is.
    pub tag: Tag,
    /// In which group it was handled.
    pub group: String,
    /// Where it lay.
    pub topic: String,
    /// Likewise.
    pub partition: i32,
    /// Likewise.
    pub offset: i64,
    /// Neither done nor skipped.
    pub failed: bool,
}

/// Takes reports.
#[derive(Debug, Clone)]
pub struct Outcomes(mpsc::Sender<Report>);

impl Outcomes {
    /// Whoever writes them gets the other end.
    pub fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Does not wait.
    pub fn report(&self, report: Report) {
        if self.0.try_send(report).is_err() {
            tracing::warn!("the outcome of a replayed message is lost: the store takes none");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_is_written_and_nothing_else_is() {
        let job = "0123456789abcdef0123456789abcdef".to_owned();
        let written = Tag::write(&job, 7);
        assert_eq!(Tag::read(written.as_bytes()), Some(Tag { job: job.clone(), position: 7 }));
        for other in
            ["", "/", "x/1", "7", &job, &format!("{job}/"), &format!("{job}/0"), &format!("{job}/-1")]
        {
            assert_eq!(Tag::read(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Tag::read(&[0xff; 40]), None);
    }
}
