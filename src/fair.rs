//! Turns: what many clients want is served by client network, and not by who asked most often.
//!
//! Networks take turns, and within a network its addresses do; what one address wants waits in the
//! order in which it came. So one more of a thousand that an address asks for holds up nobody else by
//! more than one.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// A network, which takes turns: an IPv4 network of 24 bits, an IPv6 network of 48.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Network(u64);

/// Within it: an IPv4 address, an IPv6 network of 64 bits, which is what one client has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Address(u64);

fn place(address: IpAddr) -> (Network, Address) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let bits = u64::from(u32::from(address));
            (Network(bits >> 8), Address(bits))
        }
        IpAddr::V6(address) => {
            let bits = (u128::from(address) >> 64) as u64;
            // No IPv4 address has this bit.
            let high = 1 << 63;
            (Network(bits >> 16 | high), Address(bits))
        }
    }
}

/// Queues by key, of which each gives one item in its turn.
#[derive(Debug)]
struct Turn<K, Q> {
    queues: HashMap<K, Q>,
    order: VecDeque<K>,
}

impl<K: Copy + Eq + Hash, Q: Default> Turn<K, Q> {
    fn queue(&mut self, key: K) -> &mut Q {
        if !self.queues.contains_key(&key) {
            self.order.push_back(key);
        }
        self.queues.entry(key).or_default()
    }

    /// Takes from the queue whose turn it is; `take` says whether there is more in it.
    fn next<T>(&mut self, take: impl FnOnce(&mut Q) -> (Option<T>, bool)) -> Option<T> {
        let key = self.order.pop_front()?;
        let queue = self.queues.get_mut(&key)?;
        let (item, more) = take(queue);
        if more {
            self.order.push_back(key);
        } else {
            self.queues.remove(&key);
        }
        item
    }
}

impl<K, Q> Default for Turn<K, Q> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

/// A queue in which client networks take turns.
#[derive(Debug)]
pub struct FairQueue<T> {
    networks: Turn<Network, Turn<Address, VecDeque<T>>>,
    length: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            networks: Turn::default(),
            length: 0,
        }
    }
}

impl<T> FairQueue<T> {
    /// Adds what a client wants, behind what its address wanted before.
    pub fn push(&mut self, client: IpAddr, item: T) {
        let (network, address) = place(client);
        let queue = self.networks.queue(network).queue(address);
        queue.push_back(item);
        self.length += 1;
    }

    /// The next in turn.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.networks.next(|addresses| {
            let item = addresses.next(|queue| {
                let item = queue.pop_front();
                (item, !queue.is_empty())
            });
            (item, !addresses.queues.is_empty())
        })?;
        self.length -= 1;
        Some(item)
    }

    /// Takes the newest of the address that wants most, if that is more than `client` would want
    /// with one more.
    pub fn give_way(&mut self, client: IpAddr) -> Option<T> {
        let (network, address) = place(client);
        let of = |queues: &Turn<Address, VecDeque<T>>, address| {
            queues.queues.get(&address).map_or(0, VecDeque::len)
        };
        let own = self.networks.queues.get(&network);
        let own = own.map_or(0, |addresses| of(addresses, address)) + 1;
        let queues = self.networks.queues.values_mut();
        let queues = queues.flat_map(|addresses| addresses.queues.values_mut());
        let longest = queues.max_by_key(|queue| queue.len())?;
        if longest.len() <= own {
            return None;
        }
        self.length -= 1;
        longest.pop_back()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Bounds how many go on at a time; the others wait for their turn.
#[derive(Debug)]
pub struct Turns {
    most: usize,
    waiting: usize,
    state: Mutex<Queues>,
}

#[derive(Debug)]
struct Queues {
    free: usize,
    queue: FairQueue<oneshot::Sender<Permit>>,
}

/// The right to go on; given back when it is dropped.
#[derive(Debug)]
pub struct Permit(Option<Arc<Turns>>);

/// Too many wait, and this address has its share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Turns {
    /// `most` at a time, while `waiting` others wait.
    #[must_use]
    pub fn new(most: usize, waiting: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            waiting,
            state: Mutex::new(Queues {
                free: most,
                queue: FairQueue::default(),
            }),
        })
    }

    /// How many go on, and how many wait.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (self.most - state.free.min(self.most), state.queue.len())
    }

    /// Waits for the turn of `client`.
    ///
    /// # Errors
    /// When too many wait already, or come to wait, and `client` has the most of them.
    pub async fn turn(self: &Arc<Self>, client: IpAddr) -> Result<Permit, Full> {
        let permit = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Permit(Some(self.clone())));
            }
            if state.queue.len() >= self.waiting && state.queue.give_way(client).is_none() {
                return Err(Full);
            }
            let (sender, permit) = oneshot::channel();
            state.queue.push(client, sender);
            permit
        };
        permit.await.map_err(|_| Full)
    }

    fn state(&self) -> MutexGuard<'_, Queues> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        let mut state = turns.state();
        let mut permit = Permit(Some(turns.clone()));
        while let Some(next) = state.queue.pop() {
            match next.send(permit) {
                Ok(()) => return,
                // That one has gone away.
                Err(back) => permit = back,
            }
        }
        permit.0 = None;
        state.free += 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_take_turns_and_so_do_addresses() {
        let mut queue = FairQueue::default();
        for number in 0..5 {
            queue.push(address("192.0.2.1"), format!("a{number}"));
        }
        queue.push(address("192.0.2.2"), "b0".into());
        queue.push(address("198.51.100.1"), "c0".into());
        queue.push(address("::ffff:198.51.100.1"), "c1".into());
        queue.push(address("2001:db8::1"), "d0".into());
        queue.push(address("2001:db8::2"), "d1".into());
        assert_eq!(queue.len(), 10);
        let order: Vec<String> = std::iter::from_fn(|| queue.pop()).collect();
        let expected = ["a0", "c0", "d0", "b0", "c1", "d1", "a1", "a2", "a3", "a4"];
        assert_eq!(order, expected);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_wants_most_gives_way() {
        let mut queue = FairQueue::default();
        for number in 0..3 {
            queue.push(address("192.0.2.1"), number);
        }
        queue.push(address("192.0.2.2"), 10);
        assert_eq!(queue.give_way(address("192.0.2.1")), None);
        assert_eq!(queue.give_way(address("198.51.100.1")), Some(2));
        assert_eq!(queue.give_way(address("192.0.2.2")), None);
        assert_eq!(queue.len(), 3);
    }

    #[tokio::test]
    async fn permits_come_back_in_turn() {
        let turns = Turns::new(1, 3);
        let first = turns.turn(address("192.0.2.1")).await.unwrap();
        let mut waiting = Vec::new();
        for client in ["192.0.2.1", "192.0.2.1", "192.0.2.1"] {
            let turns = turns.clone();
            let client = address(client);
            waiting.push(tokio::spawn(async move { turns.turn(client).await }));
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.counts(), (1, 3));
        // One more of the same is too many; of another, the newest gives way.
        assert_eq!(turns.turn(address("192.0.2.1")).await.err(), Some(Full));
        let honest = {
            let turns = turns.clone();
            tokio::spawn(async move { turns.turn(address("198.51.100.1")).await })
        };
        tokio::task::yield_now().await;
        let refused = waiting.pop().unwrap().await.unwrap();
        assert_eq!(refused.err(), Some(Full));
        // One that goes away is passed over, and loses nothing.
        let gone = waiting.remove(0);
        gone.abort();
        let _ = gone.await;
        drop(first);
        let honest = honest.await.unwrap().unwrap();
        drop(honest);
        let last = waiting.pop().unwrap().await.unwrap().unwrap();
        drop(last);
        assert_eq!(turns.counts(), (0, 0));
        let again = turns.turn(address("192.0.2.1")).await.unwrap();
        assert_eq!(turns.counts(), (1, 0));
        drop(again);
    }
}
