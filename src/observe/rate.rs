//! Lines that clients cause: a few a second for each address, and the count of the others.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

/// Lines that one address may cause within [`WINDOW`].
const LINES: u32 = 5;
/// The same of those who have logged in.
const LINES_OF_USERS: u32 = 50;
const WINDOW: Duration = Duration::from_secs(1);
/// Addresses that are told apart at a time; all others share their lines.
const ADDRESSES: usize = 64;

/// Lines of one kind.
#[derive(Debug)]
pub struct Rate {
    /// The name of the events, for the line that says how many there were.
    what: &'static str,
    lines: u32,
    windows: Mutex<HashMap<Option<IpAddr>, Window>>,
}

/// The lines that one address caused since its first; None stands for all that are not told apart.
#[derive(Debug, Default)]
struct Window {
    told: u32,
    left_out: u64,
}

impl Rate {
    /// `what` is the text of the line that counts what was left out.
    #[must_use]
    pub fn new(what: &'static str) -> Arc<Self> {
        Self::with(what, LINES)
    }

    /// The same for lines that only those cause who have logged in.
    #[must_use]
    pub fn of_users(what: &'static str) -> Arc<Self> {
        Self::with(what, LINES_OF_USERS)
    }

    fn with(what: &'static str, lines: u32) -> Arc<Self> {
        Arc::new(Self {
            what,
            lines,
            windows: Mutex::default(),
        })
    }

    /// Whether a line may be written for this address. If not, it is counted, and one line says how
    /// many there were within the second. Needs a runtime.
    pub fn admits(self: &Arc<Self>, address: IpAddr) -> bool {
        let address = client(address);
        let mut windows = self.windows();
        let known = windows.contains_key(&Some(address)) || windows.len() < ADDRESSES;
        let key = known.then_some(address);
        let new = !windows.contains_key(&key);
        let window = windows.entry(key).or_default();
        let admitted = window.told < self.lines;
        if admitted {
            window.told += 1;
        } else {
            window.left_out += 1;
        }
        drop(windows);
        if new {
            let rate = self.clone();
            tokio::spawn(async move {
                sleep(WINDOW).await;
                rate.tell(key);
            });
        }
        admitted
    }

    /// The window is over.
    fn tell(&self, key: Option<IpAddr>) {
        let window = self.windows().remove(&key);
        let count = window.map_or(0, |window| window.left_out);
        let what = self.what;
        match key {
            _ if count == 0 => {}
            Some(client) => tracing::warn!(%client, count, "{what}"),
            None => tracing::warn!(count, "from other addresses: {what}"),
        }
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client has a network of 64 bits in IPv6.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_a_few_lines_a_second() {
        let rate = Rate::new("more");
        let ask = |address: &str| rate.admits(address.parse().unwrap());
        for (one, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
        ] {
            for _ in 0..LINES {
                assert!(ask(one));
            }
            assert!(!ask(one) && !ask(same));
            assert!(ask(other), "others have their own");
        }
        while !rate.windows().is_empty() {
            sleep(WINDOW / 10).await;
        }
        assert!(ask("192.0.2.1"));
    }

    #[tokio::test]
    async fn many_addresses_share_what_is_left() {
        let rate = Rate::new("more");
        let told = (0..10_000_u32)
            .filter(|number| rate.admits(IpAddr::V4((0x0a00_0000 + number).into())))
            .count();
        assert_eq!(told, ADDRESSES + LINES as usize);
        assert_eq!(rate.windows().len(), ADDRESSES + 1);
    }
}
