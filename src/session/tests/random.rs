//! Whole sessions of commands that are put together at random. The same conversations are what a fuzzer
//! leads (`fuzz/`); these are the same in every run.

use std::collections::BTreeMap;

use crate::{ftp::command::VERBS, session::harness::converse};

/// How many conversations.
const SESSIONS: u64 = 200;

/// Xorshift (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % below
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.next(all.len())]
    }
}

const ARGUMENTS: &[&str] = &[
    "",
    "a",
    "b/c",
    "/",
    "..",
    "a b",
    "*",
    "[a",
    "-la a",
    "A",
    "I",
    "L 8",
    "P",
    "C",
    "0",
    "1",
    "9",
    "18446744073709551616",
    "-1",
    "|1|127.0.0.1|1|",
    "127,0,0,1,0,1",
    "2",
    "ALL",
    "TLS",
    "SSL",
    "alice",
    "secret",
    "localhost",
    "[127.0.0.1]",
    "20200101000000",
    "20200101000000 a",
    "777 a",
    "CHMOD 777 a",
    "UMASK",
    "WHOAMI",
    "SHA-256",
    "SHA-256 a",
    "UTF8 ON",
    "MLST size;",
    "HASH CRC32",
    "R",
    "S",
    "B",
    "\u{e4}\u{f6}",
    "\u{0}",
    "\u{1}a",
    "%s%n",
    "a\rb",
    "\u{feff}",
];

/// A conversation: commands that exist, in any order, now and then others, torn or damaged.
fn conversation(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(random.next(4)).unwrap()];
    for _ in 0..random.next(30) {
        match random.next(20) {
            0 => {
                bytes.extend((0..random.next(40)).map(|_| u8::try_from(random.next(256)).unwrap()))
            }
            1 => bytes.extend(vec![b'A'; random.next(9000)]),
            // Telnet within a line (RFC 1123 §4.1.2.12), and what ABOR comes with.
            2 => bytes.extend([0xf4, 0xf2]),
            _ => bytes.extend(random.of(VERBS).name.as_bytes()),
        }
        if random.next(4) > 0 {
            bytes.push(b' ');
            bytes.extend(match random.next(2) {
                0 => random.of(&["a", "b", "b/c"]).as_bytes(),
                _ => random.of(ARGUMENTS).as_bytes(),
            });
        }
        bytes.extend(*random.of(&[&b"\r\n"[..], b"\r\n", b"\r\n", b"\n", b"\xff", b"\r\n\xff"]));
    }
    bytes
}

#[test]
fn no_conversation_breaks_a_session() {
    let mut codes = BTreeMap::new();
    for seed in 1..=SESSIONS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bytes = conversation(&mut random);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let said = runtime.block_on(converse(&bytes));
        let said = said.unwrap_or_else(|error| {
            panic!("{error}, said to {:?}", String::from_utf8_lossy(&bytes))
        });
        for line in said
            .lines()
            .filter(|line| line.as_bytes().get(3) == Some(&b' '))
        {
            *codes.entry(line[..3].to_owned()).or_insert(0) += 1;
        }
    }
    // They do get somewhere.
    for code in [
        "150", "200", "211", "213", "221", "229", "230", "250", "257", "331", "350", "425", "500",
        "501", "503", "504", "530", "550",
    ] {
        assert!(codes.contains_key(code), "{code} is not in {codes:?}");
    }
}
