//! Promises over an engine that fails at random.

use std::{
    env, fs,
    io::ErrorKind,
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use crate::{
    engine::Engine,
    faulty::Faulty,
    support::{Client, Reply, Server, USER, content, eicar},
};

/// Clients that upload at once, each to names of its own.
const CLIENTS: u64 = 4;
/// Names of one client.
const NAMES: u64 = 3;

/// Each a few hundred; many more where the environment says so.
fn uploads() -> u64 {
    let said = env::var("PORTCULLIS_TEST_UPLOADS").ok();
    said.map_or(60, |said| said.parse().unwrap())
}

/// The contents that a file may have.
type MayBe = Vec<Option<Vec<u8>>>;

struct Uploader<'a> {
    server: &'a Server,
    number: u64,
    client: Option<Client>,
    files: Vec<MayBe>,
    acknowledged: &'a AtomicUsize,
}

/// Opens a data connection and then sends `command`: one that is refused
/// closes the port, and a connection that comes later is refused too.
fn begin(client: &mut Client, command: &str) -> (Reply, TcpStream) {
    let opened = client.send("EPSV").expect(229);
    let port = opened.text().split('|').nth(3).unwrap().parse().unwrap();
    let address = (client.socket().peer_addr().unwrap().ip(), port);
    let stream = TcpStream::connect(address).unwrap();
    (client.send(command), stream)
}

impl Uploader<'_> {
    fn client(&mut self) -> &mut Client {
        self.client.get_or_insert_with(|| {
            let mut client = self.server.secure(&crate::support::Tls::new());
            client.send(&format!("USER {USER}")).expect(331);
            // The home is looked for in the bucket.
            while client.send(&format!("PASS {USER}")).code != 230 {
                client.send(&format!("USER {USER}")).expect(331);
            }
            client.send("PBSZ 0").expect(200);
            client.send("PROT P").expect(200);
            client.send("TYPE I").expect(200);
            client
        })
    }

    fn upload(&mut self, round: u64) {
        let seed = self.number * 100_000 + round;
        let length = match seed % 9 {
            0 => 0,
            8 => (11 << 20) + usize::try_from(seed % 1000).unwrap(),
            _ => 100 + usize::try_from(seed * 7919 % 70_000).unwrap(),
        };
        let mut bytes = content(length, seed);
        let bad = round % 5 == 4;
        if bad {
            bytes.extend(eicar());
        }
        let file = usize::try_from(round % NAMES).unwrap();
        let name = format!("{}-{file}", self.number);
        let cut = round % 7 == 6 && !bad && length > 1000;
        let client = self.client();
        let (begun, stream) = begin(client, &format!("STOR {name}"));
        if begun.code != 150 {
            assert_eq!(begun.code, 451, "{begun:?}");
            return;
        }
        let mut data = client.protect(stream);
        if cut {
            let _ = data.send(&bytes[..length / 2]);
            data.cut();
            client.reply().expect_one_of(&[426, 451]);
            return;
        }
        let _ = data.send(&bytes);
        let _ = data.finish();
        let reply = client.reply();
        let may_be = &mut self.files[file];
        match (reply.code, bad) {
            (226, false) => {
                self.acknowledged.fetch_add(1, Relaxed);
                *may_be = vec![Some(bytes)];
            }
            // It may be there, or come to be.
            (426 | 451, false) => may_be.push(Some(bytes)),
            (426 | 451 | 550 | 552 | 553, true) => {}
            _ => panic!("{name}, bad: {bad}: {reply:?}"),
        }
    }

    fn download(&mut self, round: u64) {
        let file = usize::try_from(round % NAMES).unwrap();
        let name = format!("{}-{file}", self.number);
        let client = self.client();
        let size = client.send(&format!("SIZE {name}"));
        let partial = size.code == 213 && client.send(&format!("MLST {name}")).code == 451;
        let (begun, stream) = begin(client, &format!("RETR {name}"));
        if begun.code != 150 {
            begun.expect_one_of(&[451, 550]);
            return;
        }
        let data = client.protect(stream);
        let read = thread::spawn(move || {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| data.receive()))
        });
        let reply = client.reply();
        let bytes = read.join().unwrap();
        if reply.code != 226 {
            reply.expect_one_of(&[426, 451]);
            return;
        }
        let bytes = bytes.unwrap();
        if size.code == 213 && !partial {
            assert_eq!(size.text().trim(), bytes.len().to_string(), "{name}");
        }
        assert!(
            self.files[file].contains(&Some(bytes)),
            "{name} has none of the contents that it may have"
        );
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_torn_and_nothing_refused_appears() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let way = Faulty::start(engine.address, 20_261_128);
    let server = engine.setup_at(way.address).start();
    server.login();
    way.set_fails(true);
    let acknowledged = AtomicUsize::new(0);
    let files: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (server, acknowledged) = (&server, &acknowledged);
                scope.spawn(move || {
                    let mut uploader = Uploader {
                        server,
                        number,
                        client: None,
                        files: vec![vec![None]; usize::try_from(NAMES).unwrap()],
                        acknowledged,
                    };
                    for round in 0..uploads() {
                        uploader.upload(round);
                        uploader.download(round);
                    }
                    uploader.files
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    way.set_fails(false);
    let (acknowledged, faults) = (acknowledged.into_inner(), way.faults());
    eprintln!("{acknowledged} uploads acknowledged, {faults} faults");
    assert!(acknowledged as u64 > uploads() * CLIENTS / 3 && faults > uploads());
    let mut client = server.login();
    for (number, files) in files.iter().enumerate() {
        for (file, may_be) in files.iter().enumerate() {
            let name = format!("{number}-{file}");
            let found = match fs::read(engine.home_of(USER).join(&name)) {
                Ok(bytes) => Some(bytes),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => panic!("{name}: {error}"),
            };
            assert!(may_be.contains(&found), "{name}");
            if let Some(bytes) = found {
                assert_eq!(client.retrieve(&format!("RETR {name}")), bytes);
            }
        }
    }
}
