//! The admission of sessions: so many in all, so many from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Counts control connections.
pub struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    most: usize,
    most_per_address: usize,
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One admitted connection; dropped, its place is free.
pub struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `limits.sessions`
    Full,
    /// `limits.sessions-per-address`
    Address,
}

impl Admission {
    /// Limits; 0 is none.
    #[must_use]
    pub fn new(sessions: usize, per_address: usize) -> Arc<Self> {
        let admission = Self {
            counts: Mutex::default(),
        };
        admission.set_limits(sessions, per_address);
        Arc::new(admission)
    }

    /// Other limits, for connections to come.
    pub fn set_limits(&self, sessions: usize, per_address: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.most = sessions;
        counts.most_per_address = per_address;
    }

    /// How many there are.
    pub fn sessions(&self) -> usize {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .all
    }

    /// Takes a place for a connection from `address`.
    ///
    /// # Errors
    /// When there is none.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Refused> {
        let address = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.most > 0 && counts.all >= counts.most {
            return Err(Refused::Full);
        }
        let most_per_address = counts.most_per_address;
        let here = counts.by_address.entry(address).or_default();
        if most_per_address > 0 && *here >= most_per_address {
            return Err(Refused::Address);
        }
        *here += 1;
        counts.all += 1;
        Ok(Permit {
            admission: self.clone(),
            address,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self
            .admission
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// An IPv6 client has a whole /64 to connect from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let admission = Admission::new(3, 2);
        let (one, two): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = admission.admit(one).unwrap();
        let _second = admission.admit(one).unwrap();
        assert_eq!(admission.admit(one).err(), Some(Refused::Address));
        let _third = admission.admit(two).unwrap();
        assert_eq!(admission.admit(two).err(), Some(Refused::Full));
        drop(first);
        let _fourth = admission.admit(one).unwrap();
        let neighbours = [
            "2001:db8::1".parse().unwrap(),
            "2001:db8::ffff:1".parse().unwrap(),
        ];
        assert_eq!(network(neighbours[0]), network(neighbours[1]));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), one);
    }
}
