use super::*;
use crate::wire::tests::Fake;

const QUESTION: Question = Question {
    database: "ftp",
    user: "portcullis",
    password: "secret",
    encrypted: true,
    query: "select password from users where name = ?",
    name: "bob' or 1=1 --",
};

const NATIVE: &[u8] = b"mysql_native_password\0";
const CACHING: &[u8] = b"caching_sha2_password\0";

fn greeting(plugin: &[u8]) -> Vec<u8> {
    let mut packet = b"\x0a10.11-MariaDB\0\x01\0\0\x0012345678\0".to_vec();
    packet.extend(0xffff_u16.to_le_bytes());
    packet.extend([45, 2, 0]);
    packet.extend(0x0008_u16.to_le_bytes());
    packet.push(21);
    packet.extend([0; 10]);
    packet.extend(b"901234567890\0");
    packet.extend(plugin);
    packet
}

/// Packets with their numbers; each question restarts them.
fn packets(parts: &[(u8, &[Vec<u8>])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, contents) in parts {
        for (number, content) in (*first..).zip(*contents) {
            let [a, b, c, _] = u32::try_from(content.len()).unwrap().to_le_bytes();
            bytes.extend([a, b, c, number]);
            bytes.extend(content);
        }
    }
    bytes
}

fn column(name: &str, kind: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    for text in ["def", "ftp", "users", "users", name, name] {
        packet.extend(counted(text.as_bytes()));
    }
    packet.extend([0x0c, 45, 0, 0, 0, 0, 0, kind, 0, 0, 0, 0, 0]);
    packet
}

const END: &[u8] = &[0xfe, 0, 0, 2, 0];
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

fn prepared() -> Vec<Vec<u8>> {
    vec![
        vec![0, 7, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0],
        column("?", 0xfd),
        END.to_vec(),
        column("password", 0xfd),
        column("quota", 0x08),
        END.to_vec(),
    ]
}

fn rows(count: usize) -> Vec<Vec<u8>> {
    let mut packets = vec![
        vec![2],
        column("password", 0xfd),
        column("quota", 0x08),
        END.to_vec(),
    ];
    let row = b"\x00\x08\x04$6$x".to_vec();
    packets.extend(vec![row; count]);
    packets.push(END.to_vec());
    packets
}

fn usual() -> Vec<u8> {
    packets(&[(3, &[OK.to_vec()]), (1, &prepared()), (1, &rows(1))])
}

fn ask(said: Vec<u8>, plugin: &[u8], question: &Question) -> (Result<Found, Error>, Fake) {
    let greeting = Greeting::read(&greeting(plugin)).unwrap();
    let mut fake = Fake::new(said);
    let found = look_up(&mut fake, &greeting, question);
    (found, fake)
}

fn error(said: Vec<u8>) -> String {
    let found = ask(said, NATIVE, &QUESTION).0;
    found.unwrap_err().to_string()
}

#[test]
fn a_row_is_read_and_the_name_is_a_value() {
    let (found, fake) = ask(usual(), NATIVE, &QUESTION);
    let found = found.unwrap();
    assert_eq!(found.columns, ["password", "quota"]);
    assert_eq!(found.rows, [[Some("$6$x".to_owned()), None]]);
    let heard = String::from_utf8_lossy(&fake.heard);
    let query = heard.find(QUESTION.query).unwrap();
    let name = heard.find(QUESTION.name).unwrap();
    assert!(name > query + QUESTION.query.len());
    assert!(!heard.contains("secret"));
}

#[test]
fn passwords_go_as_it_wants_them() {
    let then = |first: &[&[u8]], number: u8| {
        let first: Vec<_> = first.iter().map(|packet| packet.to_vec()).collect();
        let login = packets(&[(3, &first), (number, &[OK.to_vec()])]);
        let rest = packets(&[(1, &prepared()), (1, &rows(1))]);
        [login, rest].concat()
    };
    // From the cache.
    let (found, _) = ask(then(&[&[1, 3]], 4), CACHING, &QUESTION);
    found.unwrap();
    // In full, over TLS.
    let (found, fake) = ask(then(&[&[1, 4]], 5), CACHING, &QUESTION);
    found.unwrap();
    assert!(String::from_utf8_lossy(&fake.heard).contains("\x07\0\0\x04secret\0"));
    // And in the clear never.
    let plain = Question {
        encrypted: false,
        ..QUESTION
    };
    let (found, fake) = ask(packets(&[(2, &[vec![1, 4]])]), CACHING, &plain);
    assert!(matches!(found, Err(Error::Settings(_))));
    assert!(!String::from_utf8_lossy(&fake.heard).contains("secret"));
    // The account has another kind than the server's usual one.
    let switch = [b"\xfe", NATIVE, b"abcdefghijklmnopqrst\0"].concat();
    for plugin in [CACHING, b"client_ed25519\0", b""] {
        let (found, _) = ask(then(&[&switch], 5), plugin, &QUESTION);
        found.unwrap();
    }
    let switch = [&b"\xfe"[..], b"mysql_clear_password\0"].concat();
    let told = error(packets(&[(3, &[switch])]));
    assert!(told.contains("\"mysql_clear_password\""), "{told}");
    // Another plugin's steps, the oldest form, and no end.
    for packet in [vec![1, 3], vec![1, 4], vec![0xfe], vec![2]] {
        assert!(error(packets(&[(3, &[packet])])).contains("authentication"));
    }
    let endless = vec![vec![1, 3]; 9];
    let found = ask(packets(&[(3, &endless)]), CACHING, &QUESTION).0;
    assert!(found.unwrap_err().to_string().contains("does not end"));
}

#[test]
fn at_most_two_rows_are_kept() {
    let said = |count| packets(&[(3, &[OK.to_vec()]), (1, &prepared()), (1, &rows(count))]);
    for (count, kept) in [(0, 0), (1, 1), (2, 2), (200, 2)] {
        assert_eq!(
            ask(said(count), NATIVE, &QUESTION).0.unwrap().rows.len(),
            kept
        );
    }
}

#[test]
fn a_query_has_rows_and_a_parameter() {
    let with = |packet: &[u8]| packets(&[(3, &[OK.to_vec()]), (1, &[packet.to_vec()])]);
    let told = error(with(&[0, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
    assert!(told.contains("has to be a select"), "{told}");
    for parameters in [0, 255] {
        let told = error(with(&[0, 7, 0, 0, 0, 1, 0, parameters, 0, 0, 0, 0]));
        assert!(told.contains("expected ?"), "{told}");
    }
    let told = error(with(&[0, 7, 0, 0, 0, 255, 255, 1, 0, 0, 0, 0]));
    assert!(told.contains("it has closed"), "{told}");
    let said = with(b"\xff\x7a\x04#42S02no such table");
    assert!(matches!(
        ask(said, NATIVE, &QUESTION).0,
        Err(Error::Settings(_))
    ));
}

#[test]
fn hostile_servers_are_refused() {
    let all = usual();
    for end in 0..all.len() {
        let (found, _) = ask(all[..end].to_vec(), NATIVE, &QUESTION);
        assert!(found.is_err(), "{end}");
    }
    // With any byte changed: an answer or an error, and never a panic.
    for place in 0..all.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = all.clone();
            bytes[place] ^= change;
            let _ = ask(bytes, NATIVE, &QUESTION);
        }
    }
    let first = greeting(NATIVE);
    for end in 0..first.len() - NATIVE.len() {
        assert!(Greeting::read(&first[..end]).is_err(), "{end}");
    }
    for place in 0..first.len() {
        let mut bytes = first.clone();
        bytes[place] ^= 0xff;
        let _ = Greeting::read(&bytes);
    }
    let mut many = rows(0);
    many[0] = vec![0xfc, 0xff, 0xff];
    let said = packets(&[(3, &[OK.to_vec()]), (1, &prepared()), (1, &many)]);
    assert!(error(said).contains("256 columns"));
}

#[test]
fn nothing_said_before_tls_is_taken_for_said_within() {
    let mut said = packets(&[(0, &[greeting(NATIVE)])]);
    let length = said.len();
    said.extend(b"injected");
    let mut fake = Fake::new(said);
    let first = greet(&mut fake).unwrap();
    assert_eq!(fake.read_so_far(), u64::try_from(length).unwrap());
    request_tls(&mut fake, &first).unwrap();
    assert_eq!(fake.heard.len(), 4 + 32);
    assert_eq!(fake.heard[..4], [32, 0, 0, 1]);

    let mut without = greeting(NATIVE);
    without[28..30].copy_from_slice(&0xf7ff_u16.to_le_bytes());
    let without = Greeting::read(&without).unwrap();
    let refused = request_tls(&mut Fake::default(), &without).unwrap_err();
    assert!(refused.to_string().contains("no TLS"));
    let full = packets(&[(0, &[b"\xff\x10\x04Too many connections".to_vec()])]);
    let refused = greet(&mut Fake::new(full)).unwrap_err();
    assert!(matches!(refused, Error::Refused(_)));
}
