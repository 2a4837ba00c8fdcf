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
}

/// As the file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    bans: Vec<Ban>,
}

impl From<Saved> for BanList {
    fn from(saved: Saved) -> Self {
        let bans = saved.bans.into_iter();
        Self {
            bans: bans.map(|ban| (ban.network, ban)).collect(),
        }
    }
}

impl From<BanList> for Saved {
    fn from(list: BanList) -> Self {
        let mut bans: Vec<_> = list.bans.into_values().collect();
        bans.sort_unstable_by_key(|ban| (ban.since, ban.network));
        Self { bans }
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
        self.bans.retain(|other, ban| {
            let goes = network.contains(other);
            lifted += usize::from(goes && ban.holds(now));
            !goes
        });
        lifted
    }

    /// Forgets those that are over, and count no more.
    pub fn forget(&mut self, longest: Duration, now: SystemTime) {
        let now = seconds(now);
        self.bans.retain(|_, ban| {
            ban.until
                .is_none_or(|until| now < until.saturating_add(longest.as_secs()))
        });
    }

    fn put(&mut self, ban: Ban) {
        if self.bans.len() >= MOST && !self.bans.contains_key(&ban.network) {
            let soonest = self
                .bans
                .values()
                .min_by_key(|ban| ban.until.unwrap_or(u64::MAX));
            if let Some(network) = soonest.map(|ban| ban.network) {
                self.bans.remove(&network);
            }
        }
        self.bans.insert(ban.network, ban);
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
#[allow(clippy::unwrap_used)]
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
}
