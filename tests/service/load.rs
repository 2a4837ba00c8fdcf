//! Clients that come all the time.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::support::{Client, Tls, USER, eventually, free_port};

/// At least as many come.
const CLIENTS: usize = 1000;

/// Addresses that stay the same over a restart.
pub fn free<const N: usize>() -> [SocketAddr; N] {
    [(); N].map(|()| ([127, 0, 0, 1], free_port()).into())
}

/// The lines of a configuration that listens there.
pub fn tables(listen: &[SocketAddr], implicit: &[SocketAddr]) -> String {
    let list = |all: &[SocketAddr]| {
        let all: Vec<_> = all.iter().map(|one| format!("\"{one}\"")).collect();
        all.join(", ")
    };
    format!(
        "[server]\nlisten = [{}]\nlisten-implicit = [{}]\n",
        list(listen),
        list(implicit)
    )
}

/// A thousand clients and more, that come as long as the work goes on. None is refused, reset or left without
/// a word; one that came just before an end is told so.
pub struct Load {
    address: SocketAddr,
    next: AtomicUsize,
    over: AtomicUsize,
    logins: AtomicUsize,
    done: AtomicBool,
}

/// Ends the load, also where the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Load {
    /// Does the work under the load of clients of this address, some of which log in.
    pub fn during<T>(address: SocketAddr, work: impl FnOnce(&Self) -> T) -> T {
        let load = Self {
            address,
            next: AtomicUsize::new(0),
            over: AtomicUsize::new(0),
            logins: AtomicUsize::new(0),
            done: AtomicBool::new(false),
        };
        let result = thread::scope(|scope| {
            let _end = End(&load.done);
            for _ in 0..20 {
                scope.spawn(|| load.come());
            }
            work(&load)
        });
        assert!(load.over.into_inner() >= CLIENTS);
        assert!(load.logins.into_inner() > 0);
        result
    }

    /// Waits until more of them have come.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.over.load(Ordering::Relaxed);
        eventually("clients come", || {
            self.over.load(Ordering::Relaxed) > before + 50
        });
    }

    fn come(&self) {
        let tls = Tls::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= CLIENTS && self.done.load(Ordering::Relaxed) {
                return;
            }
            let mut client = Client::over(TcpStream::connect(self.address).unwrap());
            let greeted = client.try_reply().unwrap().expect_one_of(&[220, 421]);
            if greeted.code == 220 && number.is_multiple_of(10) {
                self.log_in(&mut client, &tls);
            }
            self.over.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Logs in, unless the server ends meanwhile, which it says.
    fn log_in(&self, client: &mut Client, tls: &Tls) {
        let mut said = 0;
        let mut ask = |client: &mut Client, command: &str, code: u16| {
            let asked = client.try_write(format!("{command}\r\n"));
            let answered = asked.and_then(|()| client.try_reply());
            said = answered.map_or(0, |reply| reply.code);
            said == code
        };
        let logged_in = ask(client, "AUTH TLS", 234)
            && client.handshake(tls).is_ok()
            && ask(client, &format!("USER {USER}"), 331)
            && ask(client, &format!("PASS {USER}"), 230);
        self.logins
            .fetch_add(usize::from(logged_in), Ordering::Relaxed);
        assert!([0, 230, 234, 331, 421].contains(&said), "{said}");
    }
}
