//! Networks that are not let in for a while: the list, its order of time, and its file.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Change, Changes, News};

/// The most bans that are kept; beyond it the one that ends first goes.
const MOST: usize = 100_000;

/// A network that is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ban {
    /// The network, or the single address.
    #[schemars(with = "String")]
    pub network: IpNet,
    /// Seconds since 1970 at which it began.
    pub since: u64,
    /// Seconds since 1970 at which it ends; none where an operator has to lift it.
    pub until: Option<u64>,
    /// Why, for people.
    pub reason: String,
    /// The one that has banned it: "failed logins", or "the operator".
    pub by: String,
    /// How often it was banned, one ban after the other.
    pub times: u32,
}

impl Ban {
    /// Whether it is in force at this time.
    fn holds(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// All bans, also those that are over and count for the next one of the same network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct BanList {
    bans: HashMap<IpNet, Ban>,
    /// The name of the Redis that had the same bans, where they are shared.
    shared_by: Option<String>,
    /// Those that it has not been told of. None where bans are not shared.
    changes: Option<Changes>,
}

/// As the file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    bans: Vec<Ban>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared_by: Option<String>,
}

impl From<Saved> for BanList {
    fn from(saved: Saved) -> Self {
        let bans = saved.bans.into_iter();
        Self {
            bans: bans.map(|ban| (ban.network, ban)).collect(),
            shared_by: saved.shared_by,
            changes: None,
        }
    }
}

impl From<BanList> for Saved {
    fn from(list: BanList) -> Self {
        let mut bans: Vec<_> = list.bans.into_values().collect();
        bans.sort_unstable_by_key(|ban| (ban.since, ban.network));
        Self {
            bans,
            shared_by: list.shared_by,
        }
    }
}

impl BanList {
    /// Reads the file that [`save`](Self::save) has written; without one there are no bans.
    ///
    /// # Errors
    /// For people, with the line.
    pub fn load(file: &Path) -> Result<Self, String> {
        match fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                format!(
                    "{}: {error}: mend the file, or remove it to lift all bans",
                    file.display()
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }

    /// Replaces the file, whole.
    ///
    /// # Errors
    /// Those of the disk; the file is then as it was.
    pub fn save(&self, file: &Path) -> io::Result<()> {
        let directory = file.parent().unwrap_or(Path::new("."));
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        text.push(b'\n');
        let new = directory.join(".bans.new");
        let written = fs::File::create(&new).and_then(|mut to| {
            to.write_all(&text)?;
            to.sync_all()
        });
        let done = written.and_then(|()| fs::rename(&new, file));
        if done.is_err() {
            let _ = fs::remove_file(&new);
        }
        done
    }

    /// The ban that keeps an address out, if one does: the widest one last.
    #[must_use]
    pub fn covering(&self, address: IpAddr, now: SystemTime) -> Option<&Ban> {
        if self.bans.is_empty() {
            return None;
        }
        let now = seconds(now);
        prefixes(address)
            .filter_map(|network| self.bans.get(&network))
            .find(|ban| ban.holds(now))
    }

    /// Those in force, the newest first.
    #[must_use]
    pub fn in_force(&self, now: SystemTime) -> Vec<Ban> {
        let now = seconds(now);
        let bans = self.bans.values().filter(|ban| ban.holds(now));
        let mut bans: Vec<_> = bans.cloned().collect();
        bans.sort_unstable_by_key(|ban| (std::cmp::Reverse(ban.since), ban.network));
        bans
    }

    /// Bans a network by hand, in place of any ban of the same network; `length` none is for good.
    pub fn ban(&mut self, network: IpNet, length: Option<Duration>, reason: &str, now: SystemTime) {
        let since = seconds(now);
        self.put(Ban {
            network,
            since,
            until: length.map(|length| since.saturating_add(length.as_secs().max(1))),
            reason: reason.to_owned(),
            by: "the operator".to_owned(),
            times: 1,
        });
    }

    /// Bans a network by rule: `first`, doubled with each ban before that is not over for longer than
    /// `longest`, which is also the most. None where it is banned already.
    pub fn ban_again(
        &mut self,
        network: IpNet,
        (first, longest): (Duration, Duration),
        reason: &str,
        now: SystemTime,
    ) -> Option<&Ban> {
        let since = seconds(now);
        let before = self.bans.get(&network);
        if before.is_some_and(|ban| ban.holds(since)) {
            return None;
        }
        let counts = |ban: &&Ban| {
            let over = ban.until.unwrap_or(u64::MAX);
            since < over.saturating_add(longest.as_secs())
        };
        let times = before.filter(counts).map_or(0, |ban| ban.times);
        let length = first.saturating_mul(1 << times.min(30)).min(longest);
        self.put(Ban {
            network,
            since,
            until: Some(since.saturating_add(length.as_secs().max(1))),
            reason: reason.to_owned(),
            by: "failed logins".to_owned(),
            times: times.saturating_add(1),
        });
        self.bans.get(&network)
    }

    /// Lifts the bans of this network and of those within it, those that are over as well. Says how many
    /// were in force.
    pub fn lift(&mut self, network: IpNet, now: SystemTime) -> usize {
        let (now, mut lifted) = (seconds(now), 0);
        let gone = self.bans.extract_if(|other, _| network.contains(other));
        for (network, ban) in gone {
            lifted += usize::from(ban.holds(now));
            if let Some(changes) = &mut self.changes {
                changes.insert(network, Change::Lift);
            }
        }
        lifted
    }

    /// Forgets those that are over, and count no more.
    pub fn forget(&mut self, longest: Duration, now: SystemTime) {
        let now = seconds(now);
        let is_over = |ban: &Ban| {
            let counts = |until: u64| now < until.saturating_add(longest.as_secs());
            !ban.until.is_none_or(counts)
        };
        for (_, ban) in self.bans.extract_if(|_, ban| is_over(ban)) {
            note_forgotten(&mut self.changes, ban);
        }
    }

    /// Changes are noted from here on, to be told to Redis.
    pub(super) fn share(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// The changes that Redis is to be told of.
    pub(super) fn take_changes(&mut self) -> Changes {
        self.changes
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// They could not be told. Newer ones count.
    pub(super) fn put_back(&mut self, untold: Changes) {
        for (network, change) in untold {
            let changes = self.changes.get_or_insert_default();
            changes.entry(network).or_insert(change);
        }
    }

    /// Takes what other servers have changed; the bans that are new. A change that was not told yet counts. A
    /// Redis that has another name than the last one is told all that it does not know, or knows older.
    pub(super) fn merge(&mut self, news: News) -> Vec<Ban> {
        let is_same = self.shared_by.as_ref() == Some(&news.name);
        self.shared_by = Some(news.name);
        if news.all {
            let known: HashMap<IpNet, u64> = news
                .bans
                .iter()
                .filter_map(|(network, ban)| Some((*network, ban.as_ref()?.since)))
                .collect();
            let changes = self.changes.get_or_insert_default();
            self.bans.retain(|network, ban| {
                if is_same {
                    return known.contains_key(network) || changes.contains_key(network);
                }
                if known.get(network).is_none_or(|since| *since < ban.since) {
                    let change = Change::Ban(ban.clone());
                    changes.entry(*network).or_insert(change);
                }
                true
            });
        }
        let mut new = Vec::new();
        for (network, ban) in news.bans {
            let untold = self.changes.get_or_insert_default();
            if untold.contains_key(&network) || self.bans.get(&network) == ban.as_ref() {
                continue;
            }
            match ban {
                Some(ban) => {
                    new.push(ban.clone());
                    self.make_room(network);
                    self.bans.insert(network, ban);
                }
                None => drop(self.bans.remove(&network)),
            }
        }
        new
    }

    fn put(&mut self, ban: Ban) {
        self.make_room(ban.network);
        if let Some(changes) = &mut self.changes {
            changes.insert(ban.network, Change::Ban(ban.clone()));
        }
        self.bans.insert(ban.network, ban);
    }

    fn make_room(&mut self, network: IpNet) {
        if self.bans.len() >= MOST && !self.bans.contains_key(&network) {
            let soonest = self
                .bans
                .values()
                .min_by_key(|ban| ban.until.unwrap_or(u64::MAX));
            let soonest = soonest.map(|ban| ban.network);
            if let Some(ban) = soonest.and_then(|network| self.bans.remove(&network)) {
                note_forgotten(&mut self.changes, ban);
            }
        }
    }
}

/// Has Redis forget the ban, too, if it still has this one.
fn note_forgotten(changes: &mut Option<Changes>, ban: Ban) {
    // While Redis is away for long they do not pile up.
    if let Some(changes) = changes.as_mut().filter(|changes| changes.len() < MOST) {
        changes.insert(ban.network, Change::Forget(ban));
    }
}

/// The networks that an address is in, itself first.
pub(super) fn prefixes(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let address = address.to_canonical();
    let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
    (0..=bits)
        .rev()
        .filter_map(move |length| Some(IpNet::new(address, length).ok()?.trunc()))
}

/// The network of so many bits that an address is in.
pub(super) fn network(address: IpAddr, v4: u8, v6: u8) -> IpNet {
    let address = address.to_canonical();
    let length = if address.is_ipv4() { v4 } else { v6 };
    IpNet::new(address, length).map_or_else(|_| address.into(), |network| network.trunc())
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn bans_grow_and_are_forgotten() {
        let mut list = BanList::default();
        let network: IpNet = "192.0.2.7/32".parse().unwrap();
        let address = network.addr();
        let lengths = (MINUTE, 5 * MINUTE);
        let (mut now, mut found) = (0, Vec::new());
        for _ in 0..5 {
            let ban = list.ban_again(network, lengths, "test", at(now)).unwrap();
            let length = ban.until.unwrap() - ban.since;
            found.push(length);
            assert!(list.covering(address, at(now + length - 1)).is_some());
            assert!(list.covering(address, at(now + length)).is_none());
            let again = list.ban_again(network, lengths, "test", at(now + length - 1));
            assert!(again.is_none());
            now += length + 200;
        }
        assert_eq!(found, [60, 120, 240, 300, 300]);
        // It was good for as long as the longest ban.
        let ban = list.ban_again(network, lengths, "test", at(now + 101));
        assert_eq!(ban.unwrap().times, 1);
    }

    #[test]
    fn networks_cover_their_addresses() {
        let mut list = BanList::default();
        list.ban("192.0.2.0/24".parse().unwrap(), None, "a", at(0));
        list.ban("2001:db8::/32".parse().unwrap(), Some(MINUTE), "b", at(0));
        let covered = |address: &str, now| list.covering(address.parse().unwrap(), at(now));
        assert!(covered("192.0.2.255", 1 << 40).is_some());
        assert!(covered("::ffff:192.0.2.1", 0).is_some());
        assert!(covered("192.0.3.0", 0).is_none());
        assert!(covered("2001:db8:ffff::1", 59).is_some());
        assert!(covered("2001:db8:ffff::1", 60).is_none());
        assert_eq!(list.in_force(at(60)).len(), 1);
        assert_eq!(list.lift("192.0.0.0/16".parse().unwrap(), at(0)), 1);
        assert!(list.in_force(at(60)).is_empty());
    }

    #[test]
    fn the_file_is_what_was_saved_or_says_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("bans.json");
        assert!(BanList::load(&file).unwrap().in_force(at(0)).is_empty());
        let mut list = BanList::default();
        list.ban("192.0.2.0/24".parse().unwrap(), None, "a \"b\"", at(0));
        list.save(&file).unwrap();
        let loaded = BanList::load(&file).unwrap();
        assert_eq!(loaded.in_force(at(0)), list.in_force(at(0)));
        fs::write(&file, "{\n\"bans\": [ 5 ] }").unwrap();
        let error = BanList::load(&file).unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("remove it"),
            "{error}"
        );
    }

    #[test]
    fn the_list_is_bounded() {
        let mut list = BanList::default();
        for number in 0..u32::try_from(MOST).unwrap() + 5 {
            let network = IpAddr::V4(number.into()).into();
            list.ban(
                network,
                Some(MINUTE + Duration::from_secs(number.into())),
                "",
                at(0),
            );
        }
        assert_eq!(list.bans.len(), MOST);
        assert!(list.covering(IpAddr::V4(0.into()), at(0)).is_none());
        assert!(list.covering(IpAddr::V4(5.into()), at(0)).is_some());
    }

    fn news(all: bool, bans: &[(&str, Option<u64>)]) -> News {
        let bans = bans.iter().map(|(network, since)| {
            let network = network.parse().unwrap();
            let ban = since.map(|since| Ban {
                network,
                since,
                until: None,
                reason: String::new(),
                by: "another".to_owned(),
                times: 1,
            });
            (network, ban)
        });
        News::new("one", all, bans.collect())
    }

    #[test]
    fn changes_of_other_servers_are_taken_and_own_ones_count_until_they_are_told() {
        let (one, other): (IpNet, IpNet) = (
            "192.0.2.1".parse().map(IpAddr::into).unwrap(),
            "192.0.2.2".parse().map(IpAddr::into).unwrap(),
        );
        let (one_text, other_text) = ("192.0.2.1/32", "192.0.2.2/32");
        let mut list = BanList::default();
        list.share();
        // Redis is a new one: it is told what there is.
        list.ban(one, None, "own", at(0));
        list.take_changes();
        assert_eq!(list.merge(news(true, &[(other_text, Some(5))])).len(), 1);
        assert!(matches!(list.take_changes()[&one], Change::Ban(_)));
        // It is the same: what it does not have is gone.
        list.merge(news(true, &[(other_text, Some(5))]));
        assert_eq!(list.in_force(at(0)).len(), 1);
        assert_eq!(list.take_changes().len(), 0);
        // Somebody lifts it, and somebody else bans it at the same time.
        list.ban(other, None, "own", at(0));
        list.merge(news(false, &[(other_text, None), (one_text, Some(7))]));
        assert_eq!(list.in_force(at(0)).len(), 2);
        let untold = list.take_changes();
        list.lift(other, at(0));
        list.put_back(untold);
        assert_eq!(list.take_changes()[&other], Change::Lift);
    }
}
