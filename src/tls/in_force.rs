//! The part of TLS that follows its files while the server runs: certificates and their keys, lists of revoked
//! certificates, and OCSP responses. Each session keeps what was in force when its handshake began.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{
    Error,
    certificates::{Certificates, Resolver},
    clients::Authorities,
    key_of,
    ocsp::Staple,
    revocation::{self, Lists},
    validity,
};
use crate::config::{self, HostKeys, Stamp, TlsVersion, regular};

/// The fate of a file that will not do.
const LAST_GOOD: &str = "the last good one stays in force";

/// All that does not change, and how it stands with what does.
pub struct InForce {
    provider: Arc<CryptoProvider>,
    config: config::Tls,
    authorities: Option<Authorities>,
    current: RwLock<Current>,
    lists: Mutex<(Watched, Lists)>,
    served: Mutex<Served>,
    /// Counts the changes of lists.
    revision: AtomicU64,
    /// For what is told later.
    keys: HostKeys,
}

/// The part that new sessions get.
#[derive(Clone)]
pub(super) struct Current {
    pub base: Arc<ServerConfig>,
    pub clients: Arc<dyn ClientCertVerifier>,
    pub resolver: Arc<Resolver>,
}

/// The certificates, and what is stapled to them.
struct Served {
    certificates: Watched,
    tables: Vec<Certificates>,
    responses: Watched,
    staples: Vec<Stapled>,
}

/// A response, and the certificate that it is stapled to.
#[derive(Clone, PartialEq, Eq)]
struct Stapled {
    table: usize,
    certificate: usize,
    response: Vec<u8>,
    until: Option<i64>,
    key: String,
    file: PathBuf,
}

impl InForce {
    /// Reads certificates, lists and responses; with warnings of what is over, or soon will be.
    ///
    /// # Errors
    /// The file that cannot be read or used, with its key.
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        (config, keys): (&config::Tls, &HostKeys),
        warnings: &mut Vec<Error>,
    ) -> Result<Self, Error> {
        let certificates = Watched::new(certificate_files(config));
        let tables = read_tables(&provider, config)?;
        warnings.extend(warnings_of(&tables));
        let authorities = Authorities::read(config, &provider, warnings)?;
        // They are of no use where certificates are not asked for.
        let files = authorities
            .iter()
            .flat_map(|_| config.client_revocation.clone());
        let watched = Watched::new(files.collect());
        let mut lists = read_lists(&watched.files, authorities.as_ref())?;
        warnings.extend(lists.warn());
        let responses = tables.iter().flat_map(|table| table.responses.clone());
        let responses = Watched::new(responses.collect());
        let staples = read_staples(&tables, &provider)?;
        let clients = verifier(authorities.as_ref(), &mut lists)?;
        let resolver = resolver(&tables, &staples);
        let current = current(&provider, config.minimum_version, clients, resolver)?;
        let served = Served {
            certificates,
            tables,
            responses,
            staples,
        };
        Ok(Self {
            provider,
            config: config.clone(),
            authorities,
            current: RwLock::new(current),
            lists: Mutex::new((watched, lists)),
            served: Mutex::new(served),
            revision: AtomicU64::new(0),
            keys: keys.clone(),
        })
    }

    /// The part for a session that begins now.
    pub(super) fn current(&self) -> Current {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// The end of the first certificate of each chain, with its key and its subject.
    pub(super) fn expiries(&self) -> Vec<(String, String, i64)> {
        let mut all = Vec::new();
        for table in &lock(&self.served).tables {
            let count = table.identities.len();
            for (index, identity) in table.identities.iter().enumerate() {
                let key = key_of("certificate", count, index);
                let first = identity.key.cert.first();
                if let Some((subject, end)) = first.and_then(validity::end) {
                    let key = self.keys.key(&format!("{}.{key}", table.setting));
                    all.push((key, subject, end));
                }
            }
        }
        all
    }

    /// For HTTPS, with the same certificates.
    ///
    /// # Errors
    /// None in practice: the versions are those of the provider.
    pub(super) fn https(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions(self.config.minimum_version))?
            .with_no_client_auth()
            .with_cert_resolver(self.current().resolver);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Another number whenever the lists of revoked certificates are others.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Relaxed)
    }

    /// Looks at the files, and puts in force what has changed. Whatever cannot be read or used leaves in
    /// force what was; `tell` says so in the log. Reading blocks.
    pub fn follow(&self, tell: bool) {
        let result = self
            .follow_lists(tell)
            .and_then(|()| self.follow_served(tell));
        if let Err(error) = result {
            // It could be built once, from other files.
            tracing::error!(%error, "TLS cannot be set up anew, and stays as it was");
        }
    }

    fn follow_lists(&self, tell: bool) -> Result<(), Error> {
        let mut guard = lock(&self.lists);
        let (watched, lists) = &mut *guard;
        if watched.changed() {
            let authorities = self.authorities.as_ref();
            let read = read_lists(&watched.files, authorities)
                .and_then(|mut new| Ok((verifier(authorities, &mut new)?, new)));
            match read {
                Ok((clients, new)) => {
                    let mended = watched.succeeded();
                    let changed = new.digest.as_ref() != lists.digest.as_ref();
                    if changed {
                        self.replace(clients, self.current().resolver)?;
                        *lists = new;
                        self.revision.fetch_add(1, Relaxed);
                    }
                    if tell && (changed || mended) {
                        let files = watched.names();
                        tracing::info!(files, "the lists of revoked certificates are read anew");
                    }
                }
                Err(error) => watched.failed(&error.of(&self.keys), LAST_GOOD, tell),
            }
        }
        if tell {
            for warning in lists.warn_of_ends() {
                tracing::warn!("{}", warning.of(&self.keys));
            }
        }
        Ok(())
    }

    fn follow_served(&self, tell: bool) -> Result<(), Error> {
        let mut served = lock(&self.served);
        let renewed = self.follow_certificates(&mut served, tell);
        self.follow_staples(&mut served, renewed, tell)
    }

    /// Whether there are others now.
    fn follow_certificates(&self, served: &mut Served, tell: bool) -> bool {
        let watched = &mut served.certificates;
        if !watched.changed() {
            return false;
        }
        match read_tables(&self.provider, &self.config) {
            Ok(tables) => {
                let mended = watched.succeeded();
                let changed = !same(&tables, &served.tables);
                if tell && (changed || mended) {
                    let files = watched.names();
                    tracing::info!(
                        files,
                        "the certificates are read anew: new sessions get them"
                    );
                    for warning in warnings_of(&tables) {
                        tracing::warn!("{}", warning.of(&self.keys));
                    }
                }
                served.tables = tables;
                changed
            }
            Err(error) => {
                watched.failed(&error.of(&self.keys), LAST_GOOD, tell);
                false
            }
        }
    }

    fn follow_staples(&self, served: &mut Served, renewed: bool, tell: bool) -> Result<(), Error> {
        let Served {
            tables,
            responses: watched,
            staples,
            ..
        } = served;
        if renewed {
            // They are about the certificates that were there before, unless they are read again.
            staples.clear();
            watched.read_again();
        }
        let mut new = staples.clone();
        let mut mended = false;
        if watched.changed() {
            match read_staples(tables, &self.provider) {
                Ok(read) => {
                    mended = watched.succeeded();
                    new = read;
                }
                Err(error) => {
                    let rest = match staples.is_empty() {
                        true => "nothing is stapled",
                        false => LAST_GOOD,
                    };
                    watched.failed(&error.of(&self.keys), rest, tell);
                }
            }
        }
        if tell && (mended || new != *staples) {
            tracing::info!(files = watched.names(), "the OCSP responses are read anew");
        }
        let now = validity::now();
        new.retain(|stapled| {
            let over = stapled.until.is_some_and(|until| until <= now);
            if over && tell {
                let text = "it has expired, and is not stapled any more: clients refuse such";
                let table = tables.get(stapled.table);
                let error = Error::file(
                    table.map_or("", |table| &table.setting),
                    &stapled.key,
                    &stapled.file,
                    &text,
                );
                tracing::warn!("{}", error.of(&self.keys));
            }
            !over
        });
        if renewed || new != *staples {
            self.replace(self.current().clients, resolver(tables, &new))?;
            *staples = new;
        }
        Ok(())
    }

    fn replace(
        &self,
        clients: Arc<dyn ClientCertVerifier>,
        resolver: Arc<Resolver>,
    ) -> Result<(), Error> {
        let minimum = self.config.minimum_version;
        let new = current(&self.provider, minimum, clients, resolver)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

/// The tables of `[tls]`, and of each `[[tls.host]]`.
fn read_tables(
    provider: &CryptoProvider,
    config: &config::Tls,
) -> Result<Vec<Certificates>, Error> {
    let mut tables = vec![Certificates::read(
        provider,
        "tls",
        &config.certificate,
        &config.key,
        &config.ocsp_response,
    )?];
    for (index, host) in config.host.iter().enumerate() {
        let setting = format!("tls.host[{index}]");
        let (certificates, keys) = (&host.certificate, &host.key);
        let responses = &host.ocsp_response;
        let read = Certificates::read(provider, &setting, certificates, keys, responses);
        tables.push(read?);
    }
    Ok(tables)
}

fn certificate_files(config: &config::Tls) -> Vec<PathBuf> {
    let hosts = config.host.iter();
    let hosts = hosts.flat_map(|host| host.certificate.iter().chain(&host.key));
    let own = config.certificate.iter().chain(&config.key);
    own.chain(hosts).cloned().collect()
}

fn warnings_of(tables: &[Certificates]) -> impl Iterator<Item = Error> {
    let identities = tables.iter().flat_map(|table| &table.identities);
    identities.flat_map(|identity| identity.warnings.iter().cloned())
}

/// Whether both have the same certificates; their keys are those of the certificates.
fn same(one: &[Certificates], other: &[Certificates]) -> bool {
    let chains = |tables: &[Certificates]| -> Vec<Vec<_>> {
        let chains = |table: &Certificates| {
            let all = table.identities.iter();
            all.map(|identity| identity.key.cert.clone()).collect()
        };
        tables.iter().map(chains).collect()
    };
    chains(one) == chains(other)
}

fn read_lists(files: &[PathBuf], authorities: Option<&Authorities>) -> Result<Lists, Error> {
    match authorities {
        Some(authorities) if !files.is_empty() => Lists::read(files, authorities),
        _ => Ok(Lists::none()),
    }
}

/// With the lists, of which no other copy is kept.
fn verifier(
    authorities: Option<&Authorities>,
    lists: &mut Lists,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let Some(authorities) = authorities else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let built = authorities.verifier(std::mem::take(&mut lists.lists));
    built.map_err(|error| Error {
        key: format!("tls.{}", revocation::KEY),
        text: error.to_string(),
    })
}

fn read_staples(tables: &[Certificates], provider: &CryptoProvider) -> Result<Vec<Stapled>, Error> {
    let algorithms = &provider.signature_verification_algorithms;
    let mut staples: Vec<Stapled> = Vec::new();
    for (place, table) in tables.iter().enumerate() {
        let certificates = table.identities.iter().map(|identity| &*identity.key);
        let certificates: Vec<_> = certificates.collect();
        for (index, file) in table.responses.iter().enumerate() {
            let key = key_of("ocsp-response", table.responses.len(), index);
            let wrong =
                |text: &dyn std::fmt::Display| Error::file(&table.setting, &key, file, text);
            let response = regular::read(file).map_err(|error| wrong(&error))?;
            let checked = Staple::check(&response, &certificates, algorithms, validity::now());
            let Staple { certificate, until } = checked.map_err(|text| wrong(&text))?;
            let mut others = staples.iter();
            if others.any(|other| (other.table, other.certificate) == (place, certificate)) {
                return Err(wrong(&"there is another one about the same certificate"));
            }
            staples.push(Stapled {
                table: place,
                certificate,
                response,
                until,
                key,
                file: file.clone(),
            });
        }
    }
    Ok(staples)
}

fn resolver(tables: &[Certificates], staples: &[Stapled]) -> Arc<Resolver> {
    Arc::new(Resolver::new(tables, |table, certificate| {
        let mut staples = staples.iter();
        let found = staples.find(|one| (one.table, one.certificate) == (table, certificate));
        Some(found?.response.clone())
    }))
}

fn current(
    provider: &Arc<CryptoProvider>,
    minimum_version: TlsVersion,
    clients: Arc<dyn ClientCertVerifier>,
    resolver: Arc<Resolver>,
) -> Result<Current, Error> {
    let mut base = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(minimum_version))
        .map_err(|error| Error {
            key: "tls".into(),
            text: error.to_string(),
        })?
        .with_client_cert_verifier(clients.clone())
        .with_cert_resolver(resolver.clone());
    // Tickets alone, but for what each session remembers for itself.
    base.session_storage = Arc::new(NoServerSessionStorage {});
    base.ignore_client_order = true;
    Ok(Current {
        base: Arc::new(base),
        clients,
        resolver,
    })
}

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        TlsVersion::V1_2 => BOTH,
        TlsVersion::V1_3 => NEWEST,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files that are read again when they have changed.
struct Watched {
    files: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    /// Why they will not do, and whether that was said.
    problem: Option<(String, bool)>,
}

impl Watched {
    /// To be made before they are read: what is written meanwhile is a change.
    fn new(files: Vec<PathBuf>) -> Self {
        Self {
            stamps: files.iter().map(|file| Stamp::of(file)).collect(),
            files,
            problem: None,
        }
    }

    /// Whether they have to be read: one is another than when this was asked before, or they would not
    /// do then.
    fn changed(&mut self) -> bool {
        let mut all = self.files.iter().zip(&self.stamps);
        if self.problem.is_none() && all.all(|(file, stamp)| stamp.still_holds(file)) {
            return false;
        }
        self.stamps = self.files.iter().map(|file| Stamp::of(file)).collect();
        true
    }

    /// They have to be read, whether they have changed or not.
    fn read_again(&mut self) {
        self.problem.get_or_insert_default();
    }

    /// They do; whether the log says that they do not.
    fn succeeded(&mut self) -> bool {
        self.problem.take().is_some_and(|(_, told)| told)
    }

    /// Says so once, and what is in force then; not the first time, as a file that is being written to is
    /// whole a moment later.
    fn failed(&mut self, error: &Error, rest: &str, tell: bool) {
        let text = error.to_string();
        let (again, told) = match &self.problem {
            Some((before, told)) => (*before == text, *before == text && *told),
            None => (false, false),
        };
        let tells = tell && again && !told;
        if tells {
            tracing::error!("{text}; {rest}");
        }
        self.problem = Some((text, told || tells));
    }

    fn names(&self) -> String {
        let names = self.files.iter().map(|file| file.display().to_string());
        names.collect::<Vec<_>>().join(", ")
    }
}
