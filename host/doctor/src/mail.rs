//! Whether the mail servers can be used.

use std::sync::Arc;

use futures_util::future::join_all;
use sandbox::call::Services;
use sandbox::capabilities::mail::servers::MailServers;

use crate::TIMEOUT;
use crate::report::{Area, Check};

/// Connects to all servers concurrently.
pub async fn check(services: &Services) -> Vec<Check> {
    let servers = services.shared.get::<Arc<MailServers>>();
    let checking = servers.iter().flat_map(|servers| servers.all()).map(|mailer| async move {
        let name = mailer.destination().name().as_ref();
        match mailer.check(TIMEOUT).await {
            Ok(detail) => Check::new(Area::Mail, name, detail, []),
            Err(finding) => Check::new(Area::Mail, name, "", [finding]),
        }
    });
    let checks = join_all(checking).await;
    if checks.is_empty() {
        return vec![Check::skipped(Area::Mail, "servers", "none is configured: e-mails are only logged")];
    }
    checks
}
