//! The replies to HELP, FEAT and OPTS, and that they are true.

use super::{HostSetup, harness, required, tester::Tester};
use crate::{config::Config, ftp::path::VirtualPath, session::harness::Harness};

/// HELP and SITE HELP tell what is carried out, and nothing else.
#[tokio::test]
async fn regression_help_tells_only_what_is_there() {
    for active in [false, true] {
        let harness = harness(|config| {
            required(config);
            config.data.active = active;
        });
        let mut client = Tester::login(&harness).await;
        for prefix in ["", "SITE "] {
            let help = client.send(&format!("{prefix}HELP")).await.expect(214);
            let inner = help.lines.get(1..help.lines.len() - 1).unwrap_or_default();
            let verbs: Vec<&str> = inner
                .iter()
                .flat_map(|line| line.split_whitespace())
                .collect();
            assert!(verbs.len() > 3, "{help:?}");
            for verb in &verbs {
                let reply = client
                    .send(&format!("{prefix}HELP {verb}"))
                    .await
                    .expect(214);
                assert!(reply.text().contains(verb), "{reply:?}");
                // A data connection would be waited for.
                if !["EPSV", "PASV", "QUIT", "REIN"].contains(verb) {
                    let reply = client.send(&format!("{prefix}{verb}")).await;
                    assert!(![500, 502, 504].contains(&reply.code), "{verb}: {reply:?}");
                }
            }
            if prefix.is_empty() {
                for verb in ["PORT", "EPRT"] {
                    assert_eq!(verbs.contains(&verb), active, "{verb}");
                }
                assert!(!verbs.contains(&"CCC") && !verbs.contains(&"SMNT"));
            } else {
                let reply = client.send("SITE NONE").await.expect(504);
                assert!(
                    verbs.iter().all(|verb| reply.text().contains(verb)),
                    "{reply:?}"
                );
            }
        }
        client.send("HELP PORT").await.expect_one_of(match active {
            true => &[214],
            false => &[502],
        });
    }
}

#[tokio::test]
async fn whoami() {
    let hosts = |config: &Config| {
        let mut host = HostSetup::new("", config)?;
        host.accounts.get_mut("alice").unwrap().1.home = VirtualPath::root();
        let eve = host.add("eve", "secret")?;
        eve.home = VirtualPath::root();
        eve.groups = vec!["staff".into(), "backup".into()];
        Ok(vec![host])
    };
    let harness = Harness::with_hosts(|_| {}, hosts).unwrap();
    for (user, text) in [
        ("alice", "home \"/\", no groups"),
        ("eve", "User eve, home \"/\", groups: staff, backup"),
    ] {
        let mut client = Tester::login_as(&harness, user).await;
        client.send("SITE WHOAMI").await.expect(200).saying(text);
        client.send("site whoami").await.expect(200).saying(text);
    }
}

#[tokio::test]
async fn regression_blanks_around_words_do_not_matter() {
    let harness = harness(required);
    let mut client = Tester::secure(&harness).await;
    client.log_in("alice").await;
    for (command, code) in [
        ("PBSZ 0", 200),
        ("PROT P", 200),
        ("TYPE I", 200),
        ("TYPE A N", 200),
        ("MODE S", 200),
        ("STRU F", 200),
        ("REST 0", 350),
        ("ALLO 10 R 10", 202),
        ("EPSV 1", 229),
        ("EPSV", 229),
        ("PASV", 227),
        ("OPTS UTF8 ON", 200),
        ("OPTS HASH SHA-256", 200),
        ("OPTS MLST type;size;", 200),
        ("RANG 1 0", 350),
        ("SITE HELP CHMOD", 214),
        ("HELP RETR", 214),
        ("LANG en", 200),
        ("CLNT test", 200),
        ("STAT", 211),
        ("FEAT", 211),
        ("NOOP", 200),
        ("CDUP", 250),
    ] {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        for line in [
            format!("{verb} {rest} "),
            format!("{verb} {rest}\t"),
            format!("{verb}  {}  ", rest.replace(' ', "  ")),
            format!("{verb} {}", rest.replace(' ', " \t")),
        ] {
            client.send(&line).await.expect(code);
        }
    }
    // A path is as it is.
    std::fs::write(harness.home().join(" file "), "x").unwrap();
    client.send("SIZE  file ").await.expect(213);
    client.send("SIZE  file").await.expect(550);
    client.send("SITE  CHMOD  600  file ").await.expect(200);
    client.send("MFMT  20200101000000  file ").await.expect(213);
}

/// Each feature and a command that shows that it works.
const FEATURES: &[(&str, &str, &[u16])] = &[
    ("AUTH", "AUTH TLS", &[503, 534]),
    ("AVBL", "AVBL", &[213]),
    ("CCC", "CCC", &[533, 534]),
    ("CLNT", "CLNT test", &[200]),
    ("EPRT", "EPRT |9|x|1|", &[501, 522]),
    ("EPSV", "EPSV", &[229]),
    ("HASH", "HASH file", &[213]),
    ("HOST", "HOST x", &[503]),
    ("LANG", "LANG", &[200]),
    ("MDTM", "MDTM file", &[213]),
    ("MFF", "MFF modify=20200101000000; file", &[213]),
    ("MFMT", "MFMT 20200101000000 file", &[213]),
    ("MLST", "MLST file", &[250]),
    ("PASV", "PASV", &[227]),
    ("PBSZ", "PBSZ 0", &[200]),
    ("PROT", "PROT P", &[200]),
    ("RANG", "RANG 0 1", &[350]),
    ("REST", "REST 1", &[350]),
    ("SITE", "SITE HELP", &[200, 214]),
    ("SIZE", "SIZE file", &[213]),
    ("SPSV", "SPSV", &[227]),
    ("TVFS", "CWD /", &[250]),
    ("UTF8", "OPTS UTF8 ON", &[200]),
    ("XCRC", "XCRC file", &[250, 213]),
    ("XMD5", "XMD5 file", &[250, 213]),
    ("XSHA1", "XSHA1 file", &[250, 213]),
    ("XSHA256", "XSHA256 file", &[250, 213]),
    ("XSHA512", "XSHA512 file", &[250, 213]),
];

#[tokio::test]
async fn feat_lists_just_what_is_there() {
    let harness = harness(required);
    let mut client = Tester::login(&harness).await;
    std::fs::write(harness.home().join("file"), "content").unwrap();
    let reply = client.send("FEAT").await.expect(211);
    let (first, inner) = reply.lines.split_first().unwrap();
    let (last, inner) = inner.split_last().unwrap();
    assert!(first.starts_with("211-"), "{first}");
    assert_eq!(last, "211 End");
    let mut named = Vec::new();
    for line in inner {
        let feature = line
            .strip_prefix(' ')
            .unwrap_or_else(|| panic!("no blank: {line:?}"));
        assert!(
            !feature.starts_with(' ') && !feature.ends_with(' '),
            "{line:?}"
        );
        let name = feature.split(' ').next().unwrap().to_owned();
        let (_, command, replies) = FEATURES
            .iter()
            .find(|row| row.0 == name)
            .unwrap_or_else(|| panic!("what is {name}? Its row is missing"));
        client.send(command).await.expect_one_of(replies);
        named.push(name);
    }
    client.send("REST 0").await.expect(350);
    for name in [
        "AUTH", "AVBL", "CLNT", "EPSV", "HASH", "HOST", "MDTM", "MFMT", "MLST", "PBSZ", "PROT",
        "REST", "SIZE", "UTF8", "XCRC", "XMD5", "XSHA256",
    ] {
        assert!(
            named.iter().any(|found| found == name),
            "{name} is missing: {named:?}"
        );
    }
    assert!(inner.contains(&" REST STREAM".to_owned()), "{inner:?}");
    assert!(
        !named.iter().any(|name| name == "MLSD"),
        "MLSD has no line (RFC 3659 §7.8)"
    );
    let auth = inner.iter().find(|line| line.starts_with(" AUTH")).unwrap();
    assert!(auth.contains("TLS"), "{auth}");
    let hash = inner
        .iter()
        .find(|line| line.starts_with(" HASH "))
        .unwrap();
    for algorithm in ["SHA-256", "SHA-512", "SHA-1", "MD5", "CRC32"] {
        assert!(hash.contains(algorithm), "{hash}");
    }
    assert!(
        hash.contains("SHA-256*"),
        "the one in force has an asterisk: {hash}"
    );
}

#[tokio::test]
async fn opts_mlst_tells_and_changes_the_facts() {
    let harness = harness(required);
    let mut client = Tester::login(&harness).await;
    std::fs::write(harness.home().join("file"), "content").unwrap();
    let facts = async |client: &mut Tester| {
        let reply = client.send("FEAT").await.expect(211);
        reply
            .lines
            .iter()
            .find(|line| line.starts_with(" MLST "))
            .unwrap()
            .clone()
    };
    let before = facts(&mut client).await;
    for fact in ["type", "perm", "size", "unique", "modify", "UNIX.mode"] {
        let found = before
            .to_lowercase()
            .contains(&format!("{};", fact.to_lowercase()))
            || before
                .to_lowercase()
                .contains(&format!("{}*;", fact.to_lowercase()));
        assert!(found, "{fact}: {before}");
    }
    assert!(
        before.contains("*;"),
        "facts that are on have an asterisk: {before}"
    );
    let reply = client.send("OPTS MLST size;TYPE;nosuch;").await.expect(200);
    let told = reply.text().to_lowercase();
    assert!(told.starts_with("mlst opts "), "{told}");
    assert!(
        told.contains("type;") && told.contains("size;") && !told.contains("nosuch"),
        "{told}"
    );
    let reply = client.send("MLST file").await.expect(250);
    let entry = reply.lines[1].to_lowercase();
    assert!(
        entry.contains("size=7;") && entry.contains("type=file;"),
        "{entry}"
    );
    assert!(
        !entry.contains("modify=") && !entry.contains("perm="),
        "{entry}"
    );
    let after = facts(&mut client).await.to_lowercase();
    assert!(
        after.contains("size*;") && after.contains("modify;"),
        "{after}"
    );
    client
        .send("OPTS MLST")
        .await
        .expect(200)
        .saying("MLST OPTS");
    let reply = client.send("MLST file").await.expect(250);
    // RFC 3659 §7.2: a blank for the reply, and without facts the blank of the entry.
    assert_eq!(reply.lines[1], "  /file");
}

#[tokio::test]
async fn names_in_replies_are_quoted() {
    let harness = harness(required);
    let mut client = Tester::login(&harness).await;
    client
        .send("MKD a\"b")
        .await
        .expect(257)
        .saying("\"/a\"\"b\"");
    client.send("CWD a\"b").await.expect(250);
    let reply = client.send("PWD").await.expect(257);
    assert!(reply.text().starts_with("\"/a\"\"b\""), "{reply:?}");
    client
        .send("MKD größe")
        .await
        .expect(257)
        .saying("\"/a\"\"b/größe\"");
    client.send("CWD größe").await.expect(250);
    client
        .send("PWD")
        .await
        .expect(257)
        .saying("\"/a\"\"b/größe\"");
    client.send("CDUP").await.expect_one_of(&[200, 250]);
    client.send("RMD größe").await.expect(250);
    client.send("CWD").await.expect_one_of(&[250, 501]);
}

#[tokio::test]
async fn the_path_is_all_after_one_blank() {
    let harness = harness(required);
    let mut client = Tester::login(&harness).await;
    client
        .send("MKD  two blanks before")
        .await
        .expect(257)
        .saying("\"/ two blanks before\"");
    client
        .send("MKD one behind ")
        .await
        .expect(257)
        .saying("\"/one behind \"");
    client.send("MKD *").await.expect(257).saying("\"/*\"");
    let names: Vec<_> = std::fs::read_dir(harness.home())
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(names.len(), 3);
    client.send("RMD  two blanks before").await.expect(250);
    client.send("RMD one behind").await.expect(550);
    client.send("RMD one behind ").await.expect(250);
    client.send("RMD *").await.expect(250);
}
