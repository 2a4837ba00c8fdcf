//! The data of one store: what the server's functions need when a guest calls them.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use wasmtime::{
    Engine, Store, UpdateDeadline,
    component::{Resource, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wasmtime_wasi_tls::{WasiTlsCtx, WasiTlsCtxView, WasiTlsView};

use super::{
    clock::Clock,
    component::Plugin,
    grants::{Asker, Refusals, Web},
    instance_limiter::InstancePermit,
    limiter::{Excess, Limiter},
    output::Output,
    resources::{Account, Draft, Session},
    settings::Version,
};
use crate::{
    ftp::secret::Secret,
    gate::{
        self, SessionInfo,
        grounds::{Reads, Setting, seen},
    },
};

/// Handles that a guest may hold at a time: sessions, accounts, WASI's streams and clocks.
const HANDLES: usize = 1000;
/// Lent handles that an instance may keep and still be asked again.
const LEAKED: usize = 10_000;
/// Handles that a guest may keep within one call; each costs a few bytes.
const LENT: usize = 100_000;
/// Bytes of accounts that a guest may make within one store.
const DRAFTS: usize = 4 << 20;
/// Bytes that a guest may hand over with one call of a function, and with its answer.
const HOSTCALL: usize = 16 << 20;

/// The data of one store, which lives for one call or, for path policy, one session.
pub(super) struct Call {
    pub(super) plugin: Arc<Plugin>,
    pub(super) settings: Arc<Version>,
    pub(super) table: ResourceTable,
    pub(super) clock: Arc<Clock>,
    pub(super) output: Arc<Output>,
    pub(super) limiter: Limiter,
    facts: Arc<SessionInfo>,
    refusals: Arc<Refusals>,
    /// The handles that are lent again and again, so that none piles up.
    session: Option<u32>,
    account: Option<u32>,
    /// Handles that were lent and not given back.
    lent: usize,
    drafts: usize,
    /// The settings that are read, where that is noted.
    reads: Option<Reads>,
    /// The hashes that were not computed, as the passwords were remembered.
    pub(super) spared: Vec<Spared>,
    /// These are made when they are first asked for: most plugins in Rust and C never do.
    wasi: Option<WasiCtx>,
    tls: Option<WasiTlsCtx>,
    http: Option<(WasiHttpCtx, Web)>,
}

/// A hash that was not computed.
pub(super) struct Spared {
    pub(super) password: Secret,
    pub(super) hash: String,
}

/// A store for a call of `plugin` about the session.
pub(super) fn store(
    engine: &Engine,
    plugin: &Arc<Plugin>,
    slot: InstancePermit,
    settings: Arc<Version>,
    facts: Arc<SessionInfo>,
) -> Store<Call> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let asker = Asker {
        plugin: plugin.name.clone(),
        session: facts.id.clone(),
    };
    let call = Call {
        refusals: Arc::new(Refusals::new(asker)),
        plugin: plugin.clone(),
        settings,
        table,
        clock: Arc::new(Clock::new()),
        output: Output::new(plugin.name.clone(), facts.id.clone(), plugin.limits.log),
        limiter: Limiter::new(plugin.limits.memory, slot),
        facts,
        session: None,
        account: None,
        lent: 0,
        drafts: 0,
        reads: None,
        spared: Vec::new(),
        wasi: None,
        tls: None,
        http: None,
    };
    let mut store = Store::new(engine, call);
    store.limiter(|call| &mut call.limiter);
    store.set_hostcall_fuel(HOSTCALL);
    store.set_max_component_handles(LENT);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        let call = store.data();
        let limit = call.plugin.limits.cpu_time;
        if call.clock.spent() > limit {
            return Err(Overrun(limit).into());
        }
        // Not the engine's own yield: with tokio that one goes straight to the front of the queue.
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
    store
}

impl Call {
    /// A new call begins, on a store that has answered before.
    pub(super) fn restart(&mut self, settings: Arc<Version>, facts: Arc<SessionInfo>) {
        self.settings = settings;
        self.output.restart();
        self.limiter.restart();
        self.drafts = 0;
        self.refusals.restart(Asker {
            plugin: self.plugin.name.clone(),
            session: facts.id.clone(),
        });
        if Arc::ptr_eq(&facts, &self.facts) {
            return;
        }
        if let Some(session) = self.session
            && let Ok(session) = self.table.get_mut(&Resource::<Session>::new_own(session))
        {
            session.0 = facts.clone();
        }
        if let Some(account) = self.account
            && let Ok(entry) = self.table.get_mut(&Resource::<Account>::new_own(account))
        {
            match &facts.account {
                Some(account) => *entry = Account::Lent(account.clone()),
                None => self.account = None,
            }
        }
        self.facts = facts;
    }

    /// The session's handle, for the guest to keep or to let go of.
    pub(super) fn lend_session(&mut self) -> wasmtime::Result<Resource<Session>> {
        let session = match self.session {
            Some(session) => session,
            None => self.table.push(Session(self.facts.clone()))?.rep(),
        };
        self.session = Some(session);
        self.lent += 1;
        Ok(Resource::new_own(session))
    }

    /// The handle of the account that the session has.
    pub(super) fn lend_account(&mut self) -> wasmtime::Result<Option<Resource<Account>>> {
        let Some(account) = &self.facts.account else {
            return Ok(None);
        };
        let account = match self.account {
            Some(account) => account,
            None => self.table.push(Account::Lent(account.clone()))?.rep(),
        };
        self.account = Some(account);
        self.lent += 1;
        Ok(Some(Resource::new_own(account)))
    }

    /// The guest lets go of a handle that it was lent.
    pub(super) fn given_back(&mut self) {
        self.lent = self.lent.saturating_sub(1);
    }

    /// Whether the guest keeps what it is lent, and so many that the next one should start anew:
    /// bindings for C and Go leave it to the author to give handles back.
    pub(super) fn leaks_handles(&self) -> bool {
        self.lent > LEAKED
    }

    /// Makes an account of the guest's own.
    pub(super) fn make_account(&mut self, home: String) -> wasmtime::Result<Resource<Account>> {
        self.keep(home.len())?;
        Ok(self.table.push(Account::Own(Box::new(Draft::new(home)?)))?)
    }

    /// The guest's own account, to be written to with so many bytes.
    pub(super) fn draft(
        &mut self,
        account: &Resource<Account>,
        bytes: usize,
    ) -> wasmtime::Result<&mut Draft> {
        self.keep(bytes)?;
        match self.table.get_mut(account)? {
            Account::Own(draft) => Ok(draft),
            Account::Lent(_) => Err(NotYours.into()),
        }
    }

    /// Takes the account that the guest answers with.
    pub(super) fn take_account(
        &mut self,
        account: Resource<Account>,
    ) -> Result<gate::Account, String> {
        let unknown = "the accepted account is not one that the plugin made";
        match self.table.get(&account) {
            Ok(Account::Own(_)) => {}
            Ok(Account::Lent(_)) | Err(_) => return Err(unknown.into()),
        }
        match self.table.delete(account) {
            Ok(Account::Own(draft)) => draft.finish(),
            Ok(Account::Lent(_)) | Err(_) => Err(unknown.into()),
        }
    }

    /// Accounts of a guest that makes and keeps many are bounded as a whole.
    fn keep(&mut self, bytes: usize) -> Result<(), Excess> {
        self.drafts = self.drafts.saturating_add(bytes);
        if self.drafts > DRAFTS {
            Err(Excess::Kept("bytes of accounts", DRAFTS))
        } else {
            Ok(())
        }
    }
}

impl Call {
    /// Notes what the guest reads from here on, for a login.
    pub(super) fn note_reads(&mut self) {
        let before = self.reads.take().unwrap_or_default();
        self.reads = Some(before.remembered());
        self.spared.clear();
    }

    /// Whether the guest decides on a login, which alone may do with a password that is remembered.
    pub(super) fn remembers_passwords(&self) -> bool {
        self.reads.is_some()
    }

    /// All that the guest has read.
    pub(super) fn reads(&self) -> Reads {
        self.reads.clone().unwrap_or_default()
    }

    /// The guest was answered so.
    pub(super) fn read(&mut self, setting: Setting, answer: Option<&str>) {
        if let Some(reads) = &mut self.reads {
            reads.note(setting, answer, || seen(Some(self.settings.all())));
        }
    }

    /// The guest looks at the client's certificate.
    pub(super) fn read_certificate(&mut self) {
        if let Some(reads) = &mut self.reads {
            reads.certificate = true;
        }
    }

    /// The address of the client, whose turn is waited for.
    pub(super) fn client(&self) -> std::net::IpAddr {
        self.facts.client.ip()
    }

    /// The guest wants to look up a name.
    pub(super) fn asked_for_name(&self, name: &str) {
        self.plugin.granted.asked_for_name(name, &self.refusals);
    }

    /// The guest asks which directories there are. Libraries do so without a need for one: where none
    /// is granted, it is said once for each time that the plugin is loaded.
    pub(super) fn asked_for_directories(&self) {
        if self.plugin.granted.no_directories() && !self.plugin.told_directories.swap(true, Relaxed)
        {
            tracing::info!(
                plugin = &*self.plugin.name,
                "it asks for directories, and none is granted: if it is to find files, below its \
                [[plugin]]: [plugin.grants] directories = [{{ host = \"DIRECTORY\", guest = \
                \"/NAME\" }}]"
            );
        }
    }
}

impl WasiView for Call {
    /// WASI with what was granted in it.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        if self.wasi.is_none() {
            self.wasi = Some(self.plugin.granted.wasi(&self.refusals, &self.output));
        }
        WasiCtxView {
            ctx: self.wasi.get_or_insert_default(),
            table: &mut self.table,
        }
    }
}

impl WasiTlsView for Call {
    fn tls(&mut self) -> WasiTlsCtxView<'_> {
        let ctx = self
            .tls
            .get_or_insert_with(|| self.plugin.granted.tls(&self.refusals));
        WasiTlsCtxView {
            ctx,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Call {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (ctx, web) = self.http.get_or_insert_with(|| {
            let patience = self.plugin.limits.wall_time;
            let web = self.plugin.granted.web(&self.refusals, patience);
            (WasiHttpCtx::new(), web)
        });
        WasiHttpCtxView {
            ctx,
            table: &mut self.table,
            hooks: web,
        }
    }
}

/// The guest computed for longer than this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overrun(pub(super) Duration);

impl std::fmt::Display for Overrun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "it computed for longer than limits.cpu-time, {:?}",
            self.0
        )
    }
}

impl std::error::Error for Overrun {}

/// The guest writes to an account that it was lent.
#[derive(Clone, Copy, Debug)]
struct NotYours;

impl std::fmt::Display for NotYours {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the account of a session cannot be changed")
    }
}

impl std::error::Error for NotYours {}
