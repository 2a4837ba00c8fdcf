use crate::samples::*;

const NONE: &str = "{}";

#[test]
fn ordinary_ones() {
    accepts(NONE, "/x.gz", &gzip(b""));
    accepts(NONE, "/x.csv.gz", &gzip(b"a,b"));
    accepts(NONE, "/x", &gzip(&noise(5000)));
    accepts(
        NONE,
        "/x.gz",
        &[gzip(b"one"), gzip(b""), gzip(&noise(300))].concat(),
    );
    let header = [
        b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03".as_slice(),
        b"\x03\0abc",
        b"name\0",
        b"comment\0",
        b"cc",
    ];
    accepts(NONE, "/x.gz", &gzip_with(&header.concat(), b"text"));
}

#[test]
fn what_is_in_it() {
    let limits = r#"{"archives": {"allow": ["csv"]}}"#;
    accepts(limits, "/x.csv.gz", &gzip(b"a,b"));
    rejects(
        limits,
        "/x.txt.gz",
        &gzip(b"a,b"),
        "x.txt: The content is not of an accepted type",
    );
    rejects(
        NONE,
        "/x.gz",
        &gzip(b"MZ\x90\0"),
        "x: Programs are not accepted",
    );
    // Also where it begins in another member.
    rejects(
        NONE,
        "/x.gz",
        &[gzip(b"M"), gzip(b"Z\x90\0")].concat(),
        "Programs are not accepted",
    );
    rejects(
        NONE,
        "/x.tgz",
        &gzip(b"text"),
        "x.tar: The content is not a tar archive",
    );
    let header = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03";
    let named = |name: &[u8]| gzip_with(&[header, name, b"\0"].concat(), b"x");
    rejects(
        NONE,
        "/x.gz",
        &named(b"../../x"),
        "The name of an entry has ..",
    );
    rejects(
        NONE,
        "/x.gz",
        &[gzip(b"x"), named(b"/etc/x")].concat(),
        "begins with /",
    );
    let deny = r#"{"archives": {"deny-extensions": ["exe"]}}"#;
    rejects(
        deny,
        "/x.gz",
        &named(b"x.exe"),
        "This extension is not accepted",
    );
    rejects(NONE, "/x.gz", &named(&[b'a'; 100_000]), "damaged");
}

#[test]
fn wrong_ones() {
    let whole = [gzip(b"first of them"), gzip(&noise(300))].concat();
    for length in 1..whole.len() {
        // Where a member ends the file may, too.
        if length != gzip(b"first of them").len() {
            let verdict = judge(NONE, "/x.gz", &whole[..length]);
            assert!(
                matches!(verdict, crate::inspect::Verdict::Reject(_)),
                "{length}"
            );
        }
    }
    for at in whole.len() - 8..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        rejects(NONE, "/x.gz", &bytes, "Another length or checksum");
    }
    rejects(
        NONE,
        "/x.gz",
        &[whole.as_slice(), b"more than ten bytes"].concat(),
        "follows the archive's end",
    );
    rejects(NONE, "/x.gz", b"\x1f\x8b\x07\0\0\0\0\0\0\x03", "damaged");
    rejects(
        NONE,
        "/x.gz",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x07\xff\xff\xff",
        "damaged",
    );
    let settings = crate::settings::Settings::parse(NONE).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        crate::inspect::inspect(&settings, "bob", &fake("/x.gz", &bytes, 100)).unwrap();
    }
}

#[test]
fn bombs() {
    let zeros = gzip(&vec![0; 30 << 20]);
    rejects(NONE, "/x.gz", &zeros, "More than 200 times as much");
    rejects(
        NONE,
        "/x.gz",
        &gzip(&gzip(&vec![0; 30 << 20])),
        "More than 200 times as much",
    );
    // Members are counted, also where they hold nothing.
    let many = gzip(b"").repeat(10_001);
    rejects(NONE, "/x.gz", &many, "More than 10000 entries");
    let deep = gzip(&gzip(&gzip(&gzip(b"x"))));
    rejects(
        NONE,
        "/x.gz",
        &deep,
        "Archives within archives are not accepted 4 deep, only 3",
    );
}
