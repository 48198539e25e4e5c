//! What was checked and found, as text and as JSON.

use std::cmp::Reverse;
use std::fmt::Write as _;

use base::error::UserError;
use base::finding::{Finding, Severity};
use base::text::{counted, line};
use serde::Serialize;

/// What a check is about, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    Machine,
    Plugins,
    Mail,
    Store,
    Kafka,
    Topics,
    Groups,
}

/// The result of a check, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// It could not be made, or nothing needs it.
    Skipped,
    Warning,
    Error,
}

/// One thing that was checked.
#[derive(Debug, Serialize)]
pub struct Check {
    area: Area,
    /// What was checked: a name within the area.
    name: String,
    status: Status,
    /// What it is like if nothing is wrong, or why it was skipped.
    detail: String,
    findings: Vec<Finding>,
}

impl Check {
    /// A check that was made.
    pub fn new(
        area: Area,
        name: impl Into<String>,
        detail: impl Into<String>,
        findings: impl IntoIterator<Item = Finding>,
    ) -> Self {
        let findings: Vec<Finding> = findings.into_iter().collect();
        let status = match findings.iter().map(|finding| finding.severity).max() {
            None => Status::Ok,
            Some(Severity::Warning) => Status::Warning,
            Some(Severity::Error) => Status::Error,
        };
        Self { area, name: name.into(), status, detail: detail.into(), findings }
    }

    /// A check that could not be made, or that nothing needs.
    pub fn skipped(area: Area, name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::new(area, name, why, []) }
    }
}

/// All checks.
#[derive(Debug, Serialize)]
pub struct Report {
    summary: Summary,
    checks: Vec<Check>,
}

/// The number of checks with each result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Summary {
    ok: usize,
    skipped: usize,
    warnings: usize,
    errors: usize,
}

impl Report {
    pub(crate) fn new(checks: Vec<Check>) -> Self {
        let count = |status| checks.iter().filter(|check| check.status == status).count();
        let summary = Summary {
            ok: count(Status::Ok),
            skipped: count(Status::Skipped),
            warnings: count(Status::Warning),
            errors: count(Status::Error),
        };
        Self { summary, checks }
    }

    /// The error of the command: exit code 1 if the host would not start, or would lose or not handle messages.
    pub fn verdict(&self) -> Result<(), UserError> {
        match self.summary.errors {
            0 => Ok(()),
            count => {
                let checks = counted(count as u64, "check");
                Err(UserError::unavailable(format!("{checks} failed: the host does not work as it is")))
            }
        }
    }

    /// A line per check, the findings with their cures, the worst first, and a summary.
    pub fn text(&self, is_coloured: bool) -> String {
        let mut text = String::new();
        let mut area = None;
        let mut width = 0;
        for check in &self.checks {
            if area.replace(check.area) != Some(check.area) {
                let _ = writeln!(text, "{}", bold(&format!("{:?}", check.area), is_coloured));
                width = self.width(check.area);
            }
            let (name, status) = (escaped(&check.name), check.status.cell(is_coloured));
            let _ = writeln!(text, "  {status}  {name:<width$}  {}", escaped(&check.line()));
        }
        let mut findings: Vec<&Finding> = self.checks.iter().flat_map(|check| &check.findings).collect();
        findings.sort_by_key(|finding| Reverse(finding.severity));
        for finding in findings {
            let status = Status::of(finding.severity).label(is_coloured);
            let _ = writeln!(text, "\n{status}: {}", escaped(&finding.problem));
            let _ = writeln!(text, "  why:  {}", escaped(&finding.why));
            for cure in &finding.cures {
                let _ = writeln!(text, "  cure: {}", escaped(cure));
            }
        }
        let _ = write!(text, "\n{}", self.summary.text());
        text
    }
}

impl Report {
    /// The width of the names in an area.
    fn width(&self, area: Area) -> usize {
        let names = self.checks.iter().filter(|check| check.area == area);
        names.map(|check| escaped(&check.name).chars().count()).max().unwrap_or_default()
    }
}

impl Check {
    /// What the check's line says: the first finding of the worst ones, if there is any.
    fn line(&self) -> String {
        let worst = self.findings.iter().find(|finding| Status::of(finding.severity) == self.status);
        let Some(worst) = worst else { return self.detail.clone() };
        match self.findings.len() {
            1 => worst.problem.clone(),
            count => format!("{} (and {} more)", worst.problem, count - 1),
        }
    }
}

impl Status {
    fn of(severity: Severity) -> Self {
        match severity {
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }

    fn label(self, is_coloured: bool) -> String {
        let (label, colour) = match self {
            Self::Ok => ("ok", 32),
            Self::Skipped => ("skipped", 2),
            Self::Warning => ("warning", 33),
            Self::Error => ("error", 31),
        };
        if is_coloured { format!("\u{1b}[{colour}m{label}\u{1b}[0m") } else { label.to_owned() }
    }

    /// The label, padded to the width of the longest one.
    fn cell(self, is_coloured: bool) -> String {
        let padding = " ".repeat("skipped".len() - self.label(false).len());
        self.label(is_coloured) + &padding
    }
}

impl Summary {
    fn text(self) -> String {
        let all = self.ok + self.skipped + self.warnings + self.errors;
        let mut text = format!("{}: {} ok", counted(all as u64, "check"), self.ok);
        if self.skipped > 0 {
            let _ = write!(text, ", {} skipped", self.skipped);
        }
        for (count, noun) in [(self.warnings, "warning"), (self.errors, "error")] {
            if count > 0 {
                let _ = write!(text, ", {}", counted(count as u64, noun));
            }
        }
        text
    }
}

/// On one line, with control characters escaped.
fn escaped(text: &str) -> String {
    line(text.as_bytes())
}

fn bold(text: &str, is_coloured: bool) -> String {
    if is_coloured { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn warning() -> Check {
        let finding = Finding::warning("topic t is limited", "records are lost").cure("kafka-configs …");
        Check::new(Area::Topics, "t", "4 partitions", [finding])
    }

    fn error() -> Check {
        let both = [
            Finding::warning("small", "slow"),
            Finding::error("bro\u{1b}ken", "no start").cure("a").cure("b"),
        ];
        Check::new(Area::Groups, "g", "no members", both)
    }

    #[test]
    fn a_line_per_check_is_followed_by_the_findings_and_the_summary() {
        let ok = Check::new(Area::Machine, "open files", "up to 4096", []);
        let skipped = Check::skipped(Area::Mail, "servers", "no mail server is configured");
        let report = Report::new(vec![ok, skipped, warning(), error()]);
        let expected = "\
Machine
  ok       open files  up to 4096
Mail
  skipped  servers  no mail server is configured
Topics
  warning  t  topic t is limited
Groups
  error    g  bro\\u{1b}ken (and 1 more)

error: bro\\u{1b}ken
  why:  no start
  cure: a
  cure: b

warning: topic t is limited
  why:  records are lost
  cure: kafka-configs …

warning: small
  why:  slow

4 checks: 1 ok, 1 skipped, 1 warning, 1 error";
        assert_eq!(report.text(false), expected);
        let coloured = report.text(true);
        assert!(coloured.contains("\u{1b}[1mGroups\u{1b}[0m\n  \u{1b}[31merror\u{1b}[0m    g"), "{coloured}");
    }

    #[test]
    fn only_errors_fail_the_command() {
        let code = |checks| Report::new(checks).verdict().map_err(|error| error.code());
        assert_eq!(code(vec![warning()]), Ok(()));
        assert_eq!(code(vec![Check::skipped(Area::Mail, "servers", "none")]), Ok(()));
        assert_eq!(code(vec![warning(), error()]), Err(1));
    }

    #[test]
    fn the_report_has_a_stable_form_in_json() {
        let report = serde_json::to_value(Report::new(vec![warning()])).expect("JSON");
        let finding = json!({"severity": "warning", "problem": "topic t is limited", "why": "records are lost",
            "cures": ["kafka-configs …"]});
        let check = json!({"area": "topics", "name": "t", "status": "warning", "detail": "4 partitions",
            "findings": [finding]});
        let summary = json!({"ok": 0, "skipped": 0, "warnings": 1, "errors": 0});
        assert_eq!(report, json!({"summary": summary, "checks": [check]}));
    }
}
