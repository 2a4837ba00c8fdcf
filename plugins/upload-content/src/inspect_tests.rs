use super::*;
use crate::samples::*;

#[test]
fn no_more_is_read_than_needed() {
    let settings = Settings::parse("{}").unwrap();
    let png = [b"\x89PNG\r\n\x1a\n\0".as_slice(), &[7; 100_000]].concat();
    let upload = fake("/x.png", &png, 5000);
    assert_eq!(inspect(&settings, "bob", &upload), Ok(Verdict::Accept));
    assert_eq!(upload.read.get(), 8192);
    let upload = fake("/x", b"", 5000);
    assert_eq!(inspect(&settings, "bob", &upload), Ok(Verdict::Accept));
    // Of an archive everything is, in pieces that cannot become too much.
    let zip = zip(&[deflated("a", &noise(300_000))]);
    let upload = fake("/x.zip", &zip, usize::MAX);
    assert_eq!(inspect(&settings, "bob", &upload), Ok(Verdict::Accept));
    assert_eq!(upload.read.get(), zip.len());
}

#[test]
fn quarantine_keeps_all_of_it() {
    let settings = Settings::parse(r#"{"action": "quarantine"}"#).unwrap();
    let upload = fake("/x", b"MZ\x90\0", 5000);
    let why = "Programs are not accepted (application/vnd.microsoft.portable-executable)";
    assert_eq!(
        inspect(&settings, "bob", &upload),
        Ok(Verdict::Quarantine(why.into()))
    );
    assert!(upload.drained.get());
}

#[test]
fn half_a_file_is_no_file() {
    let settings = Settings::parse(r#"{"form": "json"}"#).unwrap();
    let mut upload = fake("/x", b"{}", 5000);
    upload.breaks = true;
    let interrupted = Ok(Verdict::Reject("Interrupted".into()));
    assert_eq!(inspect(&settings, "bob", &upload), interrupted);
}

#[test]
fn by_type() {
    let settings = r#"{"allow": ["pdf", "image/*", "text/csv"], "deny": ["gif"]}"#;
    accepts(settings, "/x.pdf", b"%PDF-1.7 ...");
    accepts(settings, "/x.bin", b"\x89PNG\r\n\x1a\n\0");
    accepts(settings, "/x.csv", b"a,b");
    accepts(settings, "/x.csv", b"");
    rejects(
        settings,
        "/x.gif",
        b"GIF89a\0",
        "not of an accepted type (image/gif)",
    );
    rejects(settings, "/x.txt", b"a,b", "(text/plain)");
    rejects(settings, "/x.pdf", b"\0\x01", "(application/octet-stream)");
    rejects(settings, "/x.csv", b"MZ\x90\0", "Programs are not accepted");
    rejects(
        "{}",
        "/x.rar",
        b"Rar!\x1a\x07\x01\0",
        "cannot be looked into",
    );
    accepts(
        r#"{"archives": {"other-formats": "accept"}}"#,
        "/x.rar",
        b"Rar!\x1a\x07\x01\0",
    );
    rejects("{}", "/x.iso", &[0; 40_000], "cannot be looked into");
}

#[test]
fn by_form() {
    let settings = r#"{"rules": [
        {"paths": ["/orders/{user}/**"], "form": "csv", "csv": {"columns": 3}},
        {"paths": ["**/*.json"], "form": "json", "json": {"top-level": "object"}}
    ]}"#;
    accepts(settings, "/orders/bob/x", b"a,b,c\n1,2,3\n");
    rejects(
        settings,
        "/orders/bob/x",
        b"a,b,c\n1,2\n",
        "Record 2 has 2 fields, not 3",
    );
    rejects(
        settings,
        "/orders/bob/x.csv",
        b"PK\x03\x04",
        "The content is no text (application/zip)",
    );
    accepts(settings, "/orders/carol/x", b"a,b,c\n1,2\n");
    accepts(settings, "/x.json", b"{\"a\": 1}");
    rejects(
        settings,
        "/x.json",
        b"{\"a\": 1",
        "Line 1, column 8: it ends too early",
    );
    rejects(settings, "/x.json", b"", "it ends too early");
    rejects(settings, "/x.json", &gzip(b"{}"), "The content is no text");
    rejects(
        settings,
        "/x.json",
        b"#!/bin/sh",
        "Programs are not accepted",
    );
}

/// What looked at everything again with each record, entry or piece would take hours.
#[test]
fn nothing_is_quadratic() {
    let csv = b"a,\"b\",c\n".repeat(100_000);
    let json = [b"[".as_slice(), &b"{\"a\":[1]},".repeat(100_000), b"0]"].concat();
    let names = (0..40_000).map(|n| format!("d/{n}.txt"));
    let zipped: Vec<_> = names.map(|name| stored(&name, b"text")).collect();
    let tarred = |n: u32| tar_entry(format!("d/{n}").as_bytes(), b'0', b"text");
    let tarred: Vec<_> = (0..10_000).map(tarred).collect();
    let form =
        |form: &str| format!(r#"{{"form": "{form}", "archives": {{"max-entries": 50000}}}}"#);
    for (path, content, settings) in [
        ("csv", csv, form("csv")),
        ("json", json, form("json")),
        ("x.zip", zip(&zipped), form("any")),
        ("x.tgz", gzip(&tar(&tarred)), form("any")),
        (
            "y.zip",
            zip(&[deflated("a", &noise(1_000_000))]),
            form("any"),
        ),
    ] {
        let settings = Settings::parse(&settings).unwrap();
        for piece in [100, 100_000] {
            let start = std::time::Instant::now();
            let verdict = inspect(&settings, "bob", &fake(path, &content, piece)).unwrap();
            assert_eq!(verdict, Verdict::Accept, "{path}");
            let took = start.elapsed();
            assert!(took.as_secs() < 120, "{path} in {piece}: {took:?}");
        }
    }
}
