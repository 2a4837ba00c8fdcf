//! Clients that are not let in: banned by an operator or for failed logins, denied by a file, or too
//! fast.

mod denied;
mod list;
mod shared;

use std::{
    collections::HashMap,
    fmt,
    fs::DirBuilder,
    net::IpAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use ipnet::IpNet;
use tokio::{sync::Notify, time::sleep};

pub use self::{denied::Denied, list::Ban};
use self::{
    list::{BanList, network},
    shared::SharedBans,
};
use super::Running;
use crate::{
    config,
    gate::{
        SessionInfo,
        event::{Event, Observer},
    },
    observe::audit::Audit,
    shared::Shared,
};

/// The file's directory and name in the state directory. Serving may write to this directory.
const DIRECTORY: &str = "bans";
const FILE: &str = "bans.json";
/// The most addresses and networks whose failed logins, or connections, are counted at a time.
const COUNTED: usize = 65_536;
/// Time within which new connections are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// How often other servers' changes are asked for.
const SHARE: Duration = Duration::from_secs(1);
/// How often the deny file is looked at, and how long until a save that failed is tried again.
const FOLLOW: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(5);

/// The directory that bans are kept in.
#[must_use]
pub fn directory(state: &Path) -> PathBuf {
    state.join(DIRECTORY)
}

/// Makes it, for its owner alone: afterwards the directory above is out of reach.
///
/// # Errors
/// For people.
pub fn make_directory(state: &Path) -> Result<(), String> {
    let directory = directory(state);
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory);
    made.map_err(|error| format!("{}: {error}", directory.display()))
}

/// Why a client is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is banned: this network, for this reason.
    Banned(IpNet, String),
    /// The deny file names this network.
    Denied(IpNet),
    /// Its address opens connections too fast.
    TooFast,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banned(network, reason) => write!(formatter, "{network} is banned: {reason}"),
            Self::Denied(network) => write!(formatter, "{network} is in bans.deny-file"),
            Self::TooFast => formatter.write_str("bans.connections-per-minute"),
        }
    }
}

/// All who are not let in. It outlives a reload.
pub struct Bans {
    state: Mutex<State>,
    file: PathBuf,
    changed: Notify,
    /// The same for other servers.
    untold: Notify,
    shared: Option<SharedBans>,
    audit: Audit,
}

struct State {
    settings: config::Bans,
    list: BanList,
    denied: Denied,
    failures: Counts,
    connections: Counts,
}

/// Events by network, each counted within a window that begins with its first.
#[derive(Default)]
struct Counts(HashMap<IpNet, (Instant, u32)>);

impl Counts {
    /// Counts one more; says how many there were within the window.
    fn add(&mut self, network: IpNet, window: Duration, now: Instant) -> u32 {
        if self.0.len() >= COUNTED && !self.0.contains_key(&network) {
            self.0
                .retain(|_, (begun, _)| now.duration_since(*begun) < window);
            if self.0.len() >= COUNTED
                && let Some(any) = self.0.keys().next().copied()
            {
                self.0.remove(&any);
            }
        }
        let (begun, count) = self.0.entry(network).or_insert((now, 0));
        if now.duration_since(*begun) >= window {
            (*begun, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count
    }
}

impl Bans {
    /// As the configuration and the file of earlier bans have it; other servers', too, where they are shared.
    ///
    /// # Errors
    /// The key, and the text for people.
    pub fn open(
        settings: &config::Bans,
        state: &Path,
        shared: Option<&Arc<Shared>>,
        audit: Audit,
    ) -> Result<Self, (&'static str, String)> {
        let file = directory(state).join(FILE);
        let mut list = BanList::load(&file).map_err(|text| ("server.state", text))?;
        if shared.is_some() {
            list.share();
        }
        let denied = Denied::read(settings.deny_file.as_deref());
        let denied = denied.map_err(|text| ("bans.deny-file", text))?;
        Ok(Self {
            state: Mutex::new(State {
                settings: settings.clone(),
                list,
                denied,
                failures: Counts::default(),
                connections: Counts::default(),
            }),
            file,
            changed: Notify::new(),
            untold: Notify::new(),
            shared: shared.map(SharedBans::new),
            audit,
        })
    }

    /// Other settings, and what their deny file says, which [`read_denied`] has read.
    pub fn replace(&self, settings: &config::Bans, denied: Denied) {
        let mut state = self.state();
        state.settings = settings.clone();
        state.denied = denied;
    }

    /// Whether a client is let in, which counts as a connection of its address.
    #[must_use]
    pub fn refuses(&self, client: IpAddr) -> Option<Refusal> {
        let (now, mut state) = (SystemTime::now(), self.state());
        let State {
            settings,
            list,
            denied,
            connections,
            ..
        } = &mut *state;
        if is_allowed(settings, client) {
            return None;
        }
        if let Some(ban) = list.covering(client, now) {
            return Some(Refusal::Banned(ban.network, ban.reason.clone()));
        }
        if let Some(network) = denied.covering(client) {
            return Some(Refusal::Denied(network));
        }
        let most = settings.connections_per_minute;
        let of = network(client, 32, 64);
        (most > 0 && connections.add(of, MINUTE, Instant::now()) > most).then_some(Refusal::TooFast)
    }

    /// A login from this address has failed.
    fn failed(&self, client: IpAddr) {
        let (now, mut state) = (Instant::now(), self.state());
        let State {
            settings,
            list,
            failures,
            ..
        } = &mut *state;
        if is_allowed(settings, client) {
            return;
        }
        let limits = [
            (network(client, 32, 64), settings.failed_logins),
            (network(client, 24, 48), settings.network_failed_logins),
        ];
        let mut banned = false;
        for (network, most) in limits {
            if most == 0 || failures.add(network, settings.window, now) < most {
                continue;
            }
            let reason = format!("{most} failed logins");
            let lengths = (settings.duration, settings.longest);
            if let Some(ban) = list.ban_again(network, lengths, &reason, SystemTime::now()) {
                let seconds = ban.until.map(|until| until.saturating_sub(ban.since));
                tracing::warn!(%network, reason, seconds, times = ban.times, "banned");
                let text = format!("{network} is banned: {reason}");
                self.audit.administration("failed logins", "ban", Ok(&text));
                banned = true;
            }
            failures.0.remove(&network);
        }
        drop(state);
        if banned {
            self.note_change();
        }
    }

    /// Bans a network by hand. Says which networks are let in all the same.
    pub fn ban(&self, network: IpNet, length: Option<Duration>, reason: &str) -> Vec<IpNet> {
        let mut state = self.state();
        state.list.ban(network, length, reason, SystemTime::now());
        let allowed = state.settings.allow.iter();
        let allowed =
            allowed.filter(|allowed| network.contains(*allowed) || allowed.contains(&network));
        let allowed = allowed.copied().collect();
        drop(state);
        self.note_change();
        allowed
    }

    /// Lifts bans. Says how many.
    pub fn lift(&self, network: IpNet) -> usize {
        let lifted = self.state().list.lift(network, SystemTime::now());
        self.note_change();
        lifted
    }

    fn note_change(&self) {
        self.changed.notify_one();
        self.untold.notify_one();
    }

    /// Tells other servers what has changed here, and takes what has changed there. Where Redis is away, it is
    /// done later.
    pub async fn exchange(&self) {
        let Some(shared) = &self.shared else { return };
        let changes = self.state().list.take_changes();
        let exchanged = shared.exchange(&changes, |news| {
            let is_known = !news.all;
            let is_any = !news.bans.is_empty();
            let new = self.state().list.merge(news);
            for ban in new.iter().filter(|_| is_known) {
                let (network, by, reason) = (ban.network, &*ban.by, &*ban.reason);
                tracing::info!(%network, by, reason, "banned at another server");
            }
            if is_any {
                self.changed.notify_one();
            }
        });
        if exchanged.await.is_err() {
            self.state().list.put_back(changes);
        }
    }

    /// Those in force, the newest first.
    #[must_use]
    pub fn in_force(&self) -> Vec<Ban> {
        self.state().list.in_force(SystemTime::now())
    }

    /// The networks that are let in, whatever else says no.
    #[must_use]
    pub fn lets_in(&self, client: IpAddr) -> bool {
        is_allowed(&self.state().settings, client)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the file.
    fn save(&self) -> std::io::Result<()> {
        let mut state = self.state();
        let longest = state.settings.longest;
        state.list.forget(longest, SystemTime::now());
        let list = state.list.clone();
        drop(state);
        list.save(&self.file)
    }
}

fn is_allowed(settings: &config::Bans, client: IpAddr) -> bool {
    let client = client.to_canonical();
    settings
        .allow
        .iter()
        .any(|allowed| allowed.contains(&client))
}

impl Observer for Bans {
    fn observe(&self, session: &SessionInfo, event: &Event<'_>) {
        if let Event::LoginFailed { .. } = event {
            self.failed(session.client.ip());
        }
    }
}

/// Reads the networks of a deny file, or none.
///
/// # Errors
/// For people.
pub fn read_denied(settings: &config::Bans) -> Result<Denied, String> {
    Denied::read(settings.deny_file.as_deref())
}

/// Keeps the file of bans as the list is.
pub(super) async fn keep(bans: Arc<Bans>) {
    let mut told = false;
    loop {
        bans.changed.notified().await;
        loop {
            let saving = bans.clone();
            let saved = tokio::task::spawn_blocking(move || saving.save()).await;
            match saved.map_err(std::io::Error::other).and_then(|saved| saved) {
                Ok(()) => {
                    if told {
                        tracing::info!(file = %bans.file.display(), "bans are kept again");
                    }
                    told = false;
                    break;
                }
                Err(error) => {
                    if !told {
                        tracing::error!(
                            file = %bans.file.display(),
                            %error,
                            "bans are not kept over a restart, as their file cannot be written; it is \
                             tried again every few seconds"
                        );
                    }
                    told = true;
                    sleep(RETRY).await;
                }
            }
        }
    }
}

/// Has the same bans as the other servers, where they are shared.
pub(super) async fn share(bans: Arc<Bans>) {
    if bans.shared.is_none() {
        return;
    }
    loop {
        bans.exchange().await;
        tokio::select! {
            () = sleep(SHARE) => {}
            () = bans.untold.notified() => {}
        }
    }
}

/// The last change, at the end of the server.
pub(super) fn flush(bans: &Bans) {
    if let Err(error) = bans.save() {
        tracing::warn!(file = %bans.file.display(), %error, "the last bans are not kept");
    }
}

/// Looks at the deny file.
pub(super) async fn follow_denied(running: Arc<Running>) {
    let bans = running.resources.bans().clone();
    loop {
        sleep(FOLLOW).await;
        let looking = bans.clone();
        let _ = tokio::task::spawn_blocking(move || {
            let before = looking.state().denied.clone();
            if let Some(new) = before.renewed() {
                let mut state = looking.state();
                // A reload may have come between.
                if state.settings.deny_file.as_deref() == before.file() {
                    state.denied = new;
                }
            }
        })
        .await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bans(change: impl FnOnce(&mut config::Bans)) -> (Bans, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        let mut settings = config::Bans::default();
        change(&mut settings);
        let bans = Bans::open(&settings, state.path(), None, Audit::default()).unwrap();
        (bans, state)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn failed_logins_ban_an_address_and_not_its_neighbours() {
        let (bans, _state) = bans(|settings| settings.failed_logins = 3);
        for _ in 0..2 {
            bans.failed(address("192.0.2.1"));
            bans.failed(address("2001:db8::1"));
        }
        assert_eq!(bans.in_force(), []);
        bans.failed(address("192.0.2.1"));
        // One client has 64 bits of addresses.
        bans.failed(address("2001:db8::ffff"));
        let refused = |text| matches!(bans.refuses(address(text)), Some(Refusal::Banned(..)));
        assert!(refused("192.0.2.1") && refused("::ffff:192.0.2.1"));
        assert!(refused("2001:db8::2"));
        assert!(!refused("192.0.2.2") && !refused("2001:db8:0:1::1"));
        assert_eq!(bans.lift("192.0.2.1/32".parse().unwrap()), 1);
        assert!(!refused("192.0.2.1"));
    }

    #[test]
    fn a_network_is_banned_by_the_failures_of_its_addresses() {
        let (bans, _state) = bans(|settings| settings.network_failed_logins = 4);
        for last in 1..=4 {
            bans.failed(address(&format!("192.0.2.{last}")));
        }
        assert!(bans.refuses(address("192.0.2.200")).is_some());
        assert!(bans.refuses(address("192.0.3.1")).is_none());
    }

    #[test]
    fn allowed_networks_are_let_in_whatever_else_says_no() {
        let (bans, _state) = bans(|settings| {
            settings.failed_logins = 1;
            settings.connections_per_minute = 1;
            settings.allow = vec!["192.0.2.0/24".parse().unwrap()];
        });
        for _ in 0..3 {
            bans.failed(address("192.0.2.1"));
            assert_eq!(bans.refuses(address("192.0.2.1")), None);
        }
        let told = bans.ban("192.0.0.0/16".parse().unwrap(), None, "all of it");
        assert_eq!(told, ["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(bans.refuses(address("192.0.2.1")), None);
        assert!(bans.refuses(address("192.0.3.1")).is_some());
    }

    #[test]
    fn connections_of_an_address_are_counted() {
        let (bans, _state) = bans(|settings| settings.connections_per_minute = 3);
        for _ in 0..3 {
            assert_eq!(bans.refuses(address("192.0.2.1")), None);
        }
        assert_eq!(bans.refuses(address("192.0.2.1")), Some(Refusal::TooFast));
        assert_eq!(bans.refuses(address("192.0.2.2")), None);
    }

    #[test]
    fn counting_is_bounded_and_ends_with_its_window() {
        let mut counts = Counts::default();
        let (now, window) = (Instant::now(), Duration::from_secs(10));
        let one = IpNet::from(address("192.0.2.1"));
        assert_eq!(counts.add(one, window, now), 1);
        assert_eq!(counts.add(one, window, now + window / 2), 2);
        assert_eq!(counts.add(one, window, now + window), 1);
        for number in 0..u32::try_from(COUNTED).unwrap() + 10 {
            counts.add(IpAddr::V4(number.into()).into(), window, now);
        }
        assert_eq!(counts.0.len(), COUNTED);
    }
}
