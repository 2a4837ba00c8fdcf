//! HASH, OPTS HASH, and the older verbs.

use std::fs;

use aws_lc_rs::digest::{self, digest};
use md5::Digest as _;

use crate::support::{Server, content, tls::hex};

struct Expected {
    sha256: String,
    sha512: String,
    sha1: String,
    md5: String,
    crc32: String,
}

fn of(bytes: &[u8]) -> Expected {
    Expected {
        sha256: hex(digest(&digest::SHA256, bytes).as_ref()),
        sha512: hex(digest(&digest::SHA512, bytes).as_ref()),
        sha1: hex(digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref()),
        md5: hex(&md5::Md5::digest(bytes)),
        crc32: format!("{:08x}", crc32fast::hash(bytes)),
    }
}

#[test]
fn hash_in_every_algorithm() {
    let server = Server::start();
    let mut client = server.login();
    for length in [0, 1, 700_000] {
        let bytes = content(length, 11);
        fs::write(server.home().join("a file"), &bytes).unwrap();
        let expected = of(&bytes);
        for (algorithm, digest) in [
            ("SHA-256", &expected.sha256),
            ("SHA-512", &expected.sha512),
            ("SHA-1", &expected.sha1),
            ("MD5", &expected.md5),
            ("CRC32", &expected.crc32),
        ] {
            client
                .send(&format!("OPTS HASH {algorithm}"))
                .expect(200)
                .saying(algorithm);
            client.send("OPTS HASH").expect(200).saying(algorithm);
            let reply = client.send("HASH a file").expect(213);
            // draft-bryan-ftpext-hash: algorithm, range, digest, path.
            let words: Vec<&str> = reply.text().splitn(4, ' ').collect();
            assert_eq!(words[0], algorithm);
            // The last byte, not the first one behind it.
            assert_eq!(words[1], format!("0-{}", length.max(1) - 1));
            assert_eq!(&words[2].to_lowercase(), digest);
            assert!(words[3].ends_with("a file"), "{words:?}");
        }
    }
    client.send("OPTS HASH SHA-256").expect(200);
    client.send("FEAT").expect(211).saying("SHA-256*");
    fs::create_dir(server.home().join("directory")).unwrap();
    client.send("HASH directory").expect_one_of(&[550, 553]);
}

#[test]
fn the_older_verbs() {
    let server = Server::start();
    let mut client = server.login();
    let bytes = content(100_000, 12);
    fs::write(server.home().join("a file"), &bytes).unwrap();
    let expected = of(&bytes);
    for (verb, digest) in [
        ("XSHA256", &expected.sha256),
        ("XMD5", &expected.md5),
        ("XCRC", &expected.crc32),
    ] {
        for name in ["a file", "\"a file\""] {
            let reply = client
                .send(&format!("{verb} {name}"))
                .expect_one_of(&[213, 250]);
            assert!(reply.text().to_lowercase().contains(digest), "{reply:?}");
        }
    }
}

/// A digest tells as much as the content.
#[test]
fn hashing_takes_the_permission_to_download() {
    let server = crate::support::Setup::new()
        .user(
            "writer",
            "home = \"/alice\"\npermissions = [\"list\", \"upload\"]",
        )
        .start();
    fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login_as("writer", &crate::support::Tls::new());
    for verb in ["HASH", "XMD5", "XCRC", "XSHA256"] {
        client.send(&format!("{verb} file")).expect(550);
    }
    client.send("SIZE file").expect(213);
}
