use super::*;
use crate::samples::{parts as parts_of, *};

const NONE: &str = "{}";

#[track_caller]
fn fine(all: &[Zipped]) {
    accepts(NONE, "/x.zip", &zip(all));
}

#[track_caller]
fn wrong(all: &[Zipped], why: &str) {
    rejects(NONE, "/x.zip", &zip(all), why);
}

#[test]
fn ordinary_ones() {
    fine(&[]);
    fine(&[stored("a", b"content")]);
    fine(&[stored("a", b""), deflated("b", b""), stored("d/", b"")]);
    fine(&[
        deflated("d/a.txt", b"text"),
        deflated("d/b", &noise(5000)),
        stored("ä", b"PK"),
    ]);
    for (signed, wide) in [(true, false), (true, true), (false, false), (false, true)] {
        let first = described("a", b"content of the first", signed, wide);
        let empty = described("c", b"", signed, wide);
        fine(&[first, deflated("b", b"second"), empty]);
    }
    let mut wide = deflated("a", b"content");
    wide.wide = true;
    fine(&[wide.clone(), stored("b", b"x")]);
    let parts = parts_of(&[wide]);
    let end = parts.end_64();
    let whole = [parts.entries, parts.directory, end].concat();
    accepts(NONE, "/x.zip", &whole);
    // A comment at its end.
    let parts = parts_of(&[stored("a", b"x")]);
    let end = parts.end(b"PK\x05\x06 is a comment");
    accepts(NONE, "/x", &[parts.entries, parts.directory, end].concat());
}

#[test]
fn dangerous_names() {
    for name in [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "C:\\x",
        "c:x",
        "a\\b",
        "a\0b",
        "",
        "\\\\host\\x",
    ] {
        wrong(&[stored("fine", b""), stored(name, b"x")], "n entry");
        rejects(NONE, "/x", &zip(&[stored(name, b"x")]), "n entry");
    }
    wrong(&[stored(&"a".repeat(5000), b"")], "too long");
    wrong(
        &[stored("a", b"1"), stored("a", b"2")],
        "a: Twice in the archive",
    );
    wrong(
        &[stored("d/a", b"1"), stored("./d//a", b"2")],
        "Twice in the archive",
    );
    wrong(
        &[stored("d", b"1"), stored("d/", b"")],
        "Twice in the archive",
    );
    let mut two = stored("a.txt", b"x");
    two.extra = [b"\x75\x70\x0a\0\x01\0\0\0\0".as_slice(), b"b.exe"].concat();
    wrong(&[two.clone()], "It has two names");
    two.extra = [b"\x75\x70\x0a\0\x01\0\0\0\0".as_slice(), b"a.txt"].concat();
    fine(&[two]);
}

#[test]
fn what_both_say_must_be_the_same() {
    let one = || deflated("a.txt", b"content");
    // Each number of the directory's, one off.
    let parts = parts_of(&[one(), stored("b", b"second")]);
    let end = parts.end(b"");
    for at in 0..parts.directory.len() {
        let mut directory = parts.directory.clone();
        directory[at] ^= 0x10;
        let whole = [parts.entries.as_slice(), &directory, &end].concat();
        // Versions, times, flags and attributes mean nothing here, or nothing in these bits.
        let place = if at < 51 { at } else { at - 51 };
        if matches!(place, 4..=9 | 12..=15 | 36..=41) {
            continue;
        }
        assert!(
            matches!(
                judge(NONE, "/x.zip", &whole),
                crate::inspect::Verdict::Reject(_)
            ),
            "{at}"
        );
    }
    // One that the directory does not have, and one that only the directory has.
    let with = parts_of(&[one(), stored("hidden.exe", b"x")]);
    let without = parts_of(&[one()]);
    let hidden = Parts {
        entries: with.entries.clone(),
        directory: without.directory.clone(),
        count: 1,
    };
    let whole = [
        hidden.entries.as_slice(),
        &hidden.directory,
        &hidden.end(b""),
    ]
    .concat();
    rejects(NONE, "/x.zip", &whole, DIFFERS);
    let only = Parts {
        entries: without.entries.clone(),
        directory: with.directory.clone(),
        count: 2,
    };
    let whole = [only.entries.as_slice(), &only.directory, &only.end(b"")].concat();
    rejects(NONE, "/x.zip", &whole, DIFFERS);
    // The same twice, to make up for the number.
    let twice = Parts {
        entries: with.entries,
        directory: [without.directory.as_slice(), &without.directory].concat(),
        count: 2,
    };
    let whole = [twice.entries.as_slice(), &twice.directory, &twice.end(b"")].concat();
    rejects(NONE, "/x.zip", &whole, DIFFERS);
}

#[test]
fn lengths_and_checksums_are_compared() {
    let wrong_local = |local| {
        let mut one = deflated("a", b"content");
        one.local = Some(local);
        one
    };
    let right = deflated("a", b"content");
    let why = "Another length or checksum";
    wrong(&[wrong_local((1, right.packed, 7))], why);
    wrong(&[wrong_local((right.crc, right.packed, 8))], why);
    wrong(&[wrong_local((right.crc, right.packed + 1, 7))], why);
    let mut one = stored("a", b"content");
    one.crc ^= 1;
    wrong(&[one], "Another checksum");
    let mut one = stored("a", b"content");
    one.length = 8;
    wrong(&[one], "Another length");
    let mut one = described("a", b"content", true, false);
    one.descriptor[5] ^= 1;
    wrong(&[one], why);
    let mut one = described("a", b"content", true, false);
    one.local = Some((right.crc, right.packed, 99));
    wrong(&[one], why);
}

#[test]
fn what_cannot_be_known() {
    // Its end is where its reader believes it to be.
    let mut one = stored("a", b"content");
    one.flags = 8;
    one.local = Some((0, 0, 0));
    one.descriptor = descriptor(&one, true, false);
    wrong(&[one.clone()], "Its length is not said before it");
    // A descriptor of nothing, behind which an entry hides that the directory does not know.
    let hidden = zip(&[stored("hidden.exe", b"MZ\0\0")]);
    one.data = [b"PK\x07\x08".as_slice(), &[0; 12], &hidden].concat();
    one.crc = crc(&one.data);
    (one.packed, one.length) = (one.data.len() as u64, one.data.len() as u64);
    assert!(matches!(
        judge("{\"deny\": []}", "/x.zip", &zip(&[one])),
        crate::inspect::Verdict::Reject(_)
    ));
    // Empty ones, as they are written into pipes.
    for name in ["empty", "d/"] {
        let mut one = stored(name, b"");
        one.flags = 8;
        one.descriptor = descriptor(&one, true, false);
        fine(&[one, stored("b", b"x")]);
    }
}

#[test]
fn encrypted_or_packed_otherwise() {
    let accept = r#"{"archives": {"encrypted": "accept", "other-formats": "accept"}}"#;
    let mut one = deflated("a", b"content");
    one.flags = 1;
    wrong(&[one.clone()], "a: Encrypted entries are not accepted");
    accepts(accept, "/x.zip", &zip(&[one.clone(), stored("b", b"x")]));
    rejects(
        accept,
        "/x.zip",
        &zip(&[one.clone(), stored("../b", b"x")]),
        "has ..",
    );
    one.flags = 9;
    one.descriptor = descriptor(&one, true, false);
    accepts(accept, "/x.zip", &zip(&[one.clone()]));
    one.local = Some((0, 0, 0));
    rejects(
        accept,
        "/x.zip",
        &zip(&[one]),
        "Its length is not said before it",
    );
    for method in [1, 6, 9, 12, 14, 93, 95, 98, 99] {
        let mut one = deflated("a", b"content");
        one.method = method;
        wrong(&[one.clone()], "cannot be looked into");
        accepts(accept, "/x.zip", &zip(&[one]));
    }
    for flag in [5, 6, 13] {
        let mut one = deflated("a", b"content");
        one.flags = 1 << flag;
        rejects(accept, "/x.zip", &zip(&[one]), "cannot be looked into");
    }
}

#[test]
fn links_and_devices() {
    for (mode, why) in [
        (0o120_777_u32, "A link"),
        (0o020_666, "Neither file nor directory"),
        (0o060_666, "Neither file nor directory"),
        (0o010_666, "Neither file nor directory"),
    ] {
        let mut one = stored("a", b"/etc/passwd");
        one.attributes = mode << 16;
        wrong(&[one], why);
    }
    let mut one = stored("a", b"x");
    one.attributes = 0o100_644 << 16;
    fine(&[one]);
    wrong(&[stored("d/", b"content")], "A directory with content");
}

#[test]
fn cut_anywhere() {
    let whole = zip(&[
        deflated("a", b"content"),
        described("b", b"more", true, false),
    ]);
    for length in 1..whole.len() {
        let verdict = judge(NONE, "/x.zip", &whole[..length]);
        assert!(
            matches!(verdict, crate::inspect::Verdict::Reject(_)),
            "{length}"
        );
    }
    rejects(
        NONE,
        "/x.zip",
        &[whole.as_slice(), b"x"].concat(),
        "follows the archive's end",
    );
    let twice = [whole.as_slice(), &whole].concat();
    rejects(NONE, "/x.zip", &twice, "follows the archive's end");
    rejects(
        NONE,
        "/x.zip",
        &[b"x", whole.as_slice()].concat(),
        "is not a ZIP archive",
    );
    rejects(
        NONE,
        "/x",
        &[b"PK\x07\x08", whole.as_slice()].concat(),
        "several parts",
    );
}

/// No byte that is changed makes it crash.
#[test]
fn any_byte_may_be_wrong() {
    let mut wide = deflated("a", b"content");
    wide.wide = true;
    let parts = parts_of(&[
        wide,
        described("b", &[7; 300], true, true),
        stored("c/d.zip", &zip(&[])),
    ]);
    let end = parts.end_64();
    let whole = [parts.entries, parts.directory, end].concat();
    accepts(NONE, "/x.zip", &whole);
    let settings = crate::settings::Settings::parse(NONE).unwrap();
    for at in 0..whole.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            crate::inspect::inspect(&settings, "bob", &fake("/x.zip", &bytes, 1000)).unwrap();
        }
    }
}

#[test]
fn bombs() {
    // Zeros, a thousand times as small.
    let zeros = vec![0; 30 << 20];
    wrong(
        &[deflated("a", &zeros)],
        "More than 200 times as much when unpacked",
    );
    // Behind much that is not packed the whole is no bomb; but it has an end.
    let limit = r#"{"archives": {"max-unpacked": "20MiB", "max-ratio": 100000}}"#;
    rejects(
        limit,
        "/x.zip",
        &zip(&[deflated("a", &zeros)]),
        "More than 20971520 bytes when unpacked",
    );
    // Many that are harmless each.
    let few: Vec<_> = (0..50)
        .map(|n| deflated(&n.to_string(), &zeros[..1 << 20]))
        .collect();
    wrong(&few, "More than 200 times as much");
    // In two layers, of which each is packed well.
    let inner = zip(&[deflated("inner", &zeros[..20 << 20])]);
    let outer: Vec<_> = (0..30)
        .map(|n| deflated(&format!("{n}.zip"), &inner))
        .collect();
    wrong(&outer, "0.zip: inner: More than 200 times as much");
    // By number.
    let many: Vec<_> = (0..11).map(|n| stored(&n.to_string(), b"")).collect();
    let ten = r#"{"archives": {"max-entries": 10}}"#;
    rejects(
        ten,
        "/x.zip",
        &zip(&many),
        "More than 10 entries in archives",
    );
    accepts(ten, "/x.zip", &zip(&many[..10]));
    let nested = [
        stored("a.zip", &zip(&many[..5])),
        stored("b.zip", &zip(&many[..5])),
    ];
    rejects(ten, "/x.zip", &zip(&nested), "b.zip: More than 10 entries");
    // By their names.
    let long = "a".repeat(4000);
    let many: Vec<_> = (0..2000)
        .map(|n| stored(&format!("{long}{n}"), b""))
        .collect();
    wrong(&many, "too long to be compared");
}

#[test]
fn within_each_other() {
    let mut archive = zip(&[stored("file", b"content")]);
    let mut limits = Vec::new();
    for depth in 1..=10 {
        limits.push((depth, archive.clone()));
        archive = zip(&[deflated(&format!("{depth}.zip"), &archive)]);
    }
    for (depth, archive) in limits {
        for limit in 0..=8 {
            let settings = format!(r#"{{"archives": {{"depth": {limit}}}}}"#);
            match depth <= limit {
                true => accepts(&settings, "/x.zip", &archive),
                false => rejects(&settings, "/x.zip", &archive, "rchives are not accepted"),
            }
        }
    }
    let hidden = zip(&[stored("a.zip", &zip(&[deflated("b.exe", b"MZ\x90\0")]))]);
    rejects(
        NONE,
        "/x.zip",
        &hidden,
        "a.zip: b.exe: Programs are not accepted",
    );
    accepts(r#"{"deny": []}"#, "/x.zip", &hidden);
    accepts(r#"{"archives": false}"#, "/x.zip", &hidden);
}

#[test]
fn what_entries_may_be() {
    let archive = |name: &str, content: &[u8]| zip(&[stored("d/", b""), deflated(name, content)]);
    let settings = r#"{"allow": ["zip"], "archives": {
        "allow": ["csv", "pdf"], "deny-extensions": ["tmp"], "deny-names": ["secret*"]}}"#;
    accepts(settings, "/x.zip", &archive("d/a.csv", b"a,b"));
    accepts(settings, "/x.zip", &archive("d/a.pdf", b"%PDF-1.7"));
    accepts(settings, "/x.zip", &archive("d/a.pdf", b""));
    rejects(
        settings,
        "/x.zip",
        &archive("d/a.csv", b"\0\x01"),
        "application/octet-stream",
    );
    rejects(
        settings,
        "/x.zip",
        &archive("d/a.txt", b"a,b"),
        "d/a.txt: The content is not of an accepted type",
    );
    rejects(
        settings,
        "/x.zip",
        &archive("d/a.TMP", b"a,b"),
        "This extension is not accepted",
    );
    rejects(
        settings,
        "/x.zip",
        &archive("d/Secret.csv", b"a,b"),
        "of this name",
    );
    rejects(settings, "/x.pdf", b"%PDF-1.7", "application/pdf");
    let only = r#"{"archives": {"allow-extensions": ["csv", ""]}}"#;
    accepts(only, "/x.zip", &archive("README", b"a"));
    rejects(
        only,
        "/x.zip",
        &archive("a.csv.exe", b"a"),
        "This extension",
    );
    rejects(
        NONE,
        "/x.zip",
        &archive("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04"),
        "cannot be looked into",
    );
    rejects(
        NONE,
        "/x.zip",
        &archive("a.zip", b"text"),
        "a.zip: The content is not a ZIP archive",
    );
}

#[test]
fn documents() {
    let docx = zip(&[
        stored("[Content_Types].xml", b"<?xml?>"),
        stored("word/document.xml", b"<?xml?>"),
    ]);
    accepts(r#"{"allow": ["docx"]}"#, "/x.docx", &docx);
    rejects(
        r#"{"allow": ["xlsx"]}"#,
        "/x.docx",
        &docx,
        "wordprocessingml",
    );
    rejects(
        r#"{"allow": ["docx"]}"#,
        "/x.docx",
        &zip(&[stored("a", b"x")]),
        "no document",
    );
    rejects(NONE, "/x.xlsx", &docx, "no document");
    let jar = zip(&[
        stored("META-INF/MANIFEST.MF", b"x"),
        stored("A.class", b"\xca\xfe\xba\xbe\0\0\0\x34"),
    ]);
    rejects(NONE, "/x.jar", &jar, "A.class: Programs are not accepted");
}
