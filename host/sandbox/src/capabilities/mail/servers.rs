//! Several mail servers: named ones for plugins, and others for when one does not work.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::error::UserError;
use destinations::Reservation;
use futures_util::future::select_all;
use settings::MailServer;
use tokio::time::sleep;

use super::mailer::{Email, MailError, Mailer, Receipt, send_own};

/// The default of `mail.failover-after`.
const FAILOVER_AFTER: Duration = Duration::from_secs(30);
/// The interval at which a waiting e-mail looks for a server that works.
const RECHECK: Duration = Duration::from_millis(250);

/// All mail servers of the configuration.
#[derive(Debug)]
pub struct MailServers {
    default: Option<Arc<Servers>>,
    named: BTreeMap<String, Arc<Mailer>>,
    failover_after: Duration,
}

impl MailServers {
    /// The server `url` or those of `[mail] servers`, and all that have a name. Does not connect.
    ///
    /// # Errors
    /// A URL or a setting is invalid, or there are both `url` and `servers`.
    pub fn new(url: Option<&str>, settings: &MailServer) -> Result<Self, UserError> {
        settings.check()?;
        let mut named = BTreeMap::new();
        for (name, server) in &settings.server {
            if let Some(url) = &server.url {
                let url = url.read(&format!("mail.server.{name}.url"))?;
                named.insert(name.clone(), Arc::new(Mailer::named(name, &url, server)?));
            }
        }
        let failover_after = settings.failover_after.unwrap_or(FAILOVER_AFTER);
        let mut all = Self { default: None, named, failover_after };
        all.default = match (url, settings.servers.as_slice()) {
            (None, []) => None,
            (Some(url), []) => Some(Arc::new(Servers::one(Arc::new(Mailer::new(url, settings)?)))),
            (None, names) => Some(all.of("mail.servers", names)?),
            (Some(_), _) => {
                let problem = "there are both a mail URL and mail.servers";
                return Err(UserError::usage(problem)
                    .help("remove mail.servers, or the URL: mail.url, --mail-url or HOST_MAIL_URL"));
            }
        };
        Ok(all)
    }

    fn unknown(&self, key: &str, name: &str) -> UserError {
        let error = UserError::usage(format!("{key}: there is no server {name:?}"))
            .help(format!("add [mail.server.{name}] with its url"));
        let known = self.named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        if known.is_empty() { error } else { error.help(format!("or use one of: {known}")) }
    }

    /// The servers of `[mail]`, for alerts and for plugins that name no others.
    pub fn default(&self) -> Option<&Arc<Servers>> {
        self.default.as_ref()
    }

    /// The servers of a plugin: those that it names, else those of `[mail]`. None if there is no server at all, and its
    /// e-mails are only logged.
    ///
    /// # Errors
    /// There are servers, but none of them for this plugin.
    pub fn of_plugin(&self, names: Option<&[String]>) -> Result<Option<Arc<Servers>>, UserError> {
        match (names, &self.default) {
            (Some(names), _) => self.of("plugin.mail.servers", names).map(Some),
            (None, None) if !self.named.is_empty() => {
                let problem = "the plugin may send e-mail, and no mail server is meant for it";
                Err(UserError::usage(problem)
                    .help("name servers in [mail] or in [plugin.mail]: servers = [\"NAME\"]"))
            }
            (None, default) => Ok(default.clone()),
        }
    }

    /// The servers with these names.
    ///
    /// # Errors
    /// There is no name, or no server with one of them.
    fn of(&self, key: &str, names: &[String]) -> Result<Arc<Servers>, UserError> {
        let mut all = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|earlier| earlier == name) {
                let problem = format!("{key}: {name:?} is listed twice");
                return Err(UserError::usage(problem).help("list each server once"));
            }
            all.push(Arc::clone(self.named.get(name).ok_or_else(|| self.unknown(key, name))?));
        }
        match all.is_empty() {
            true => Err(UserError::usage(format!("{key} is empty")).help("name a server, or remove the key")),
            false => Ok(Arc::new(Servers { all, failover_after: self.failover_after })),
        }
    }

    /// Each server, once.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Mailer>> {
        let default = self.default.iter().flat_map(|servers| &servers.all);
        let unnamed = default.filter(|one| !self.named.values().any(|named| Arc::ptr_eq(named, one)));
        unnamed.chain(self.named.values())
    }
}

/// Servers in the order in which they are preferred; at least one. An e-mail goes to exactly one of them.
#[derive(Debug)]
pub struct Servers {
    all: Vec<Arc<Mailer>>,
    failover_after: Duration,
}

impl Servers {
    /// One server, which nothing replaces.
    pub fn one(mailer: Arc<Mailer>) -> Self {
        Self { all: vec![mailer], failover_after: FAILOVER_AFTER }
    }

    /// The first one.
    #[cfg(test)]
    pub(super) fn preferred(&self) -> &Arc<Mailer> {
        &self.all[0]
    }

    /// Waits until a server works, will soon have room, and may be used at its rate: the first one that has not been
    /// away for long. A server that is away gets one e-mail at a time all the same, which probes it.
    pub async fn reserve(&self, ahead: usize) -> (&Arc<Mailer>, Reservation) {
        if let [only] = self.all.as_slice() {
            return (only, only.destination().reserve(ahead).await);
        }
        loop {
            let candidates = self.candidates();
            let reserving = candidates
                .iter()
                .map(|mailer| Box::pin(async move { (mailer, mailer.destination().reserve(ahead).await) }));
            tokio::select! {
                biased;
                (reserved, ..) = select_all(reserving) => return reserved,
                () = self.until_not(candidates.len()) => {}
            }
        }
    }

    /// The servers up to the first one that has not been away for long; all of them if there is none.
    fn candidates(&self) -> &[Arc<Mailer>] {
        let is_away = |mailer: &Arc<Mailer>| {
            mailer.destination().away().is_some_and(|time| time >= self.failover_after)
        };
        let first = self.all.iter().position(|mailer| !is_away(mailer));
        first.map_or(&*self.all, |first| self.all.get(..=first).unwrap_or_default())
    }

    /// Waits until the candidates are not these any more.
    async fn until_not(&self, candidates: usize) {
        while self.candidates().len() == candidates {
            sleep(RECHECK).await;
        }
    }

    /// Sends an e-mail of the host itself within 60 s. `name` is the first part of its `Message-ID`.
    ///
    /// # Errors
    /// The server accepted it for no recipient, does not work, or [`MailError::Unknown`].
    pub async fn send(&self, email: &Email, name: &str) -> Result<Receipt, MailError> {
        let reserving = async {
            let (mailer, reservation) = self.reserve(1).await;
            (&**mailer, reservation)
        };
        send_own(email, name, reserving).await
    }
}

/// `smtp://a:25, else smtp://b:25`
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mailer) in self.all.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", else " })?;
            mailer.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn servers(after: Duration) -> Servers {
        let mailer = |name: &str| {
            let server = MailServer { breaker: Some(1), ..MailServer::default() };
            Arc::new(Mailer::named(name, &format!("smtp://{name}:25"), &server).expect("a server"))
        };
        Servers { all: ["a", "b"].map(mailer).to_vec(), failover_after: after }
    }

    async fn fail(mailer: &Arc<Mailer>) {
        let reservation = mailer.destination().reserve(1).await;
        reservation.enter().await.expect("room").failed("away");
    }

    async fn chosen(servers: &Servers) -> (&str, Reservation) {
        let (mailer, reservation) = servers.reserve(1).await;
        (mailer.destination().name(), reservation)
    }

    #[tokio::test]
    async fn the_next_server_gets_what_the_first_one_cannot_and_the_first_one_is_probed() {
        let servers = servers(Duration::ZERO);
        let (first, next) = ("a (smtp://a:25)", "b (smtp://b:25)");
        assert_eq!(chosen(&servers).await.0, first);
        fail(servers.preferred()).await;
        let (name, second) = chosen(&servers).await;
        assert_eq!(name, next);
        // It is full, so that only a probe of the first one is left.
        let (name, probe) = chosen(&servers).await;
        assert_eq!(name, first);
        probe.enter().await.expect("a probe").succeeded();
        assert_eq!(chosen(&servers).await.0, first);
        drop(second);
    }

    #[tokio::test]
    async fn an_outage_that_ends_soon_changes_nothing() {
        let servers = servers(Duration::from_secs(3600));
        fail(servers.preferred()).await;
        let pause = Duration::from_millis(200);
        assert!(timeout(pause, servers.reserve(1)).await.is_err(), "it waits for the first one");
        // The time for which it waits already counts.
        let servers = Servers { failover_after: Duration::from_millis(300), ..servers };
        assert_eq!(chosen(&servers).await.0, "b (smtp://b:25)");
    }

    #[tokio::test]
    async fn without_any_server_the_first_that_works_again_is_used() {
        let servers = servers(Duration::ZERO);
        for mailer in &servers.all {
            fail(mailer).await;
        }
        let (name, _probe) = chosen(&servers).await;
        let (other, probe) = chosen(&servers).await;
        assert_ne!(name, other);
        probe.enter().await.expect("a probe").succeeded();
        assert_eq!(chosen(&servers).await.0, other);
    }

    #[tokio::test]
    async fn names_without_a_table_and_lists_beside_a_url_are_refused() {
        let server =
            MailServer { url: Some(settings::Value::Text("smtp://a".into())), ..MailServer::default() };
        let named = |names: &[&str]| MailServer {
            servers: names.iter().map(ToString::to_string).collect(),
            server: BTreeMap::from([("a".to_owned(), server.clone())]),
            ..MailServer::default()
        };
        for (url, names, problem) in [
            (None, &["b"][..], "mail.servers: there is no server \"b\""),
            (None, &["a", "a"], "\"a\" is listed twice"),
            (Some("smtp://c"), &["a"], "both a mail URL and mail.servers"),
        ] {
            let error = MailServers::new(url, &named(names)).expect_err(problem).to_string();
            assert!(error.contains(problem) && error.contains("help: "), "{error}");
        }
        let all = MailServers::new(Some("smtp://c"), &named(&[])).expect("both are possible");
        assert_eq!(all.all().map(ToString::to_string).collect::<Vec<_>>(), ["smtp://c:25", "smtp://a:25"]);
        let of = |all: &MailServers, names: Option<&[&str]>| {
            let names = names.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
            all.of_plugin(names.as_deref()).map(|found| found.map(|all| all.to_string()))
        };
        assert!(of(&all, Some(&[])).is_err());
        assert_eq!(of(&all, Some(&["a"])).expect("a").as_deref(), Some("smtp://a:25"));
        assert_eq!(of(&all, None).expect("the default").as_deref(), Some("smtp://c:25"));
        // Its e-mails would only be logged, although there is a server.
        let only_named = MailServers::new(None, &named(&[])).expect("possible");
        assert!(of(&only_named, None).is_err() && of(&only_named, Some(&["a"])).is_ok());
        assert_eq!(
            of(&MailServers::new(None, &MailServer::default()).expect("none"), None).expect("no server"),
            None
        );
    }
}
