//! A download goes on with what it began with, whatever becomes of the name; the next one gets what
//! is there then.

use std::{fs, io::Read};

use crate::{
    broken, setup,
    support::{Client, Server, Tls, content, data::Data},
};

/// More than all buffers between the file and a client that does not read.
const LARGE: usize = 24 << 20;

/// A client that reads slowly: so much at a time.
struct Slow<'a> {
    client: Client,
    data: Data,
    expected: &'a [u8],
    at: usize,
}

impl<'a> Slow<'a> {
    #[track_caller]
    fn begin(server: &Server, name: &str, from: usize, expected: &'a [u8]) -> Self {
        let mut client = server.login_as("bob", &Tls::new());
        if from > 0 {
            client.send(&format!("REST {from}")).expect(350);
        }
        let data = client.begin(&format!("RETR {name}"));
        let mut slow = Self {
            client,
            data,
            expected,
            at: from,
        };
        slow.read(100_000);
        slow
    }

    #[track_caller]
    fn read(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        self.data.read_exact(&mut bytes).unwrap();
        let same = self.expected[self.at..].starts_with(&bytes);
        assert!(same, "other content behind {}", self.at);
        self.at += count;
    }

    #[track_caller]
    fn end(mut self) {
        let mut bytes = Vec::new();
        self.data.read_to_end(&mut bytes).expect("it ends cleanly");
        assert!(
            bytes == self.expected[self.at..],
            "other content behind {}",
            self.at
        );
        self.client.reply().expect(226);
        self.client.send("NOOP").expect(200);
    }
}

fn server() -> Server {
    setup()
        .user("bob", "home = \"/alice\"")
        .set("storage.default.durability", r#""none""#)
        .start()
}

/// One way to change what a name stands for: returns what is there then, if anything.
type Change = fn(&mut Client, &Server) -> Option<Vec<u8>>;

fn stor(client: &mut Client, _: &Server) -> Option<Vec<u8>> {
    let new = content(300_000, 11);
    client.store("STOR file", &new).expect(226);
    Some(new)
}

/// A change that would show at once if it were written in place.
fn stor_at_offset(client: &mut Client, server: &Server) -> Option<Vec<u8>> {
    let old = fs::read(server.home().join("file")).unwrap();
    let new = content(200_000, 12);
    client.send("REST 200000").expect(350);
    client.store("STOR file", &new).expect(226);
    Some([&old[..200_000], &new[..]].concat())
}

fn broken_and_resumed(client: &mut Client, _: &Server) -> Option<Vec<u8>> {
    let new = content(300_000, 13);
    broken(client, "STOR file", &new[..100_000]).expect(426);
    client.send("REST 100000").expect(350);
    client.store("STOR file", &new[100_000..]).expect(226);
    Some(new)
}

fn appe(client: &mut Client, server: &Server) -> Option<Vec<u8>> {
    let mut all = fs::read(server.home().join("file")).unwrap();
    let more = content(100_000, 14);
    client.store("APPE file", &more).expect(226);
    all.extend(more);
    Some(all)
}

fn rnto(client: &mut Client, _: &Server) -> Option<Vec<u8>> {
    let new = content(1000, 15);
    client.store("STOR other", &new).expect(226);
    client.send("RNFR other").expect(350);
    client.send("RNTO file").expect(250);
    Some(new)
}

fn renamed_away(client: &mut Client, _: &Server) -> Option<Vec<u8>> {
    client.send("RNFR file").expect(350);
    client.send("RNTO moved").expect(250);
    client.send("DELE moved").expect(250);
    None
}

fn dele(client: &mut Client, _: &Server) -> Option<Vec<u8>> {
    client.send("DELE file").expect(250);
    None
}

fn dele_and_stor(client: &mut Client, server: &Server) -> Option<Vec<u8>> {
    dele(client, server);
    stor(client, server)
}

fn refused(client: &mut Client, server: &Server) -> Option<Vec<u8>> {
    let old = fs::read(server.home().join("file")).unwrap();
    for command in ["STOR file", "APPE file"] {
        client.store(command, &crate::support::eicar()).expect(550);
    }
    Some(old)
}

const CHANGES: [(&str, Change); 9] = [
    ("STOR", stor),
    ("REST and STOR", stor_at_offset),
    ("a resumed STOR", broken_and_resumed),
    ("APPE", appe),
    ("RNTO over it", rnto),
    ("RNFR, away", renamed_away),
    ("DELE", dele),
    ("DELE and STOR", dele_and_stor),
    ("a refused STOR", refused),
];

#[track_caller]
fn assert_next(client: &mut Client, expected: Option<&[u8]>, what: &str) {
    if let Some(expected) = expected {
        assert!(client.retrieve("RETR file") == expected, "{what}");
    } else {
        let stream = client.open();
        client.send("RETR file").expect(550);
        drop(stream);
    }
}

#[test]
fn by_each_command() {
    let server = server();
    let old = content(LARGE, 1);
    for (what, change) in CHANGES {
        fs::write(server.home().join("file"), &old).unwrap();
        let mut writer = server.login();
        let mut whole = Slow::begin(&server, "file", 0, &old);
        let mut second_half = Slow::begin(&server, "file", LARGE / 2, &old);
        let now = change(&mut writer, &server);
        whole.read(1_000_000);
        assert_next(&mut writer, now.as_deref(), what);
        second_half.read(1_000_000);
        second_half.end();
        assert_next(&mut writer, now.as_deref(), what);
        whole.end();
        assert_next(&mut writer, now.as_deref(), what);
    }
}

/// Downloads of several generations at a time, each with its own.
#[test]
fn again_and_again() {
    let server = server();
    let generations: Vec<Vec<u8>> = (0..5).map(|number| content(12 << 20, number + 1)).collect();
    let mut writer = server.login();
    let mut slow = Vec::new();
    for generation in &generations {
        writer.store("STOR file", generation).expect(226);
        slow.push(Slow::begin(&server, "file", 0, generation));
        for reader in &mut slow {
            reader.read(200_000);
        }
    }
    writer.send("DELE file").expect(250);
    for reader in slow {
        reader.end();
    }
}
