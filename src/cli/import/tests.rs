use std::{fs, path::PathBuf};

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/import");

/// A source in which something is changed is read, or refused in order.
#[test]
fn no_source_ends_the_program() {
    let sources = [
        ("vsftpd", "vsftpd/vsftpd.conf", "vsftpd/virtual_users"),
        ("proftpd", "proftpd/proftpd.conf", "proftpd/ftpd.passwd"),
        (
            "pure-ftpd",
            "pure-ftpd/pure-ftpd.conf",
            "pure-ftpd/pureftpd.passwd",
        ),
        ("sftpgo", "sftpgo/sftpgo.json", "sftpgo/dump.json"),
        ("sftpgo", "sftpgo/sftpgo.yaml", "sftpgo/dump.json"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    const PIECES: [&[u8]; 12] = [
        b"\n",
        b"=",
        b":",
        b" ",
        b"\"",
        b"{",
        b"<",
        b">",
        b"\xff",
        b"99999999999999999999",
        b"-",
        b"/../",
    ];
    for (product, file, users) in sources {
        let name = file.replace('/', "-");
        for round in 0..150 {
            let mut paths: Vec<PathBuf> = Vec::new();
            for (source, changes) in [(file, round % 4), (users, (round + 1) % 3)] {
                let mut bytes = fs::read(format!("{FIXTURES}/{source}")).unwrap();
                for _ in 0..changes {
                    let at = random(bytes.len());
                    let end = (at + random(8)).min(bytes.len());
                    let piece = PIECES[random(PIECES.len())].to_vec();
                    bytes.splice(at..end, piece);
                }
                let name = PathBuf::from(source);
                let path = directory.path().join(name.file_name().unwrap());
                fs::write(&path, bytes).unwrap();
                paths.push(path);
            }
            let import = Import {
                product: Product::from_str(product, true).unwrap(),
                file: paths[0].clone(),
                users: paths[1..].to_vec(),
                out: directory.path().join(format!("{name}-{round}")),
            };
            // Either both files are there, or none is.
            let (_, made) = make(&import);
            let outcome = made.and_then(|made| write(&import.out, &made));
            let made = [CONFIG, USERS].map(|name| import.out.join(name).exists());
            assert_eq!(made, [outcome.is_ok(); 2], "{name} {round}: {outcome:?}");
        }
    }
}

/// The texts that are made of a configuration, with users beside it, and all that is told.
fn made(product: &str, config: &str, users: &str) -> (String, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let import = Import {
        product: Product::from_str(product, true).unwrap(),
        file: file("source.conf", config),
        users: vec![file("users", users)],
        out: directory.path().join("out"),
    };
    let (mut report, made) = make(&import);
    let made = made.unwrap();
    write(&import.out, &made).unwrap();
    (made.config, made.users, report.told())
}

const HASH: &str = "$1$nT8.EZkm$kT.UGfqNRvAt.n7RlSEMg.";

fn passwd(names: &[&str]) -> String {
    let line = |name: &&str| format!("{name}:{HASH}:1000:1000::/srv/ftp/{name}:/bin/sh\n");
    names.iter().map(line).collect()
}

/// A source, and the words that are in the configuration, in the users, and in what is told.
struct Case {
    product: &'static str,
    source: &'static str,
    config: &'static [&'static str],
    users: &'static [&'static str],
    told: &'static [&'static str],
}

#[test]
fn directives_have_the_meaning_that_they_had() {
    let users = passwd(&["ann", "bob"]);
    let nothing = Case {
        product: "",
        source: "",
        config: &[],
        users: &[],
        told: &[],
    };
    for case in [
        Case {
            product: "vsftpd",
            source: "chroot_local_user=YES\nchroot_list_enable=YES\nchroot_list_file=/etc/list\n",
            users: &["[ann]\n", "permissions = [\"read\"]"],
            told: &[
                "source.conf:1: chroot_local_user: not carried over",
                "source.conf:3",
            ],
            ..nothing
        },
        Case {
            product: "vsftpd",
            source: "write_enable=YES\ncmds_allowed=LIST,RETR,STOR\nlocal_umask=002\n",
            config: &[
                "file-mode = \"0664\" # source.conf:3",
                "directory-mode = \"0775\"",
            ],
            users: &["permissions = [\"list\", \"download\", \"upload\", \"overwrite\"]"],
            ..nothing
        },
        Case {
            product: "vsftpd",
            source: "userlist_enable=YES\nuserlist_deny=NO\nuserlist_file=/nowhere/at/all\n",
            told: &["everybody is kept out", "ann: disabled", "bob: disabled"],
            ..nothing
        },
        Case {
            product: "vsftpd",
            source: "ssl_enable=YES\nrequire_ssl_reuse=YES\nimplicit_ssl=YES\nlisten_port=990\n\
                     require_cert=YES\nca_certs_file=/etc/ca.pem\nstrict_ssl_read_eof=YES\n",
            config: &[
                "listen-implicit = [\"0.0.0.0:990\"]",
                "listen = []",
                "data-binding = \"require\"",
                "close-notify = \"require\"",
                "client-certificates = \"required\"",
                "client-authorities = \"/etc/ca.pem\"",
            ],
            ..nothing
        },
        Case {
            product: "vsftpd",
            source: "anonymous_enable=YES\nanon_root=/srv/pub\nwrite_enable=YES\nanon_upload_enable=YES\n",
            config: &[
                "required = false",
                "settings.anonymous = { home = \"/pub\", permissions = [\"list\", \"download\", \"upload\"] }",
            ],
            ..nothing
        },
        Case {
            product: "proftpd",
            source: "<Limit LOGIN>\nOrder allow,deny\nAllow from 10.0.0. 192.0.2.7\nDeny from all\n</Limit>\n",
            users: &["addresses = [\"10.0.0.0/24\", \"192.0.2.7\"]"],
            ..nothing
        },
        Case {
            product: "proftpd",
            source: "<Limit LOGIN>\nAllowUser ann\nDenyAll\n</Limit>\n",
            told: &["bob: disabled: source.conf:1 keeps it out"],
            ..nothing
        },
        Case {
            product: "proftpd",
            source: "<Limit LOGIN>\nAllowUser ann\nAllow from 10.0.0.0/8\nDenyAll\n</Limit>\n",
            users: &["addresses = [\"10.0.0.0/8\"]"],
            told: &[
                "bob: disabled",
                "source.conf:1: <Limit LOGIN>: users and addresses",
            ],
            ..nothing
        },
        Case {
            product: "proftpd",
            source: "DefaultRoot /srv/all\nTLSEngine on\nTLSProtocol TLSv1.3\nTLSRequired on\n",
            config: &[
                "root = \"/srv\"",
                "minimum-version = \"1.3\"",
                "data-binding = \"require\"",
            ],
            // AllowOverwrite is off unless it is said.
            users: &[
                "home = \"/all\"",
                "permissions = [\"list\", \"download\", \"upload\", \"delete\", ",
            ],
            ..nothing
        },
        Case {
            product: "proftpd",
            source: "<Directory ~/a>\n<Limit ALL>\nDenyAll\n</Limit>\n</Directory>\n\
                     <Directory ~/a/b>\n<Limit READ>\nAllowAll\n</Limit>\n</Directory>\n",
            // The deeper one comes first.
            config: &[
                "{ effect = \"allow\", operations = [\"download\"], paths = [\"/a/b\", \"/a/b/**\"] }, # source.conf:7\n    \
                 { effect = \"deny\", operations = [\"all\"], paths = [\"/a\", \"/a/**\"] }, # source.conf:2\n",
            ],
            ..nothing
        },
    ] {
        let (config, written, told) = made(case.product, case.source, &users);
        for (text, words) in [
            (&config, case.config),
            (&written, case.users),
            (&told, case.told),
        ] {
            for word in words {
                assert!(
                    text.contains(word),
                    "{}: no {word:?} in {text}",
                    case.source
                );
            }
        }
        assert!(
            !config.contains("required = false") || !config.contains("clear-users"),
            "{config}"
        );
    }
}

#[test]
fn homes_share_the_deepest_root_above_them() {
    for (homes, expected) in [
        (
            &["/srv/ftp/a", "/srv/ftp/b"][..],
            &["[storage.default]\nroot = \"/srv/ftp\""][..],
        ),
        (
            &["/srv/ftp/a", "/srv/ftp/a/below"],
            &["root = \"/srv/ftp\""],
        ),
        (&["/data"], &["root = \"/data\""]),
        (
            &["/home/a", "/home/b", "/srv/web/c"],
            &[
                "[storage.default]\nroot = \"/home\"",
                "[storage.srv-web]\nroot = \"/srv/web\"",
            ],
        ),
    ] {
        let lines = homes.iter().enumerate();
        let lines =
            lines.map(|(number, home)| format!("u{number}:{HASH}:1000:1000::{home}:/bin/sh\n"));
        let (config, users, _) = made("vsftpd", "", &lines.collect::<String>());
        for words in expected {
            assert!(
                config.contains(words),
                "{homes:?}: no {words:?} in {config}"
            );
        }
        let elsewhere = users.contains("home = \"/c\"\nstorage = \"srv-web\"");
        assert_eq!(elsewhere, homes.contains(&"/srv/web/c"), "{users}");
    }
    let (_, users, told) = made("vsftpd", "", &format!("u:{HASH}:1000:1000::/:/bin/sh\n"));
    assert!(users.contains("home = \"/u\""), "{users}");
    assert!(told.contains("the home of u: not carried over"), "{told}");
}
