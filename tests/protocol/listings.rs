//! LIST, NLST, MLSD, MLST and STAT with a path.

use std::{fs, time::Instant};

use crate::support::{Server, Setup};

fn with_files() -> Server {
    let server = Server::start();
    let home = server.home();
    fs::write(home.join("plain.txt"), "content").unwrap();
    fs::write(home.join("with blanks  in.txt"), "").unwrap();
    fs::write(home.join("größe ☃"), "x").unwrap();
    fs::write(home.join(".hidden"), "x").unwrap();
    fs::write(home.join("227 Entering Passive Mode (6,6,6,6,6,6)"), "x").unwrap();
    fs::write(home.join("line\r\nbreak"), "x").unwrap();
    fs::create_dir(home.join("directory")).unwrap();
    fs::write(home.join("directory/inner"), "x").unwrap();
    server
}

#[test]
fn list_has_the_form_of_ls() {
    let server = with_files();
    let mut client = server.login();
    client.send("MFMT 20200229123456 plain.txt").expect(213);
    let text = client.listing("LIST");
    assert!(text.ends_with("\r\n") && !text.contains("\n\n"), "{text:?}");
    let plain = text
        .lines()
        .find(|line| line.ends_with(" plain.txt"))
        .expect("plain.txt");
    let words: Vec<&str> = plain.split_whitespace().collect();
    assert_eq!(words.len(), 9, "{plain}");
    assert!(
        words[0].starts_with("-rw") && words[0].len() == 10,
        "{plain}"
    );
    assert_eq!(words[4], "7", "{plain}");
    assert_eq!(&words[5..8], ["Feb", "29", "2020"], "{plain}");
    let directory = text
        .lines()
        .find(|line| line.ends_with(" directory"))
        .expect("directory");
    assert!(directory.starts_with('d'), "{directory}");
    assert!(text.contains(" with blanks  in.txt\r\n"), "{text}");
    assert!(text.contains(" größe ☃\r\n"), "{text}");
    assert!(!text.contains(".hidden"), "{text}");
    assert!(
        !text.contains("\nbreak"),
        "a name has ended a line: {text:?}"
    );
    for option in ["LIST -a", "LIST -la", "LIST -l -a", "LIST -al /"] {
        assert!(client.listing(option).contains(" .hidden\r\n"), "{option}");
    }
    assert!(client.listing("LIST -l").contains(" plain.txt\r\n"));
    assert!(client.listing("LIST directory").contains(" inner\r\n"));
    let one = client.listing("LIST plain.txt");
    assert!(
        one.lines().count() == 1 && one.contains("plain.txt"),
        "{one}"
    );
    let stream = client.open();
    let reply = client.send("LIST none");
    if reply.code < 200 {
        assert_eq!(client.protect(stream).receive(), b"");
        client.reply().expect_one_of(&[226, 450, 550]);
    } else {
        reply.expect_one_of(&[450, 550]);
    }
}

#[test]
fn nlst_has_names_alone() {
    let server = with_files();
    let mut client = server.login();
    let text = client.listing("NLST");
    let names: Vec<&str> = text.split_terminator("\r\n").collect();
    for name in ["plain.txt", "with blanks  in.txt", "größe ☃", "directory"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(
        !names.contains(&".hidden") && !names.contains(&"break"),
        "{names:?}"
    );
    // What NLST gives can be given to RETR.
    for name in client.listing("NLST directory").split_terminator("\r\n") {
        let name = if name.contains('/') {
            name.into()
        } else {
            format!("directory/{name}")
        };
        assert_eq!(client.retrieve(&format!("RETR {name}")), b"x");
    }
    fs::create_dir(server.home().join("empty")).unwrap();
    assert_eq!(client.listing("NLST empty"), "");
    assert_eq!(client.listing("LIST empty"), "");
}

#[test]
fn globs_are_simple_and_capped() {
    let server = with_files();
    let mut client = server.login();
    let text = client.listing("NLST *.txt");
    assert!(
        text.contains("plain.txt\r\n") && text.contains("with blanks  in.txt\r\n"),
        "{text}"
    );
    assert!(!text.contains("directory"), "{text}");
    assert!(client.listing("LIST p*.t?t").contains("plain.txt"));
    // CVE-2011-0418 and its like.
    let deep = server.home().join("a".repeat(200));
    fs::create_dir(&deep).unwrap();
    for index in 0..50 {
        fs::write(deep.join(format!("{}{index}", "a".repeat(100))), "").unwrap();
    }
    let begun = Instant::now();
    for pattern in [
        "{{{{{{{{*}}}}}}}}".to_owned(),
        "*/../*/../*/../*/../*/../*/../*/../*/../*".into(),
        "*/.*/*/.*/*/.*/*/.*".into(),
        format!("{}b", "a*".repeat(60)),
        format!("{}/{}b", "a*".repeat(60), "*a".repeat(60)),
        "*".repeat(1000),
        "[[[[[[[[".into(),
        "\\\\\\".into(),
    ] {
        let stream = client.open();
        let reply = client.send(&format!("LIST {pattern}"));
        if reply.code < 200 {
            client.protect(stream).receive();
            client.reply();
        }
    }
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    client.send("NOOP").expect(200);
}

fn facts(line: &str) -> (Vec<(String, String)>, String) {
    let (facts, name) = line.split_once(' ').expect("a blank before the name");
    let facts = facts
        .split_terminator(';')
        .map(|fact| {
            let (key, value) = fact.split_once('=').expect("fact=value");
            (key.to_lowercase(), value.to_owned())
        })
        .collect();
    (facts, name.into())
}

fn fact<'a>(facts: &'a [(String, String)], key: &str) -> &'a str {
    &facts
        .iter()
        .find(|fact| fact.0 == key)
        .unwrap_or_else(|| panic!("no {key}: {facts:?}"))
        .1
}

#[test]
fn mlsd_tells_facts() {
    let server = with_files();
    let mut client = server.login();
    client.send("MFMT 20200229123456 plain.txt").expect(213);
    let text = client.listing("MLSD");
    assert!(text.ends_with("\r\n"));
    let entries: Vec<_> = text.split_terminator("\r\n").map(facts).collect();
    let find = |name: &str| {
        &entries
            .iter()
            .find(|entry| entry.1 == name)
            .unwrap_or_else(|| panic!("{name}: {text}"))
            .0
    };
    let plain = find("plain.txt");
    assert_eq!(fact(plain, "type").to_lowercase(), "file");
    assert_eq!(fact(plain, "size"), "7");
    assert_eq!(fact(plain, "modify"), "20200229123456");
    for right in ["r", "a", "d", "f", "w"] {
        assert!(fact(plain, "perm").contains(right), "{right}: {plain:?}");
    }
    assert!(fact(plain, "unix.mode").ends_with("644"), "{plain:?}");
    let directory = find("directory");
    assert_eq!(fact(directory, "type").to_lowercase(), "dir");
    for right in ["e", "l", "c", "m", "p"] {
        assert!(
            fact(directory, "perm").contains(right),
            "{right}: {directory:?}"
        );
    }
    assert_ne!(fact(plain, "unique"), fact(directory, "unique"));
    find("with blanks  in.txt");
    find("größe ☃");
    let current = entries
        .iter()
        .find(|entry| fact(&entry.0, "type").eq_ignore_ascii_case("cdir"));
    assert!(current.is_some(), "cdir is missing: {text}");
    let below: Vec<_> = client
        .listing("MLSD directory")
        .split_terminator("\r\n")
        .map(facts)
        .collect();
    assert!(below.iter().any(|entry| entry.1 == "inner"));
    assert!(
        below
            .iter()
            .any(|entry| fact(&entry.0, "type").eq_ignore_ascii_case("pdir"))
    );
    for (path, code) in [("plain.txt", 501), ("none", 550), ("*", 550)] {
        let stream = client.open();
        client.send(&format!("MLSD {path}")).expect(code);
        drop(stream);
    }
    // RFC 3659 §7.2: it does not depend on TYPE.
    client.send("TYPE A").expect(200);
    assert_eq!(client.listing("MLSD").len(), text.len());
}

#[test]
fn mlst_tells_one_entry() {
    let server = with_files();
    let mut client = server.login();
    let reply = client.send("MLST plain.txt").expect(250);
    assert_eq!(reply.lines.len(), 3, "{reply:?}");
    assert!(reply.lines[0].starts_with("250-"), "{reply:?}");
    assert_eq!(reply.lines[2], "250 End");
    let entry = reply.lines[1]
        .strip_prefix(' ')
        .expect("one blank before the facts");
    let (found, name) = facts(entry);
    assert_eq!((fact(&found, "size"), name.as_str()), ("7", "/plain.txt"));
    let reply = client.send("MLST").expect(250);
    let (found, name) = facts(reply.lines[1].trim_start());
    assert_eq!(name, "/");
    assert!(
        ["dir", "cdir"].contains(&fact(&found, "type").to_lowercase().as_str()),
        "{found:?}"
    );
    client
        .send("MLST directory/inner")
        .expect(250)
        .saying("/directory/inner");
}

#[test]
fn stat_lists_over_the_control_connection() {
    let server = with_files();
    let mut client = server.login();
    let reply = client
        .send("STAT directory")
        .expect_one_of(&[211, 212, 213]);
    assert!(
        reply.lines.iter().any(|line| line.ends_with(" inner")),
        "{reply:?}"
    );
    let reply = client.send("STAT /").expect_one_of(&[211, 212, 213]);
    let first = &reply.lines[0];
    for line in &reply.lines[1..reply.lines.len() - 1] {
        assert!(line.starts_with(' '), "{line:?}");
    }
    assert!(first.ends_with(|c: char| !c.is_control()));
    client
        .send("STAT plain.txt")
        .expect_one_of(&[211, 212, 213])
        .saying("plain.txt");
    let reply = client.send("STAT").expect(211);
    assert!(reply.lines.len() > 1, "{reply:?}");
    client.send("NOOP").expect(200);
}

/// Text of a client's never begins a line.
#[test]
fn names_forge_no_replies() {
    let server = with_files();
    let mut client = server.login();
    let name = "227 Entering Passive Mode (6,6,6,6,6,6)";
    for command in [
        format!("MLST {name}"),
        format!("STAT {name}"),
        format!("MDTM {name}"),
        format!("HASH {name}"),
        format!("CWD {name}"),
        format!("MKD {name}"),
        name.to_owned(),
    ] {
        let reply = client.send(&command);
        for line in &reply.lines {
            assert!(
                !line.starts_with("227") && !line.starts_with("Entering"),
                "{line}"
            );
        }
    }
    client.send("NOOP").expect(200);
}

#[test]
fn a_large_directory() {
    let server = Setup::new().start();
    let directory = server.home().join("large");
    fs::create_dir(&directory).unwrap();
    for index in 0..5000 {
        fs::write(directory.join(format!("file-{index}")), "").unwrap();
    }
    let mut client = server.login();
    assert_eq!(client.listing("NLST large").lines().count(), 5000);
    assert_eq!(client.listing("LIST large").lines().count(), 5000);
    let files = client.listing("MLSD large");
    assert_eq!(
        files
            .lines()
            .filter(|line| line.to_lowercase().contains("type=file;"))
            .count(),
        5000
    );
}
