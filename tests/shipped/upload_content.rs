//! `upload-content`, with archives as other programs make them.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    installed,
    support::{Client, Server, Setup, content, eventually},
};

fn start(lines: &str) -> Server {
    Setup::new()
        .users_plugin()
        .plugin("content", "builtin:upload-content", lines)
        .start()
}

#[track_caller]
fn refused(server: &Server, client: &mut Client, name: &str, bytes: &[u8], why: &str) {
    client
        .store(&format!("STOR {name}"), bytes)
        .expect(550)
        .saying(why);
    assert!(!server.home().join(name).exists(), "{name} is there");
}

#[track_caller]
fn published(server: &Server, client: &mut Client, name: &str, bytes: &[u8]) {
    client.store(&format!("STOR {name}"), bytes).expect(226);
    assert!(
        fs::read(server.home().join(name)).unwrap() == bytes,
        "{name}"
    );
}

/// Runs a program in a directory, with a file to be made as its last argument: the file.
#[track_caller]
fn made(program: &str, arguments: &[&str], place: &Path) -> Vec<u8> {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(place)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{program} {arguments:?}");
    let file = place.join("made");
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(file).unwrap();
    bytes
}

/// The archive that Python's zipfile makes, to a file or, with lengths behind the data, to a pipe.
fn python(script: &str, place: &Path) -> Vec<u8> {
    let script = format!(
        "import io, zipfile\n\
         from zipfile import ZipFile, ZipInfo, ZIP_DEFLATED, ZIP_STORED, ZIP_BZIP2\n\
         class Pipe(io.RawIOBase):\n\
         \x20   def __init__(self): self.all = b''\n\
         \x20   def writable(self): return True\n\
         \x20   def write(self, some): self.all += bytes(some); return len(some)\n\
         {script}"
    );
    made("python3", &["-c", &script], place)
}

#[test]
fn types_without_any_settings() {
    let server = start("");
    let mut client = server.login();
    published(&server, &mut client, "empty", b"");
    published(&server, &mut client, "text.txt", b"MZ is a country");
    published(&server, &mut client, "any.bin", &content(600_000, 1));
    let why = "Programs are not accepted";
    refused(&server, &mut client, "x.txt", b"MZ\x90\0\x03\0\0\0", why);
    refused(&server, &mut client, "x.pdf", b"#!/bin/sh\n", why);
    refused(
        &server,
        &mut client,
        "x.zip",
        b"%PDF-1.7",
        "not a ZIP archive",
    );
    refused(
        &server,
        &mut client,
        "x.7z",
        b"7z\xbc\xaf\x27\x1c\0\x04",
        "cannot be looked into",
    );
}

#[test]
fn archives_as_python_makes_them() {
    if !installed("python3", "python3") {
        return;
    }
    let place = TempDir::new().unwrap();
    let server = start("");
    let mut client = server.login();
    let written = "with ZipFile('made', 'w', ZIP_DEFLATED) as z:\n";
    for (name, script) in [
        (
            "file.zip",
            "    z.writestr('d/a.txt', 'text' * 100)\n    z.writestr('ä.csv', 'a,b')\n    \
             z.writestr('stored', 'x', ZIP_STORED)\n    z.mkdir('e') if hasattr(z, 'mkdir') else 0\n",
        ),
        (
            "large.zip",
            "    with z.open('a', 'w', force_zip64=True) as f: f.write(b'x' * 100000)\n",
        ),
    ] {
        let zip = python(&format!("{written}{script}"), place.path());
        published(&server, &mut client, name, &zip);
    }
    let piped = python(
        "pipe = Pipe()\n\
         with ZipFile(pipe, 'w', ZIP_DEFLATED) as z:\n\
         \x20   z.writestr('a.txt', 'text' * 100)\n\
         \x20   z.writestr('empty', '')\n\
         \x20   z.writestr('b.txt', 'more')\n\
         open('made', 'wb').write(pipe.all)\n",
        place.path(),
    );
    published(&server, &mut client, "piped.zip", &piped);
    let cut = &piped[..piped.len() - 1];
    refused(&server, &mut client, "cut.zip", cut, "is not whole");

    for (name, script, why) in [
        (
            "up.zip",
            "z.writestr('../x', 'x')",
            "../x: The name of an entry has ..",
        ),
        ("root.zip", "z.writestr('/etc/x', 'x')", "begins with /"),
        (
            "program.zip",
            "z.writestr('a/b', b'MZ\\x90\\0')",
            "a/b: Programs are not accepted",
        ),
        (
            "twice.zip",
            "z.writestr('a', '1'); z.writestr('a', '2')",
            "a: Twice in the archive",
        ),
        (
            "bomb.zip",
            "z.writestr('a', bytes(60 << 20))",
            "More than 200 times as much",
        ),
        (
            "bzip.zip",
            "z.writestr('a', 'x', ZIP_BZIP2)",
            "cannot be looked into",
        ),
        (
            "link.zip",
            "i = ZipInfo('l'); i.create_system = 3; i.external_attr = 0o120777 << 16; \
             z.writestr(i, '/etc/passwd')",
            "l: A link",
        ),
        (
            "many.zip",
            "[z.writestr(str(n), '') for n in range(10001)]",
            "More than 10000 entries",
        ),
    ] {
        let zip = python(&format!("{written}    {script}\n"), place.path());
        refused(&server, &mut client, name, &zip, why);
        client.send(&format!("SIZE {name}")).expect(550);
        if name == "program.zip" {
            // Resumed, it is the same file.
            let mut data = client.begin("STOR half.zip");
            data.send(&zip[..30]).unwrap();
            data.cut();
            client.reply().expect_one_of(&[426, 451]);
            client.send("REST 30").expect(350);
            let reply = client.store("STOR half.zip", &zip[30..]);
            reply.expect(550).saying("Programs are not accepted");
        }
    }
}

#[test]
fn archives_as_tar_makes_them() {
    if !installed("tar", "tar") {
        return;
    }
    let place = TempDir::new().unwrap();
    let long = format!("d/{}", "long".repeat(40));
    fs::create_dir(place.path().join("d")).unwrap();
    fs::write(place.path().join(&long), content(100_000, 2)).unwrap();
    fs::write(place.path().join("d/a.txt"), "text").unwrap();
    std::os::unix::fs::symlink("a.txt", place.path().join("d/l")).unwrap();
    fs::hard_link(place.path().join("d/a.txt"), place.path().join("d/h")).unwrap();
    let server = start("");
    let mut client = server.login();
    for form in ["gnu", "pax", "ustar", "oldgnu"] {
        for (option, name) in [("-cf", "x.tar"), ("-czf", "x.tar.gz")] {
            let format = format!("--format={form}");
            let what: &[&str] = match form {
                // It has no names as long.
                "ustar" => &["d/a.txt", "d/h", "d/l"],
                _ => &["d"],
            };
            let arguments = [&[&format, option, "made"], what].concat();
            let tar = made("tar", &arguments, place.path());
            published(&server, &mut client, &format!("{form}-{name}"), &tar);
        }
    }
    std::os::unix::fs::symlink("/etc/passwd", place.path().join("d/out")).unwrap();
    let tar = made("tar", &["-czf", "made", "d"], place.path());
    refused(
        &server,
        &mut client,
        "out.tgz",
        &tar,
        "d/out: A link that leads outside",
    );
    let arguments = ["--transform=s,^d/a,../a,", "-Pcf", "made", "d/a.txt"];
    let tar = made("tar", &arguments, place.path());
    refused(&server, &mut client, "up.tar", &tar, "has ..");
    fs::write(place.path().join("program"), b"MZ\x90\0").unwrap();
    let tar = made("tar", &["-czf", "made", "program"], place.path());
    refused(
        &server,
        &mut client,
        "x.tgz",
        &tar,
        "program: Programs are not accepted",
    );
}

#[test]
fn the_form_that_a_rule_asks_for() {
    let rules = r#"
[[plugin.settings.rules]]
paths = ["/orders/**"]
form = "csv"
csv = { delimiter = ";", header = ["id", "amount", "text"] }
[[plugin.settings.rules]]
paths = ["**/*.json"]
form = "json"
json = { top-level = "array" }
action = "quarantine"
"#;
    let server = start(rules);
    let mut client = server.login();
    client.send("MKD orders").expect(257);
    let mut orders = String::from("id;amount;text\r\n");
    for number in 0..50_000 {
        orders += &format!("{number};1,50;\"a \"\"text\"\";\r\n\"\r\n");
    }
    published(&server, &mut client, "orders/good.csv", orders.as_bytes());
    let short = orders.replacen("\n42;1,50;", "\n42;", 1);
    let why = "Record 44 has 2 fields, not 3";
    refused(
        &server,
        &mut client,
        "orders/short.csv",
        short.as_bytes(),
        why,
    );
    let other = orders.replacen("amount", "price", 1);
    let why = "The header's field 2 is \"price\", not \"amount\"";
    refused(
        &server,
        &mut client,
        "orders/other.csv",
        other.as_bytes(),
        why,
    );
    refused(
        &server,
        &mut client,
        "orders/x.csv",
        b"PK\x03\x04\x14\0",
        "no text (application/zip)",
    );
    published(&server, &mut client, "elsewhere.csv", short.as_bytes());

    let good = format!("[{}0]", "{\"a\": [1, \"b\"]},\n".repeat(50_000));
    published(&server, &mut client, "good.json", good.as_bytes());
    let bad = good.replacen("},\n{\"a\": [1, \"b\"]},\n0]", "}\n{}]", 1);
    let why = "Line 50000, column 1: expected a comma or ]";
    refused(&server, &mut client, "bad.json", bad.as_bytes(), why);
    eventually("it is kept aside", || {
        server.files_with(bad.as_bytes()).len() == 1
    });
}

/// As much as a small machine has to manage, within the limits that a plugin has by default.
#[test]
fn large_archives_within_the_limits() {
    if !installed("python3", "python3") {
        return;
    }
    let place = TempDir::new().unwrap();
    let zip = python(
        "import os\n\
         line = b'12345;some text that is packed well;0.00\\n'\n\
         with ZipFile('made', 'w', ZIP_DEFLATED) as z:\n\
         \x20   for n in range(20): z.writestr(f'{n}.csv', b''.join(b'%d;' % i + line for i in range(100000)))\n\
         \x20   z.writestr('zeros', bytes(15 << 20))\n\
         \x20   z.writestr('noise', os.urandom(20 << 20), ZIP_STORED)\n\
         \x20   for n in range(5000): z.writestr(f'd/{n}', str(n))\n",
        place.path(),
    );
    let server = start("");
    let mut client = server.login();
    let start = Instant::now();
    published(&server, &mut client, "large.zip", &zip);
    // About 125 MiB when unpacked; a debug build takes a few seconds for its own part.
    let took = start.elapsed();
    eprintln!("{} bytes in {took:?}", zip.len());
    assert!(took < Duration::from_secs(60), "{took:?}");
}
