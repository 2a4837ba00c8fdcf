//! LIST, NLST, MLSD, MLST and STAT with a path.

use std::{fs, os::unix::fs::symlink, time::Instant};

use crate::support::{Client, Server, Setup};

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
    // The names of NLST can be given to RETR.
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

/// Files in directories, some of which are hidden or named like a pattern.
fn with_directories(setup: Setup) -> Server {
    let server = setup.start();
    for file in [
        "a/x.txt",
        "a/y.md",
        "a/.dot.txt",
        "b/x.txt",
        ".c/x.txt",
        "deep/one/x.txt",
        "deep/two/x.txt",
        "[ab]/z.txt",
        "top.txt",
    ] {
        let path = server.home().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "content").unwrap();
    }
    symlink("a", server.home().join("link")).unwrap();
    symlink("../..", server.home().join("out")).unwrap();
    symlink("deep", server.home().join("deep/circle")).unwrap();
    server
}

fn names(client: &mut Client, command: &str) -> Vec<String> {
    let text = client.listing(command);
    let mut names: Vec<String> = text.split_terminator("\r\n").map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn regression_every_component_can_be_a_pattern() {
    let server = with_directories(Setup::new());
    let mut client = server.login();
    for (pattern, expected) in [
        (
            "*/*.txt",
            &["[ab]/z.txt", "a/x.txt", "b/x.txt", "link/x.txt"][..],
        ),
        ("/*/*.md", &["/a/y.md", "/link/y.md"]),
        ("./?/x.txt", &["./a/x.txt", "./b/x.txt"]),
        (".*/*", &[".c/x.txt"]),
        ("*/.*", &["a/.dot.txt", "link/.dot.txt"]),
        ("d*/*/*.txt", &["deep/one/x.txt", "deep/two/x.txt"]),
        ("*/t?o/x.txt", &["deep/two/x.txt"]),
        ("deep/[!c]*/x*", &["deep/one/x.txt", "deep/two/x.txt"]),
        // A name that looks like a pattern comes before the pattern.
        ("[ab]/*.txt", &["[ab]/z.txt"]),
        ("*/../*.txt", &["top.txt"]),
        ("*/*.none", &[]),
        ("*/none/*", &[]),
        ("*/*/*/*/*", &[]),
    ] {
        let found = names(&mut client, &format!("NLST {pattern}"));
        assert_eq!(found, expected, "{pattern}");
        // RETR takes what NLST gives.
        for name in found {
            assert_eq!(client.retrieve(&format!("RETR {name}")), b"content");
        }
    }
    client.send("CWD deep").expect(250);
    assert_eq!(
        names(&mut client, "NLST ../*/y.*"),
        ["../a/y.md", "../link/y.md"]
    );
    client.send("CDUP").expect(250);
    let list = client.listing("LIST -l */*.md");
    assert!(
        list.contains(" a/y.md\r\n") && list.contains(" link/y.md\r\n"),
        "{list}"
    );
    let reply = client.send("STAT */*.md").expect_one_of(&[211, 212, 213]);
    assert!(
        reply.lines.iter().any(|line| line.ends_with(" a/y.md")),
        "{reply:?}"
    );
    for pattern in ["none/*", "top.txt/*", "out/*", "*/../../*"] {
        let stream = client.open();
        client.send(&format!("NLST {pattern}")).expect(550);
        drop(stream);
    }
    // RFC 3659 knows no wildcards.
    let stream = client.open();
    client.send("MLSD */*").expect(550);
    drop(stream);
    client.send("MLST */x.txt").expect(550);
}

#[test]
fn patterns_show_nothing_that_is_hidden() {
    let rules = r#"settings.rules = [
    { effect = "hide", paths = ["/b", "/b/**", "**/y.md"] },
    { effect = "deny", paths = ["/deep/one"], operations = ["list"] },
]"#;
    let setup = Setup::new()
        .users_plugin()
        .plugin("rules", "builtin:rules", rules);
    let server = with_directories(setup);
    let mut client = server.login();
    for (pattern, expected) in [
        ("*/*.txt", &["[ab]/z.txt", "a/x.txt", "link/x.txt"][..]),
        ("[ab]*/*", &["a/x.txt"]),
        ("*/*.md", &[]),
        ("deep/*/*", &["deep/two/x.txt"]),
        ("*", &["[ab]", "a", "deep", "link", "out", "top.txt"]),
    ] {
        let found: Vec<String> = names(&mut client, &format!("NLST {pattern}"))
            .into_iter()
            .filter(|name| !name.contains(".dot"))
            .collect();
        assert_eq!(found, expected, "{pattern}");
    }
}

#[test]
fn patterns_are_bounded_by_the_directories_they_lead_to() {
    let server = Server::start();
    for number in 0..1100 {
        fs::create_dir(server.home().join(number.to_string())).unwrap();
    }
    fs::write(server.home().join("7/file"), "").unwrap();
    let mut client = server.login();
    let mut data = client.begin("NLST */*");
    // It does not end as a whole listing does.
    assert!(std::io::Read::read_to_end(&mut data, &mut Vec::new()).is_err());
    client.reply().expect(451).saying("not complete");
    assert_eq!(names(&mut client, "NLST 7*/*"), ["7/file"]);
    assert_eq!(names(&mut client, "NLST *").len(), 1100);
}

#[test]
fn regression_stat_takes_options_as_list_does() {
    let server = with_files();
    fs::write(server.home().join("-l"), "x").unwrap();
    let mut client = server.login();
    let shows = |client: &mut Client, command: &str, name: &str| {
        let reply = client.send(command).expect_one_of(&[212, 213]);
        let name = format!(" {name}");
        reply.lines.iter().any(|line| line.ends_with(&name))
    };
    for command in [
        "STAT -l",
        "STAT -la",
        "STAT -a -l",
        "STAT -l .",
        "STAT -la  ",
    ] {
        assert!(shows(&mut client, command, "plain.txt"), "{command}");
        assert!(shows(&mut client, command, ".hidden"), "{command}");
    }
    for command in [
        "STAT -l directory",
        "STAT -la directory",
        "STAT -- directory",
    ] {
        assert!(shows(&mut client, command, "inner"), "{command}");
        assert!(!shows(&mut client, command, "plain.txt"), "{command}");
    }
    // A file that is called like an option.
    for command in ["STAT -- -l", "STAT ./-l"] {
        assert!(!shows(&mut client, command, "plain.txt"), "{command}");
    }
    for command in ["LIST -- -l", "LIST -l ./-l", "NLST -- -l", "NLST ./-l"] {
        let text = client.listing(command);
        assert!(
            text.ends_with("-l\r\n") && text.lines().count() == 1,
            "{command}: {text}"
        );
    }
    for command in ["STAT", "STAT ", "STAT   "] {
        client.send(command).expect(211).saying("logged in");
    }
    assert!(client.listing("LIST -la ").contains(" .hidden\r\n"));
    assert!(client.listing("NLST -1").contains("plain.txt\r\n"));
}

/// Links whose targets are gone, lead outside, or are the links themselves.
#[test]
fn regression_links_that_lead_nowhere_are_listed_as_links() {
    let server = Server::start();
    let outside = server.state().join("outside");
    fs::write(&outside, "secret").unwrap();
    fs::write(server.home().join("file"), "content").unwrap();
    fs::create_dir(server.home().join("directory")).unwrap();
    let mut client = server.login();
    for target in [
        "gone",
        "a",
        "../../outside",
        outside.to_str().unwrap(),
        "file/x",
    ] {
        symlink(target, server.home().join("a")).unwrap();
        let list = client.listing("LIST");
        let line = list
            .lines()
            .find(|line| line.ends_with(" a"))
            .expect(target);
        assert!(line.starts_with("lrwxrwxrwx"), "{line}");
        assert!(!list.contains("->") && !list.contains("outside"), "{list}");
        assert!(
            names(&mut client, "NLST").contains(&"a".to_owned()),
            "{target}"
        );
        let found = client.listing("MLSD");
        let entry = found
            .lines()
            .map(facts)
            .find(|entry| entry.1 == "a")
            .expect(target);
        assert_eq!(fact(&entry.0, "type"), "OS.unix=slink", "{target}");
        assert_eq!(fact(&entry.0, "perm"), "df");
        assert!(entry.0.iter().all(|fact| fact.0 != "size"));
        client
            .send("MLST a")
            .expect(250)
            .saying("type=OS.unix=slink;");
        for command in ["CWD a", "SIZE a", "MDTM a", "STAT a", "HASH a", "AVBL a"] {
            client
                .send(command)
                .expect(550)
                .saying("link that leads nowhere");
        }
        for command in ["RETR a", "LIST a", "NLST a", "MLSD a"] {
            let stream = client.open();
            client
                .send(command)
                .expect(550)
                .saying("link that leads nowhere");
            drop(stream);
        }
        client.send("RNFR a").expect(350);
        client.send("RNTO b").expect(250);
        client.send("DELE b").expect(250);
        client.send("DELE b").expect(550);
        assert_eq!(
            names(&mut client, "NLST"),
            ["directory", "file"],
            "{target}"
        );
    }
    assert_eq!(fs::read(&outside).unwrap(), b"secret");
    // One that leads somewhere is what it leads to; what is removed is the link.
    for (target, verb) in [
        ("file", "DELE"),
        ("directory", "DELE"),
        ("directory", "RMD"),
    ] {
        symlink(target, server.home().join("a")).unwrap();
        assert!(!client.listing("MLSD").contains("slink"));
        client.send(&format!("{verb} a")).expect(250);
        assert_eq!(names(&mut client, "NLST"), ["directory", "file"]);
    }
    symlink("file", server.home().join("a")).unwrap();
    client.send("RMD a").expect(550);
}

/// Names that no client can send do not stand in its way for ever.
#[test]
fn regression_odd_names_can_be_removed() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    for shown in [false, true] {
        let value = if shown { "\"escape\"" } else { "\"hide\"" };
        let server = Setup::new().set("storage.default.odd-names", value).start();
        let directory = server.home().join("directory");
        let odd = directory.join(OsStr::from_bytes(b"caf\xe9"));
        fs::create_dir_all(&odd).unwrap();
        fs::write(odd.join("two\nlines"), "content").unwrap();
        let mut client = server.login();
        let reply = client.send("RMD directory").expect(550);
        assert_eq!(
            reply.text().contains("cannot be shown"),
            !shown,
            "{reply:?}"
        );
        let list = names(&mut client, "NLST directory");
        if !shown {
            assert_eq!(list, [""; 0]);
            client.send("CWD directory/odd-name%caf%E9").expect(550);
            continue;
        }
        assert_eq!(list, ["directory/odd-name%caf%E9"]);
        client.send("CWD directory/odd-name%caf%E9").expect(250);
        assert!(
            client
                .listing("LIST")
                .ends_with(" odd-name%two%0Alines\r\n")
        );
        assert!(client.listing("MLSD").contains(" odd-name%two%0Alines\r\n"));
        assert_eq!(client.retrieve("RETR odd-name%two%0Alines"), b"content");
        let stream = client.open();
        client.send("STOR odd-name%x%0A").expect(553);
        drop(stream);
        client.send("RNFR odd-name%two%0Alines").expect(350);
        client.send("RNTO odd-name%two%0A").expect(553);
        client.send("RNFR odd-name%two%0Alines").expect(350);
        client.send("RNTO /plain").expect(250);
        client.send("CWD /").expect(250);
        client.send("RMD directory/odd-name%caf%E9").expect(250);
        client.send("RMD directory").expect(250);
        client.send("DELE plain").expect(250);
    }
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
fn fewer_facts_are_those_of_the_whole_listing() {
    let server = with_files();
    let home = server.home();
    symlink("directory", home.join("to directory")).unwrap();
    symlink("plain.txt", home.join("to file")).unwrap();
    symlink("nowhere", home.join("to nothing")).unwrap();
    let mut client = server.login();
    let whole = client.listing("MLSD");
    for wanted in ["", "type;", "type;perm;", "perm;", "type;size;"] {
        client.send(&format!("OPTS MLST {wanted}")).expect(200);
        let expected: String = whole
            .split_terminator("\r\n")
            .map(|line| {
                let (facts, name) = line.split_once(' ').unwrap();
                let facts = facts.split_inclusive(';').filter(|fact| {
                    let kind = fact.split('=').next().unwrap();
                    wanted.split(';').any(|one| one == kind)
                });
                format!("{} {name}\r\n", facts.collect::<String>())
            })
            .collect();
        assert_eq!(client.listing("MLSD"), expected, "{wanted}");
    }
    let names: Vec<_> = whole
        .split_terminator("\r\n")
        .map(|line| facts(line).1)
        .collect();
    let plain: Vec<_> = names.iter().filter(|name| !name.starts_with('.')).collect();
    let listed = client.listing("NLST");
    assert!(listed.split_terminator("\r\n").eq(plain));
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
