//! curl.

use std::{fmt::Write, fs, process::Command, thread};

use tempfile::TempDir;

use crate::{
    TREE, expect, installed, make_tree, run, same,
    support::{Server, Setup, USER, Version, content, free_port, tls::VERSIONS},
};

struct Curl<'a> {
    server: &'a Server,
    version: Version,
    implicit: bool,
}

impl Curl<'_> {
    /// The command for one path on the server.
    fn at(&self, path: &str) -> Command {
        let (scheme, address) = if self.implicit {
            ("ftps", self.server.implicit)
        } else {
            ("ftp", self.server.address)
        };
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--disable",
            "--max-time",
            "60",
            "--ssl-reqd",
        ]);
        command.args(match self.version {
            Version::V12 => ["--tlsv1.2", "--tls-max", "1.2"],
            Version::V13 => ["--tlsv1.3", "--tls-max", "1.3"],
        });
        command.arg("--cacert").arg(self.server.certificate());
        command.arg("--user").arg(format!("{USER}:{USER}"));
        command.arg(format!("{scheme}://{address}/{}", encode(path)));
        command
    }
}

fn encode(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn everything(implicit: bool) {
    if !installed("curl") {
        return;
    }
    for version in VERSIONS {
        let server = Server::start();
        let curl = Curl {
            server: &server,
            version,
            implicit,
        };
        let home = server.home();
        let local = TempDir::new().unwrap();
        let file = local.path().join("file");
        let bytes = content(2_000_000, 1);
        fs::write(&file, &bytes).unwrap();

        // Up and down.
        expect(curl.at("file").arg("-T").arg(&file));
        assert!(fs::read(home.join("file")).unwrap() == bytes);
        let copy = local.path().join("copy");
        expect(curl.at("file").arg("-o").arg(&copy));
        assert!(fs::read(&copy).unwrap() == bytes);
        // Lists.
        let list = expect(&mut curl.at(""));
        assert!(
            list.contains(" 2000000 ") && list.contains("file"),
            "{list}"
        );
        assert_eq!(expect(curl.at("").arg("-l")).trim(), "file");
        let facts = expect(curl.at("").args(["-X", "MLSD"])).to_lowercase();
        assert!(facts.contains("size=2000000;"), "{facts}");
        let head = expect(curl.at("file").arg("--head"));
        assert!(head.contains("Content-Length: 2000000"), "{head}");
        // Resumes both ways.
        fs::write(&copy, &bytes[..700_000]).unwrap();
        expect(curl.at("file").args(["-C", "-", "-o"]).arg(&copy));
        assert!(fs::read(&copy).unwrap() == bytes);
        fs::write(home.join("half"), &bytes[..900_000]).unwrap();
        expect(curl.at("half").args(["-C", "-", "-T"]).arg(&file));
        assert!(fs::read(home.join("half")).unwrap() == bytes);
        let part = expect(
            curl.at("file")
                .args(["-r", "0-9", "-w", "%{size_download}"]),
        );
        assert!(part.ends_with("10"), "{part:?}");
        // Appends, renames, deletes.
        expect(curl.at("half").args(["--append", "-T"]).arg(&file));
        assert_eq!(fs::metadata(home.join("half")).unwrap().len(), 4_000_000);
        expect(
            curl.at("")
                .args(["-Q", "RNFR half", "-Q", "RNTO moved", "-Q", "DELE file"]),
        );
        assert!(home.join("moved").exists() && !home.join("half").exists());
        assert!(!home.join("file").exists());
        expect(curl.at("").args(["-Q", "DELE moved"]));
        // Wrong ways: what is not there, a wrong password.
        assert!(!run(&mut curl.at("none")).0);
        assert!(!run(curl.at("").args(["--user", "alice:wrong"])).0);
        assert!(!run(curl.at("").args(["--cacert", "/dev/null"])).0);
        // A tree, by each way to change directories.
        let tree = local.path().join("tree");
        make_tree(&tree);
        for method in ["multicwd", "singlecwd", "nocwd"] {
            let back = local.path().join(method);
            for (name, _) in TREE {
                let path = format!("tree/{name}");
                let mut up = curl.at(&path);
                up.args(["--ftp-method", method])
                    .arg("-T")
                    .arg(tree.join(name));
                // Only by going there does curl find out what is missing.
                if method == "multicwd" {
                    up.arg("--ftp-create-dirs");
                }
                expect(&mut up);
                fs::create_dir_all(back.join(name).parent().unwrap()).unwrap();
                let mut down = curl.at(&path);
                expect(
                    down.args(["--ftp-method", method])
                        .arg("-o")
                        .arg(back.join(name)),
                );
            }
            same(&tree, &home.join("tree"));
            same(&tree, &back);
        }
    }
}

#[test]
fn explicit() {
    everything(false);
}

#[test]
fn implicit() {
    everything(true);
}

#[test]
fn many_files_on_one_connection_where_resumption_is_required() {
    if !installed("curl") {
        return;
    }
    for version in VERSIONS {
        let server = crate::support::Setup::new()
            .set("tls.data-binding", "\"require\"")
            .start();
        let curl = Curl {
            server: &server,
            version,
            implicit: false,
        };
        for index in 0..10 {
            fs::write(server.home().join(format!("file{index}")), "content").unwrap();
        }
        let local = TempDir::new().unwrap();
        let output = local.path().join("file#1");
        let mut command = curl.at("file");
        // The address with its range stands last.
        let mut address = command.get_args().last().unwrap().to_owned();
        address.push("[0-9]");
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new("curl");
        command
            .args(&words[..words.len() - 1])
            .arg(address)
            .arg("-o")
            .arg(output);
        expect(&mut command);
        same(local.path(), &server.home());
    }
}

#[test]
fn without_epsv() {
    if !installed("curl") {
        return;
    }
    let server = Server::start();
    fs::write(server.home().join("file"), "content").unwrap();
    let curl = Curl {
        server: &server,
        version: Version::V13,
        implicit: false,
    };
    assert_eq!(expect(curl.at("file").arg("--disable-epsv")), "content");
}

/// Many at once share one port for data: each finds its session by what it resumes, in TLS 1.2 by a session's number,
/// as curl takes no tickets there.
#[test]
fn many_at_once_share_a_port() {
    if !installed("curl") {
        return;
    }
    let port = free_port();
    let server = Setup::new()
        .set("data.passive-ports", &format!("\"{port}\""))
        .set("tls.data-binding", "\"require\"")
        .start();
    for number in 0..20 {
        let bytes = content(100_000, number);
        fs::write(server.home().join(format!("{number}")), bytes).unwrap();
    }
    thread::scope(|scope| {
        for number in 0..20_u8 {
            let server = &server;
            scope.spawn(move || {
                let curl = Curl {
                    server,
                    version: VERSIONS[usize::from(number) % VERSIONS.len()],
                    implicit: number % 4 == 0,
                };
                let output = curl.at(&number.to_string()).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{number}: {said}");
                let expected = fs::read(server.home().join(format!("{number}"))).unwrap();
                assert!(output.stdout == expected, "{number}");
            });
        }
    });
}
