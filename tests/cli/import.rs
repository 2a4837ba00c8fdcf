//! `import`: the configuration and the users of another server.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use tempfile::TempDir;

use crate::support::{Server, Setup, Tls, tls::Identity};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/import");

/// A source: the product, its configuration, and what the command line has besides.
struct Source {
    name: &'static str,
    product: &'static str,
    file: &'static str,
    users: &'static [&'static str],
}

const VSFTPD: Source = Source {
    name: "vsftpd",
    product: "vsftpd",
    file: "vsftpd/vsftpd.conf",
    users: &["vsftpd/virtual_users"],
};
const PROFTPD: Source = Source {
    name: "proftpd",
    product: "proftpd",
    file: "proftpd/proftpd.conf",
    users: &[],
};
const PURE_FTPD: Source = Source {
    name: "pure-ftpd",
    product: "pure-ftpd",
    file: "pure-ftpd/pure-ftpd.conf",
    users: &[],
};
const PURE_FTPD_OF_DEBIAN: Source = Source {
    name: "pure-ftpd-debian",
    product: "pure-ftpd",
    file: "pure-ftpd/conf",
    users: &["pure-ftpd/pureftpd.passwd"],
};
const SFTPGO: Source = Source {
    name: "sftpgo",
    product: "sftpgo",
    file: "sftpgo/sftpgo.json",
    users: &["sftpgo/dump.json"],
};
const SFTPGO_YAML: Source = Source {
    name: "sftpgo-yaml",
    product: "sftpgo",
    file: "sftpgo/sftpgo.yaml",
    users: &["sftpgo/dump.json"],
};

/// The sources in a directory of their own, and what was made of them.
struct Imported {
    directory: TempDir,
    status: i32,
    said: String,
}

impl Imported {
    fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.out().join(file)).unwrap()
    }

    /// A text without the name of the directory.
    fn plain(&self, text: &str) -> String {
        text.replace(self.directory.path().to_str().unwrap(), "@DIR@")
    }

    /// The server on the configuration and with the users that were made.
    fn start(&self) -> Server {
        let setup = self.setup();
        let (status, said) = setup.run(&["check"]);
        assert_eq!(status, 0, "{said}");
        setup.start()
    }

    fn setup(&self) -> Setup {
        let setup = Setup::new().tables(&self.read("config.toml"));
        fs::create_dir_all(setup.state()).unwrap();
        let users = self.out().join("var/users.toml");
        fs::copy(users, setup.state().join("users.toml")).unwrap();
        setup
    }
}

/// Copies a tree, with the place of its copy in it.
fn copy(from: &Path, to: &Path, place: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, place);
        } else {
            let text = fs::read_to_string(entry.path()).unwrap();
            fs::write(target, text.replace("@DIR@", place.to_str().unwrap())).unwrap();
        }
    }
}

fn run(directory: &Path, words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(words)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(said).unwrap(),
    )
}

fn import(source: &Source) -> Imported {
    let directory = tempfile::Builder::new()
        .prefix("portcullis-import-")
        .tempdir()
        .unwrap();
    let place = directory.path();
    copy(Path::new(FIXTURES), place, place);
    let identity = Identity::server("ftp.example.org");
    fs::write(place.join("certificate.pem"), &identity.certificate_pem).unwrap();
    fs::write(place.join("key.pem"), &identity.key_pem).unwrap();
    let bundle = [identity.certificate_pem, identity.key_pem].concat();
    fs::write(place.join("bundle.pem"), bundle).unwrap();
    for directory in ["ftp", "data", "pub"] {
        fs::create_dir_all(place.join("srv").join(directory)).unwrap();
    }
    let mut words = vec!["import", source.product];
    let file = place.join(source.file).display().to_string();
    words.push(&file);
    let users: Vec<String> = source
        .users
        .iter()
        .map(|file| place.join(file).display().to_string())
        .collect();
    for file in &users {
        words.extend(["--users", file]);
    }
    words.extend(["--out", "out"]);
    let (status, said) = run(place, &words);
    Imported {
        directory,
        status,
        said,
    }
}

/// All that is written and said, as it is kept beside the sources.
#[track_caller]
fn is_as_kept(source: &Source) -> Imported {
    let imported = import(source);
    assert_eq!(imported.status, 0, "{}", imported.said);
    let users = imported.read("var/users.toml");
    let (head, users) = users.split_once("\n[").unwrap();
    assert!(head.lines().all(|line| line.starts_with('#')), "{head}");
    // A password that was in the clear has another salt each time.
    let salted = Regex::new(r"\$argon2id\$v=19\$m=19456,[^\x22]*").unwrap();
    let users = salted.replace_all(users, "@HASHED@").into_owned();
    for (extension, text) in [
        ("toml", imported.read("config.toml")),
        ("users.toml", format!("[{users}")),
        ("txt", imported.said.clone()),
    ] {
        let kept = format!("{FIXTURES}/expected/{}.{extension}", source.name);
        let kept = fs::read_to_string(&kept).unwrap_or_else(|error| panic!("{kept}: {error}"));
        let found = imported.plain(&text);
        assert_eq!(found, kept, "{}.{extension}:\n{found}", source.name);
    }
    let mode = |file: &str| {
        let metadata = fs::metadata(imported.out().join(file)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("var/users.toml"), mode("var")), (0o600, 0o700));
    imported
}

#[track_caller]
fn may_log_in(server: &Server, user: &str, password: &str, may: bool) {
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {user}")).expect(331);
    let reply = client.send(&format!("PASS {password}"));
    assert_eq!(reply.code == 230, may, "{user}: {reply:?}");
}

#[test]
fn vsftpd_goes_on_with_its_users() {
    let imported = is_as_kept(&VSFTPD);
    let server = imported.start();
    for (user, password, may) in [
        ("alice", "geheim", true),
        ("alice", "Geheim", false),
        ("bob", "geheim", true),
        ("carol", "geheim", true),
        // DES, SHA-1, and a user whom userlist_file keeps out.
        ("dave", "geheim", false),
        ("eve", "geheim", false),
        ("mallory", "geheim", false),
    ] {
        may_log_in(&server, user, password, may);
    }
    // bob may only read, in the directory that his own file names.
    let mut bob = server.secure(&Tls::new());
    bob.send("USER bob").expect(331);
    bob.send("PASS geheim").expect(230);
    bob.send("MKD new").expect(550);
    assert!(imported.directory.path().join("srv/shared").is_dir());
    let mut guest = server.secure(&Tls::new());
    guest.send("USER anonymous").expect(331);
    guest.send("PASS me@example.org").expect(230);
    guest.send("MKD new").expect(550);
}

#[test]
fn proftpd_goes_on_with_its_users() {
    let imported = is_as_kept(&PROFTPD);
    let server = imported.start();
    for (user, password, may) in [
        ("alice", "geheim", true),
        ("bob", "geheim", true),
        // No shell, and a DenyUser.
        ("carol", "geheim", false),
        ("mallory", "geheim", false),
    ] {
        may_log_in(&server, user, password, may);
    }
    let mut bob = server.secure(&Tls::new());
    bob.send("USER bob").expect(331);
    bob.send("PASS geheim").expect(230);
    bob.send("MKD new").expect(257);
    bob.send("RMD new").expect(550);
    bob.send("MKD ready.exe").expect(550);
}

#[test]
fn pure_ftpd_goes_on_with_its_users() {
    let imported = is_as_kept(&PURE_FTPD);
    let server = imported.start();
    for (user, password, may) in [
        // Argon2 as pure-pw makes it, and scrypt as libsodium does.
        ("joe", "geheim", true),
        ("joe", "Geheim", false),
        ("sue", "geheim", true),
        // From nowhere that is known, and DES.
        ("ann", "geheim", false),
        ("old", "geheim", false),
    ] {
        may_log_in(&server, user, password, may);
    }
    let mut sue = server.secure(&Tls::new());
    sue.send("USER sue").expect(331);
    sue.send("PASS geheim").expect(230);
    sue.send("MKD .hidden").expect(550);
    sue.send("MKD seen").expect(257);
}

#[test]
fn sftpgo_goes_on_with_its_users() {
    let imported = is_as_kept(&SFTPGO);
    assert!(!imported.read("var/users.toml").contains("in the clear"));
    let server = imported.start();
    for (user, password, may) in [
        ("alice", "password", true),
        ("carol", "in the clear", true),
        // Disabled, without local files, and without FTP.
        ("bob", "geheim", false),
        ("cloud", "geheim", false),
        ("web", "geheim", false),
    ] {
        may_log_in(&server, user, password, may);
    }
    // Rights by directory.
    let mut alice = server.secure(&Tls::new());
    alice.send("USER alice").expect(331);
    alice.send("PASS password").expect(230);
    alice.send("MKD new").expect(550);
    let home = imported.directory.path().join("srv/data/alice");
    fs::create_dir_all(home.join("in/{done}")).unwrap();
    alice.send("MKD /in/new").expect(257);
    alice.send("MKD /in/{done}/new").expect(550);
}

#[test]
fn other_forms_of_sources_pass_the_check_too() {
    for source in [&PURE_FTPD_OF_DEBIAN, &SFTPGO_YAML] {
        let imported = is_as_kept(source);
        let (status, said) = imported.setup().run(&["check"]);
        assert_eq!(status, 0, "{}: {said}", source.name);
    }
}

#[test]
fn tables_of_the_system_and_passwords_in_the_clear_do_for_vsftpd() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("vsftpd.conf", "local_enable=YES\nwrite_enable=YES\n");
    write(
        "passwd",
        "root:x:0:0::/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n",
    );
    write(
        "shadow",
        "root:*:19000:0:99999:7:::\nann:$1$nT8.EZkm$kT.UGfqNRvAt.n7RlSEMg.:19000:0:99999:7::20820:\n",
    );
    write("pairs", "bob\nsecret: with a colon\n");
    let words = [
        "import",
        "vsftpd",
        "vsftpd.conf",
        "--users",
        "passwd",
        "--users",
        "shadow",
        "--users",
        "pairs",
    ];
    let (status, said) = run(directory.path(), &words);
    assert_eq!(status, 0, "{said}");
    let users = fs::read_to_string(directory.path().join("var/users.toml")).unwrap();
    let (_, users) = users.split_once("\n[").unwrap();
    for words in [
        "ann]\npassword = \"$1$nT8.EZkm$kT.UGfqNRvAt.n7RlSEMg.\"\nhome = \"/ann\"\nexpires = \"2027-01-01\"\n",
        "[bob]\npassword = \"$argon2id$",
    ] {
        assert!(users.contains(words), "{users}");
    }
    assert!(
        !users.contains("root") && !users.contains("secret"),
        "{users}"
    );
    assert!(said.contains("shadow:1: root: not needed"), "{said}");
    assert!(
        said.contains("pairs:1: bob: the password was in the clear"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}

/// Nothing that is there is overwritten, and nothing half is left.
#[test]
fn files_that_are_there_stay() {
    for taken in ["config.toml", "var/users.toml"] {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        fs::write(place.join("vsftpd.conf"), "local_enable=YES\n").unwrap();
        fs::create_dir(place.join("var")).unwrap();
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(place.join(taken)).unwrap();
        let (status, said) = run(place, &["import", "vsftpd", "vsftpd.conf"]);
        assert_eq!(status, 1, "{said}");
        assert!(
            said.contains(taken) && said.contains("not overwritten"),
            "{said}"
        );
        assert_eq!(fs::read(place.join(taken)).unwrap(), b"");
        let others = ["config.toml", "var/users.toml"]
            .iter()
            .filter(|file| **file != taken);
        for other in others {
            assert!(!place.join(other).exists(), "{other}");
        }
    }
}

/// A value that is none is an error with its place, and then nothing is written.
#[test]
fn wrong_sources_are_named_by_file_and_line() {
    for (product, file, text, words) in [
        (
            "vsftpd",
            "a.conf",
            "# a\nlisten\n",
            &["a.conf:2", "OPTION=VALUE"][..],
        ),
        (
            "vsftpd",
            "a.conf",
            "max_clients=many\n",
            &["a.conf:1: max_clients", "a number", "\"many\""],
        ),
        (
            "vsftpd",
            "a.conf",
            "ssl_enable=maybe\n",
            &["a.conf:1: ssl_enable", "yes or no"],
        ),
        (
            "vsftpd",
            "a.conf",
            "listen_port=70000\n",
            &["a.conf:1", "a port", "70000"],
        ),
        (
            "vsftpd",
            "a.conf",
            "pasv_min_port=9\npasv_max_port=3\n",
            &["a.conf:1", "a range of ports"],
        ),
        (
            "vsftpd",
            "a.conf",
            "local_umask=99\nwrite_enable=YES\nlocal_umask=0x\n",
            &["a.conf:3", "a mode"],
        ),
        (
            "proftpd",
            "a.conf",
            "<Global>\nPort 21\n",
            &["a.conf:1", "not closed"],
        ),
        (
            "proftpd",
            "a.conf",
            "</Global>\n",
            &["a.conf:1", "did not begin"],
        ),
        (
            "proftpd",
            "a.conf",
            "ServerName \"x\n",
            &["a.conf:1", "quotation mark"],
        ),
        (
            "proftpd",
            "a.conf",
            "\nInclude a.conf\nInclude a.conf\n",
            &["a.conf:2", "includes itself"],
        ),
        (
            "proftpd",
            "a.conf",
            "MaxClients -1\n",
            &["a.conf:1: MaxClients", "a number", "\"-1\""],
        ),
        (
            "proftpd",
            "a.conf",
            "TransferRate RETR fast\n",
            &["a.conf:1: TransferRate", "\"fast\""],
        ),
        (
            "pure-ftpd",
            "a.conf",
            "Include a.conf\nInclude a.conf\n",
            &["a.conf:1", "includes itself"],
        ),
        (
            "pure-ftpd",
            "a.conf",
            "TLS 7\n",
            &["a.conf:1: TLS", "0, 1, 2 or 3"],
        ),
        (
            "pure-ftpd",
            "a.conf",
            "Umask 9:9\n",
            &["a.conf:1: Umask", "octal"],
        ),
        (
            "sftpgo",
            "a.json",
            "{\n\"common\": }",
            &["a.json:2", "no JSON"],
        ),
        (
            "sftpgo",
            "a.yaml",
            "common: &a [*a]\n",
            &["a.yaml:1", "aliases"],
        ),
        ("sftpgo", "a.json", "[]", &["a.json:1", "a table"]),
        (
            "sftpgo",
            "a.json",
            "{\"users\": [\n{\"username\": \"a/b\"}]}",
            &["a.json:2", "slash"],
        ),
        (
            "sftpgo",
            "a.json",
            "{\"users\": [{\n\"username\": \"a\", \"quota_size\": -5}]}",
            &["a.json:2: users.a.quota_size", "-5"],
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(file), text).unwrap();
        let (status, said) = run(directory.path(), &["import", product, file, "--out", "out"]);
        assert_eq!(status, 2, "{text:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{text:?}: no {word:?} in {said}");
        }
        assert!(said.contains("nothing was written"), "{said}");
        assert!(!directory.path().join("out").exists());
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.conf"), b"\nx=\xff\n").unwrap();
    let (status, said) = run(directory.path(), &["import", "vsftpd", "a.conf"]);
    assert_eq!(
        (status, said.contains("a.conf:2: it is not UTF-8")),
        (2, true),
        "{said}"
    );
}
