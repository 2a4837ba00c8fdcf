//! TLS as a scanner sees it: what is offered alone, one after the other, and what is accepted is exactly
//! what docs/tls.md names.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustls::SignatureScheme;

use super::side_by_side::{SUITES_12, side_by_side};
use crate::support::{
    Server, Tls, Version,
    hello::{Answer, Hello, SCHEMES, ServerHello, answer, ask, connect, record},
    program::installed,
};

const SUITES_13: [u16; 3] = [0x1301, 0x1302, 0x1303];
const PROTOCOL_VERSION: u8 = 70;
const BOTH: [bool; 2] = [false, true];

fn server() -> Server {
    side_by_side([0, 1], None).0.start()
}

fn chosen(answer: Answer) -> Option<ServerHello> {
    match answer {
        Answer::Hello(hello) => Some(*hello),
        _ => None,
    }
}

/// The answer is an alert.
#[track_caller]
fn alert(answer: Answer) -> u8 {
    match answer {
        Answer::Alert(alert) => alert,
        other => panic!("expected an alert, got {other:?}"),
    }
}

#[test]
fn old_versions_are_refused_with_an_alert() {
    let server = server();
    for implicit in BOTH {
        for version in [0x0300, 0x0301, 0x0302] {
            let mut hello = Hello::v12(&[0xc02f, 0xc014, 0x002f, 0x000a]);
            (hello.version, hello.record) = (version, version);
            let found = alert(ask(&server, implicit, &hello.bytes()));
            assert_eq!(found, PROTOCOL_VERSION, "{version:04x}");
            // The extension counts, whatever the old field says.
            let [high, low] = version.to_be_bytes();
            let hello = Hello::v13(&SUITES_13).with(43, vec![2, high, low]);
            let found = alert(ask(&server, implicit, &hello.bytes()));
            assert_eq!(found, PROTOCOL_VERSION, "{version:04x}");
        }
        // SSL 2, and a ClientHello of TLS in its form.
        for version in [[0, 2], [3, 3]] {
            let mut hello = vec![
                0x80,
                9 + 6 + 16,
                1,
                version[0],
                version[1],
                0,
                6,
                0,
                0,
                0,
                16,
            ];
            hello.extend([1, 0, 0x80, 0, 0xc0, 0x2f]);
            hello.extend([7; 16]);
            assert!(chosen(ask(&server, implicit, &hello)).is_none());
        }
        let hello = Hello::v12(&SUITES_12).bytes();
        assert!(chosen(ask(&server, implicit, &hello)).is_some());
        let hello = chosen(ask(&server, implicit, &Hello::v13(&SUITES_13).bytes())).unwrap();
        assert_eq!(hello.extensions[&43], [3, 4]);
    }
}

/// All suites of the ranges that IANA's registry uses, each alone.
#[test]
fn the_cipher_suites_are_exactly_the_named_ones() {
    let server = server();
    let ranges = [
        0x0000..=0x00ff,
        0x1300..=0x1307,
        0x5600..=0x5600,
        0xc000..=0xc0ff,
        0xcca0..=0xccaf,
    ];
    for implicit in BOTH {
        let accepted = |hello: fn(&[u16]) -> Hello| {
            let all = ranges.iter().cloned().flatten();
            let accepted = all.filter(|suite| {
                let answer = ask(&server, implicit, &hello(&[*suite]).bytes());
                chosen(answer).is_some_and(|hello| {
                    assert_eq!(hello.suite, *suite);
                    true
                })
            });
            accepted.collect::<Vec<u16>>()
        };
        assert_eq!(accepted(Hello::v12), SUITES_12);
        assert_eq!(accepted(Hello::v13), SUITES_13);
    }
}

#[test]
fn the_groups_are_exactly_the_named_ones() {
    let server = server();
    let groups = (1..=41)
        .chain(0x0100..=0x0104)
        .chain(0x0200..=0x0202)
        .chain(0x11eb..=0x11ed);
    let groups: Vec<u16> = groups.chain([0x6399, 0xfe30, 0xff01, 0xff02]).collect();
    for implicit in BOTH {
        let accepted = |hello: &Hello| {
            let accepted = groups.iter().filter(|group| {
                let answer = ask(&server, implicit, &hello.clone().groups(&[**group]).bytes());
                chosen(answer).is_some_and(|hello| {
                    assert_eq!(hello.group, **group);
                    true
                })
            });
            accepted.copied().collect::<Vec<_>>()
        };
        assert_eq!(accepted(&Hello::v12(&SUITES_12)), [0x17, 0x18, 0x1d]);
        assert_eq!(
            accepted(&Hello::v13(&SUITES_13)),
            [0x17, 0x18, 0x1d, 0x11ec]
        );
    }
}

/// No SHA-1, and no PKCS #1 v1.5 in TLS 1.3.
#[test]
fn the_signatures_are_exactly_those_of_the_keys() {
    let server = server();
    for implicit in BOTH {
        let accepted = SCHEMES.iter().filter(|scheme| {
            let hello = Hello::v12(&SUITES_12).schemes(&[**scheme]);
            chosen(ask(&server, implicit, &hello.bytes())).is_some_and(|hello| {
                assert_eq!(hello.scheme, **scheme);
                true
            })
        });
        let accepted: Vec<u16> = accepted.copied().collect();
        assert_eq!(
            accepted,
            [0x0401, 0x0403, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806]
        );
    }
    use SignatureScheme as Is;
    for (scheme, works) in [
        (Is::RSA_PSS_SHA256, true),
        (Is::RSA_PSS_SHA384, true),
        (Is::RSA_PSS_SHA512, true),
        (Is::ECDSA_NISTP256_SHA256, true),
        (Is::ECDSA_NISTP384_SHA384, false),
        (Is::ED25519, false),
        (Is::RSA_PKCS1_SHA256, false),
        (Is::RSA_PKCS1_SHA384, false),
        (Is::RSA_PKCS1_SHA512, false),
    ] {
        let tls = Tls::only(Version::V13, None, Some(&[scheme]));
        let mut client = server.connect();
        client.send("AUTH TLS").expect(234);
        assert_eq!(client.handshake(&tls).is_ok(), works, "{scheme:?}");
    }
}

#[test]
fn nothing_is_compressed() {
    let server = server();
    for implicit in BOTH {
        for hello in [Hello::v12(&SUITES_12), Hello::v13(&SUITES_13)] {
            let with = |compression: &[u8]| {
                let compression = compression.to_vec();
                let hello = Hello {
                    compression,
                    ..hello.clone()
                };
                ask(&server, implicit, &hello.bytes())
            };
            for offered in [&[1, 0][..], &[0, 1], &[64, 1, 0]] {
                let answer = chosen(with(offered));
                assert!(
                    answer.is_none_or(|hello| hello.compression == 0),
                    "{offered:?}"
                );
            }
            for offered in [&[1][..], &[64], &[]] {
                alert(with(offered));
            }
        }
    }
}

/// TLS 1.2: the master secret is bound to the handshake (RFC 7627), renegotiation is secure, as there is
/// none (RFC 5746), and a client that could do better can tell that it was kept from it (RFC 8446
/// §4.1.3), which is more than TLS_FALLBACK_SCSV. Heartbeats, tickets of TLS 1.2 for those who do not
/// ask, and what else was not asked for, are not there.
#[test]
fn extensions_of_tls_1_2_are_what_they_have_to_be() {
    let server = server();
    const SCSV: u16 = 0x00ff;
    const FALLBACK: u16 = 0x5600;
    for implicit in BOTH {
        let full = Hello::v12(&SUITES_12)
            .with(15, vec![1])
            .with(35, Vec::new());
        let hello = chosen(ask(&server, implicit, &full.bytes())).unwrap();
        assert_eq!(hello.extensions[&23], [0; 0], "extended master secret");
        assert_eq!(hello.extensions[&0xff01], [0], "renegotiation info");
        assert_eq!(hello.random[24..], *b"DOWNGRD\x01");
        assert!(!hello.extensions.contains_key(&15), "heartbeat");
        let allowed = [11, 23, 35, 0xff01];
        assert!(
            hello.extensions.keys().all(|name| allowed.contains(name)),
            "{hello:?}"
        );
        // By a suite instead of an extension.
        let scsv = [&SUITES_12[..], &[SCSV]].concat();
        let hello = Hello::v12(&scsv).without(0xff01).bytes();
        let hello = chosen(ask(&server, implicit, &hello)).unwrap();
        assert_eq!(hello.extensions[&0xff01], [0]);
        let fallback = [&SUITES_12[..], &[FALLBACK]].concat();
        if let Some(hello) = chosen(ask(&server, implicit, &Hello::v12(&fallback).bytes())) {
            assert_eq!(hello.random[24..], *b"DOWNGRD\x01");
        }
    }
}

#[test]
fn a_heartbeat_is_not_answered() {
    let server = server();
    for implicit in BOTH {
        let mut stream = connect(&server, implicit);
        let hello = Hello::v12(&SUITES_12).with(15, vec![1]);
        stream.write_all(&hello.bytes()).unwrap();
        assert!(chosen(answer(&mut stream)).is_some());
        // It says that it is longer than it is (CVE-2014-0160).
        stream.write_all(&[0x18, 3, 3, 0, 3, 1, 0x40, 0]).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(
            rest.len() <= 7 && rest.first().is_none_or(|kind| *kind == 0x15),
            "{rest:x?}"
        );
    }
}

/// A client of TLS 1.2 that wants to shake hands anew is told no, and nobody else notices.
#[test]
fn renegotiation_is_refused() {
    if !installed("openssl") {
        return;
    }
    let mut server = server();
    let mut other = server.login();
    for implicit in BOTH {
        let address = match implicit {
            true => server.implicit,
            false => server.address,
        };
        let mut command = Command::new("openssl");
        command.args(["s_client", "-tls1_2", "-connect", &address.to_string()]);
        if !implicit {
            command.args(["-starttls", "ftp"]);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It ends by itself: it takes no for an error.
        let mut input = child.stdin.take().unwrap();
        // Behind the greeting, which openssl does not take while it shakes hands. With STARTTLS it came
        // before, and the last that openssl says is how it stands.
        let last = match implicit {
            true => "\n220 ",
            false => "Extended master secret: yes\n---\n",
        };
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut before = String::new();
        while !before.contains(last) {
            assert_ne!(lines.read_line(&mut before).unwrap(), 0, "{before}");
        }
        let begun = Instant::now();
        input.write_all(b"R\n").unwrap();
        lines.read_to_string(&mut before).unwrap();
        let output = child.wait_with_output().unwrap();
        // At once, and not with what the server says next: that the time to log in is over.
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            begun.elapsed()
        );
        drop(input);
        let said = before + &String::from_utf8_lossy(&output.stderr);
        for text in [
            "Secure Renegotiation IS supported",
            "RENEGOTIATING",
            "no renegotiation",
        ] {
            assert!(said.contains(text), "{text}: {said}");
        }
        for text in ["Compression: NONE", "Extended master secret: yes"] {
            assert!(said.contains(text), "{text}: {said}");
        }
    }
    other.send("NOOP").expect(200);
    assert!(server.is_running());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A ClientHello that is none ends with an alert, and hurts nobody.
#[test]
fn malformed_hellos_end_with_an_alert() {
    let mut server = server();
    let mut other = server.login();
    let good = Hello::v12(&SUITES_12);
    let message = good.message();
    let with_length = |length: u32| {
        let mut message = message.clone();
        message[1..4].copy_from_slice(&length.to_be_bytes()[1..]);
        message
    };
    let mut duplicate = good.clone();
    duplicate.extensions.push(good.extensions[0].clone());
    let mut wrong_lengths = good.bytes();
    let end = wrong_lengths.len();
    wrong_lengths[end - 3] = 0xff;
    let padded = |length: usize| good.clone().with(21, vec![0; length]).message();
    let long: Vec<u8> = padded(60_000)
        .chunks(16_000)
        .flat_map(|part| record(0x0301, part))
        .collect();
    let too_long = {
        let mut message = vec![1, 0xff, 0xff, 0xff];
        message.resize(80_000, 0);
        message
            .chunks(16_000)
            .flat_map(|part| record(0x0301, part))
            .collect::<Vec<u8>>()
    };
    let mut foreign = good.bytes();
    foreign[0] = 0x17;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no suites", Hello::v12(&[]).bytes()),
        (
            "the message says that it is longer",
            record(0x0301, &with_length(0x00ff_ffff)),
        ),
        (
            "the message says that it is shorter",
            record(0x0301, &with_length(20)),
        ),
        (
            "another message",
            record(0x0301, &[&[16], &message[1..]].concat()),
        ),
        ("an extension twice", duplicate.bytes()),
        ("an extension that is longer than all", wrong_lengths),
        (
            "a record that is too large",
            [&[0x16, 3, 1, 0xff, 0xff], &[0; 20_000][..]].concat(),
        ),
        ("an empty record", vec![0x16, 3, 1, 0, 0]),
        ("a message that is too large", too_long),
        ("data instead of a handshake", foreign),
        (
            "a name that is too long",
            good.clone().host(&[b'a'; 400]).bytes(),
        ),
        (
            "a name that is none",
            good.clone().host(b"\0\xff../..").bytes(),
        ),
        ("no groups", good.clone().groups(&[]).bytes()),
        ("no signatures", good.clone().schemes(&[]).bytes()),
        ("no record at all", vec![0x16, 9, 9, 0, 1, 1]),
    ];
    for implicit in BOTH {
        for (what, bytes) in &cases {
            let mut stream = connect(&server, implicit);
            let _ = stream.write_all(bytes);
            // Nothing more comes.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            match answer(&mut stream) {
                Answer::Alert(_) => {}
                // Names that are none may be passed over (RFC 6066 §3).
                Answer::Hello(_) if what.starts_with("a name") => {}
                // The alert may be lost where bytes are left that nobody reads.
                Answer::Closed if bytes.len() > 16_000 => {}
                other => panic!("{what}: {other:?}"),
            }
        }
        // Those that are just odd are served: in pieces, and as long as a message may be.
        let pieces: Vec<u8> = message
            .iter()
            .flat_map(|byte| record(0x0301, &[*byte]))
            .collect();
        for bytes in [pieces, long.clone()] {
            assert!(chosen(ask(&server, implicit, &bytes)).is_some());
        }
        // Cut at any place.
        let bytes = good.bytes();
        for end in (0..bytes.len()).step_by(7) {
            let mut stream = connect(&server, implicit);
            stream.write_all(&bytes[..end]).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(chosen(answer(&mut stream)).is_none());
        }
    }
    other.send("NOOP").expect(200);
    server.login().send("NOOP").expect(200);
    assert!(server.is_running());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
