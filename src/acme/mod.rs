//! The server's certificate by ACME (RFC 8555): it is ordered, kept in the state directory, and renewed when
//! the authority says (RFC 9773), else after two thirds of its time. [`crate::tls`] follows the files.

pub mod challenges;
mod due;
mod order;
pub mod store;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use instant_acme::{Account, AccountCredentials, CertificateIdentifier};
use tokio::time::sleep;

use self::{
    challenges::Challenges,
    due::Renewal,
    store::{Found, Store},
};
use crate::{config, types::BoxFuture};

/// How often the certificate and the configuration are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How long the next attempt is waited for after so many that failed: few within an hour, as authorities
/// count them.
const WAITS: [u64; 5] = [60, 300, 900, 3600, 6 * 3600];

/// How it stands, for people.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The names of the configuration.
    pub names: Vec<String>,
    /// When the certificate that is there ends; none as long as there is none of the authority's.
    pub expires: Option<SystemTime>,
    /// When it is to be renewed, or ordered again.
    pub next: Option<SystemTime>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// Why there is no certificate.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<instant_acme::Error> for Error {
    fn from(error: instant_acme::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Gets certificates, and keeps them valid.
pub struct Keeper {
    store: Store,
    challenges: Arc<Challenges>,
    report: Arc<Mutex<Report>>,
    /// The authority's account, and the configuration that it is for.
    account: Option<(config::Acme, Account)>,
    renewal: Renewal,
    failures: usize,
    /// When to try again, and the configuration that failed.
    wait: Option<(Instant, config::Acme)>,
}

impl Keeper {
    /// Keeps certificates in this directory.
    #[must_use]
    pub fn new(store: Store, challenges: Arc<Challenges>) -> Self {
        Self {
            store,
            challenges,
            report: Arc::default(),
            account: None,
            renewal: Renewal::default(),
            failures: 0,
            wait: None,
        }
    }

    /// Where it tells how it stands.
    #[must_use]
    pub fn report(&self) -> Arc<Mutex<Report>> {
        self.report.clone()
    }

    /// Works until it is dropped. `current` gives the configuration that is in force, `tell` hears of each
    /// order: what was done, or why not.
    pub async fn keep(
        mut self,
        current: impl Fn() -> BoxFuture<'static, config::Acme> + Send,
        tell: impl Fn(Result<&str, &str>) + Send,
    ) {
        loop {
            let config = current().await;
            if config.is_used() {
                self.look(&config, &tell).await;
            } else {
                *lock(&self.report) = Report::default();
            }
            sleep(LOOK).await;
        }
    }

    async fn look(&mut self, config: &config::Acme, tell: &(impl Fn(Result<&str, &str>) + Send)) {
        let found = self.store.certificate().filter(Found::is_issued);
        let now = SystemTime::now();
        {
            let mut report = lock(&self.report);
            report.names.clone_from(&config.names);
            report.expires = found.as_ref().map(|found| found.end);
        }
        if let Some((until, failed)) = &self.wait {
            if failed == config && Instant::now() < *until {
                return;
            }
            if failed != config {
                self.failures = 0;
            }
            self.wait = None;
        }
        let fits = found.as_ref().filter(|found| found.is_for(&config.names));
        if let Some(found) = fits {
            self.ask_for_renewal(config, found).await;
            let due = self.renewal.due(found);
            lock(&self.report).next = Some(due);
            if now < due {
                return;
            }
        }
        let replaced = found.as_ref().filter(|_| self.renewal.is_supported());
        let replaced = replaced.and_then(|found| CertificateIdentifier::try_from(&found.leaf).ok());
        // An authority may not take it that a certificate is replaced twice.
        let replaced = replaced.filter(|_| self.failures == 0);
        match self.order(config, replaced).await {
            Ok(()) => {
                let text = format!("a certificate for {}", config.names.join(", "));
                tracing::info!(names = config.names.join(", "), "the certificate is issued");
                tell(Ok(&text));
                (self.failures, self.renewal) = (0, Renewal::default());
                let found = self.store.certificate();
                let mut report = lock(&self.report);
                report.error = None;
                report.expires = found.map(|found| found.end);
            }
            Err(error) => {
                let waits = WAITS.get(self.failures).or(WAITS.last());
                let wait = Duration::from_secs(waits.copied().unwrap_or(60));
                self.failures = self.failures.saturating_add(1);
                self.wait = Some((Instant::now() + wait, config.clone()));
                let error = error.to_string();
                tracing::error!(names = config.names.join(", "), error, again_in = ?wait,
                    "no certificate could be had by ACME: the one that is there stays in force");
                tell(Err(&error));
                let mut report = lock(&self.report);
                report.error = Some(error);
                report.next = Some(SystemTime::now() + wait);
            }
        }
    }

    /// Asks the authority when it wants the certificate renewed, if it is time to ask.
    async fn ask_for_renewal(&mut self, config: &config::Acme, found: &Found) {
        if !self.renewal.is_to_be_asked(found) {
            return;
        }
        let asked = async {
            let id = CertificateIdentifier::try_from(&found.leaf)?;
            let account = self.account(config).await?;
            Ok::<_, Error>(account.renewal_info(&id).await?)
        };
        let answer = asked.await;
        if let Err(error) = &answer {
            tracing::debug!(%error, "the authority does not say when to renew");
        }
        let window = answer.ok().map(|(info, again)| {
            let window = info.suggested_window;
            (window.start.into()..window.end.into(), again)
        });
        self.renewal.note(found, window);
    }

    async fn order(
        &mut self,
        config: &config::Acme,
        replaces: Option<CertificateIdentifier<'_>>,
    ) -> Result<(), Error> {
        if !config.agree_to_terms {
            return Err("acme.agree-to-terms is not true: read the authority's terms first".into());
        }
        let account = self.account(config).await?;
        let (chain, key) = order::obtain(&account, config, &self.challenges, replaces).await?;
        self.store.put(&chain, &key).map_err(Error)
    }

    /// The account of this configuration, made if there is none.
    async fn account(&mut self, config: &config::Acme) -> Result<Account, Error> {
        if let Some((of, account)) = &self.account
            && of == config
        {
            return Ok(account.clone());
        }
        let http = order::client(config)?;
        let kept = self.store.account(&config.directory);
        let kept = kept.and_then(|text| serde_json::from_str::<AccountCredentials>(&text).ok());
        let account = match kept {
            Some(kept) => http.from_credentials(kept).await?,
            None => {
                let (account, credentials) = order::new_account(http, config).await?;
                let text = serde_json::to_string(&credentials);
                let text = text.map_err(|error| Error(error.to_string()))?;
                let put = self.store.put_account(&config.directory, &text);
                put.map_err(Error)?;
                account
            }
        };
        self.account = Some((config.clone(), account.clone()));
        Ok(account)
    }
}

/// The report, also where somebody has panicked with it.
pub(crate) fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}
