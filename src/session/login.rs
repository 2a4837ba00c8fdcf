//! USER, PASS, ACCT, REIN, HOST.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use tokio::time::{Instant, sleep_until};

use super::{
    LONGEST_DELAY, Next, Session,
    accounts::{EXPIRED, expired},
    connection::Connection,
    state::{Active, LoginState, Parameters, Presence},
};
use crate::{
    fair::Full,
    ftp::{command::Login, path::VirtualPath, reply::Reply, secret::Secret},
    gate::{
        Account,
        authentication::{self, Credentials, LoginDecision},
        event::Event,
        grounds::Grounds,
        path_policy::Policy,
        session::line,
    },
    observe::Rate,
    open_files,
    storage::Error,
    types::UserId,
};

/// Strangers cause these lines.
static FAILED: LazyLock<Arc<Rate>> = LazyLock::new(|| Rate::new("more logins failed"));

impl Session {
    pub(super) async fn login(&mut self, command: Login) -> io::Result<Next> {
        match command {
            Login::User(name) => self.user(name).await,
            Login::Pass(password) => self.pass(password).await,
            Login::Acct(code) => self.acct(code).await,
        }
    }

    /// Always 331, so that nobody learns which users there are (RFC 2577 §7), unless a client
    /// certificate suffices: 232 (RFC 2228 §4).
    async fn user(&mut self, user: String) -> io::Result<Next> {
        if matches!(self.state, LoginState::Active(_)) {
            return self
                .answer(Reply::new(530, "Logged in already; REIN comes first"))
                .await;
        }
        let known = self.connection.generation.config.log.unknown_users;
        let facts = self.connection.facts_mut();
        (facts.user, facts.known) = (Some(user.as_str().into()), known);
        self.state = LoginState::Identified { user: user.clone() };
        if self.connection.facts.certificate.is_some() {
            let credentials = Credentials {
                user: user.clone(),
                password: None,
                one_time_code: None,
            };
            let begun = Instant::now();
            match self.decide(&credentials).await {
                Ok(LoginDecision::Accepted(account, by, grounds)) => {
                    return self.enter(user, *account, &by, grounds, begun, 232).await;
                }
                Ok(LoginDecision::Failed(fault)) => return self.fault(&fault).await,
                // The password may do what the certificate did not; but not for any number of names.
                Ok(
                    LoginDecision::Denied(_)
                    | LoginDecision::Challenged(_)
                    | LoginDecision::Unknown,
                ) => {
                    self.failed_certificates += 1;
                    if self.failed_certificates > self.connection.host.config.limits.login_attempts
                    {
                        if FAILED.admits(self.connection.facts.client.ip()) {
                            line!(
                                warn,
                                self.connection.facts,
                                "refused: too many names were tried with a client certificate"
                            );
                        }
                        self.send(Reply::new(421, "Too many failed logins, goodbye"))
                            .await?;
                        return Ok(Next::Close);
                    }
                }
                Err(Full) => return self.too_many().await,
            }
        }
        self.answer(Reply::new(331, "Password, please")).await
    }

    async fn pass(&mut self, password: Secret) -> io::Result<Next> {
        let LoginState::Identified { user } = &self.state else {
            return self.answer(Reply::new(503, "USER comes first")).await;
        };
        let user = user.clone();
        let credentials = Credentials {
            user,
            password: Some(password),
            one_time_code: None,
        };
        self.log_in(credentials).await
    }

    /// The answer to a challenge, 332 (RFC 959 §4.1.1).
    async fn acct(&mut self, code: Secret) -> io::Result<Next> {
        match &self.state {
            LoginState::Challenged { user, password } => {
                let credentials = Credentials {
                    user: user.clone(),
                    password: Some(password.clone()),
                    one_time_code: Some(code),
                };
                self.log_in(credentials).await
            }
            LoginState::Active(_) => self.answer(Reply::new(202, "No account is needed")).await,
            _ => {
                self.answer(Reply::new(503, "USER and PASS come first"))
                    .await
            }
        }
    }

    /// In the turn of the client's network.
    async fn decide(&self, credentials: &Credentials) -> Result<LoginDecision, Full> {
        let _turn = self
            .connection
            .generation
            .logins
            .turn(self.connection.facts.client.ip())
            .await
            .inspect_err(|Full| {
                if FAILED.admits(self.connection.facts.client.ip()) {
                    line!(
                        warn,
                        self.connection.facts,
                        "refused: too many logins wait, most of them of this address"
                    );
                }
            })?;
        let authenticators = &self.connection.host.gates.authenticators;
        let (facts, observers) = (&self.connection.facts, &self.connection.host.observers);
        Ok(authentication::authenticate(authenticators, facts, credentials, observers).await)
    }

    async fn too_many(&mut self) -> io::Result<Next> {
        self.send(Reply::new(
            421,
            "Too many logins from your address are waiting, goodbye",
        ))
        .await?;
        Ok(Next::Close)
    }

    async fn log_in(&mut self, credentials: Credentials) -> io::Result<Next> {
        let begun = Instant::now();
        let decision = match self.decide(&credentials).await {
            Ok(decision) => decision,
            Err(Full) => return self.too_many().await,
        };
        match decision {
            LoginDecision::Accepted(account, by, grounds) => {
                let user = credentials.user;
                self.enter(user, *account, &by, grounds, begun, 230).await
            }
            LoginDecision::Challenged(prompt) => {
                self.connection.facts_mut().known = true;
                let password = credentials.password.unwrap_or_else(|| Secret::new(""));
                self.state = LoginState::Challenged {
                    user: credentials.user,
                    password,
                };
                let prompt = if prompt.is_empty() {
                    "One-time code, please".into()
                } else {
                    prompt
                };
                self.answer(Reply::new(332, prompt)).await
            }
            LoginDecision::Denied(why) => {
                self.connection.facts_mut().known = true;
                self.failed(&why, begun).await
            }
            LoginDecision::Unknown => {
                let why = "no authenticator knows the user";
                self.failed(why, begun).await
            }
            LoginDecision::Failed(fault) => self.fault(&fault).await,
        }
    }

    /// Temporary, and the end: what cannot be decided must not be tried again and again.
    async fn fault(&mut self, fault: &crate::gate::Fault) -> io::Result<Next> {
        self.connection.journal().fault("login", fault);
        self.send(Reply::new(
            421,
            "Logging in is not possible at the moment, goodbye",
        ))
        .await?;
        Ok(Next::Close)
    }

    /// Later with each attempt, and the limit is the end (RFC 2577 §5). The delay counts from the
    /// beginning of the attempt: what a hash costs does not tell whose it is.
    async fn failed(&mut self, why: &str, begun: Instant) -> io::Result<Next> {
        self.failed_logins += 1;
        self.connection.emit(&Event::LoginFailed {
            reason: why,
            attempt: self.failed_logins,
            lasted: begun.elapsed(),
        });
        self.state = LoginState::Greeted;
        self.connection.facts_mut().user = None;
        let limits = &self.connection.host.config.limits;
        let doubled = 1 << (self.failed_logins - 1).min(16);
        let delay = limits
            .login_delay
            .saturating_mul(doubled)
            .min(LONGEST_DELAY);
        let last = self.failed_logins >= limits.login_attempts;
        sleep_until(begun + delay).await;
        if last {
            self.send(Reply::new(421, "Too many failed logins, goodbye"))
                .await?;
            return Ok(Next::Close);
        }
        self.answer(Reply::new(530, "Login incorrect")).await
    }

    /// Gives the user a root.
    async fn enter(
        &mut self,
        user: String,
        account: Account,
        by: &str,
        grounds: Grounds,
        begun: Instant,
        code: u16,
    ) -> io::Result<Next> {
        self.connection.facts_mut().known = true;
        if account.has_expired() {
            self.connection
                .emit(&Event::LoginOutdated { cause: EXPIRED });
            let last = expired(&self.connection.facts, None);
            self.send(last).await?;
            return Ok(Next::Close);
        }
        let id = UserId {
            host: self.connection.facts.virtual_host.clone(),
            name: user.into(),
        };
        let limits = &self.connection.host.config.limits;
        let sessions = account
            .max_sessions
            .unwrap_or(u32::try_from(limits.sessions_per_user).unwrap_or(u32::MAX));
        let upload = account.upload_rate.unwrap_or(limits.upload_rate);
        let download = account.download_rate.unwrap_or(limits.download_rate);
        let Some(membership) = self
            .connection
            .generation
            .users
            .enter(&id, sessions, upload, download)
            .await
        else {
            if FAILED.admits(self.connection.facts.client.ip()) {
                line!(
                    warn,
                    self.connection.facts,
                    sessions,
                    "refused: too many sessions of this user"
                );
            }
            self.send(Reply::new(421, "Too many sessions of this user, goodbye"))
                .await?;
            return Ok(Next::Close);
        };
        let most = self.connection.host.config.together.sessions;
        let users = &self.connection.generation.users;
        let Some(guest) = users.enter_host(&id.host, most) else {
            if FAILED.admits(self.connection.facts.client.ip()) {
                line!(
                    warn,
                    self.connection.facts,
                    sessions = most,
                    host = id.host.name().unwrap_or_default(),
                    "refused: too many sessions at this host"
                );
            }
            self.send(Reply::new(421, "Too many sessions at this host, goodbye"))
                .await?;
            return Ok(Next::Close);
        };
        let Some(storage) = self.connection.host.storage(&account) else {
            line!(
                error,
                self.connection.facts,
                plugin = by,
                storage = account.storage.as_deref().unwrap_or_default(),
                "the account names a storage that is not configured"
            );
            return self.no_home().await;
        };
        let tree = match storage.home(&account.home, &id).await {
            Ok(tree) => tree,
            Err(Error::OpenFiles) => {
                open_files::complain("a home could not be opened");
                self.send(Reply::new(421, open_files::TEXT)).await?;
                return Ok(Next::Close);
            }
            Err(error) => {
                line!(error, self.connection.facts, home = account.home.as_str(), %error,
                    "the home cannot be opened");
                return self.no_home().await;
            }
        };
        let account = Arc::new(account);
        let facts = self.connection.facts_mut();
        facts.account = Some(account.clone());
        facts.user = Some(id.name.clone());
        let accounts = &self.connection.generation.users.accounts;
        let standing = accounts.enter(
            self.connection.host.clone(),
            self.connection.facts.clone(),
            grounds,
        );
        if let Some(cause) = standing.verdict().cause() {
            return self.outdated(cause).await;
        }
        let policies = &self.connection.host.gates.policies;
        let policy = Arc::new(Policy::new(
            self.connection.facts.clone(),
            &account,
            policies,
            self.connection.host.observers.clone(),
        ));
        let rates = |all: [&Option<Arc<_>>; 3]| all.into_iter().flatten().cloned().collect();
        let Connection {
            host, generation, ..
        } = &self.connection;
        let upload_rates: Vec<_> = rates([
            &membership.upload_rate,
            &host.upload_rate,
            &generation.upload_rate,
        ]);
        let download_rates: Vec<_> = rates([
            &membership.download_rate,
            &host.download_rate,
            &generation.download_rate,
        ]);
        self.connection.emit(&Event::LoggedIn {
            plugin: by,
            home: &account.home,
            lasted: begun.elapsed(),
        });
        let greeting = account.greeting.clone().filter(|text| !text.is_empty());
        self.failed_logins = 0;
        self.failed_certificates = 0;
        self.state = LoginState::Active(Box::new(Active {
            id,
            account,
            tree,
            policy,
            _membership: membership,
            _guest: guest,
            standing,
            presence: Presence::new(
                self.connection.host.observers.clone(),
                self.connection.facts.clone(),
            ),
            cwd: VirtualPath::root(),
            upload_rates,
            download_rates,
        }));
        let text = greeting.unwrap_or_else(|| "Logged in".into());
        self.answer(Reply::new(code, text)).await
    }

    /// The account was accepted by what is no longer in force.
    async fn outdated(&mut self, cause: &str) -> io::Result<Next> {
        self.connection.emit(&Event::LoginOutdated { cause });
        self.send(Reply::new(
            421,
            "This account has changed: log in again, goodbye",
        ))
        .await?;
        Ok(Next::Close)
    }

    async fn no_home(&mut self) -> io::Result<Next> {
        self.state = LoginState::Greeted;
        self.answer(Reply::new(530, "The home directory is not available"))
            .await
    }

    /// As if the connection were new; the reply still goes out protected, then TLS ends
    /// (RFC 4217 §11).
    pub(super) async fn rein(&mut self) -> io::Result<Next> {
        // The time to log in begins anew for somebody who had, and for nobody else.
        if matches!(self.state, LoginState::Active(_)) {
            self.started = Instant::now();
        }
        self.state = LoginState::Greeted;
        self.connection.parameters = Parameters::new(self.connection.implicit);
        let facts = self.connection.facts_mut();
        facts.user = None;
        facts.account = None;
        facts.host = None;
        self.connection.forget_host();
        self.send(Reply::new(
            220,
            self.connection.host.config.greeting.clone(),
        ))
        .await?;
        self.connection.leave_tls().await?;
        Ok(Next::Continue)
    }

    /// RFC 7151: before USER, the last one wins, and it agrees with the TLS server name.
    pub(super) async fn host(&mut self, name: String) -> io::Result<Next> {
        if !matches!(self.state, LoginState::Greeted) {
            return self.answer(Reply::new(503, "HOST comes before USER")).await;
        }
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let connection = &mut self.connection;
        let own_address = bare.parse::<IpAddr>().is_ok_and(|address| {
            address.to_canonical() == connection.facts.server.ip().to_canonical()
        });
        let hosts = &connection.generation.hosts;
        let host = match own_address {
            true => Some(hosts.first(&connection.listener.host)),
            false => hosts.by_name(&name),
        };
        let sni = connection.sni.as_ref();
        let agrees = sni.is_none_or(|sni| sni.eq_ignore_ascii_case(&name));
        let host = host.filter(|host| agrees && connection.may_move_to(host));
        let Some(host) = host.cloned() else {
            return self
                .answer(Reply::new(504, "That host is not served here"))
                .await;
        };
        connection.move_to(host);
        connection.facts_mut().host = Some(name);
        // RFC 7151 §3.1: as if the client had connected to that host.
        let greeting = connection.host.config.greeting.clone();
        self.answer(Reply::new(220, greeting)).await
    }
}
