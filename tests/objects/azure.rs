//! Azure Blob Storage: Azurite, its makers' own emulator.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
};

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::{
    Client, Setup, content, eicar, eventually, free_port,
    program::{clients, works},
};

/// The account that every Azurite has, and its key, which its documentation tells.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = concat!(
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/",
    "K1SZFPTOtr/KBHBeksoGMGw=="
);
const CONTAINER: &str = "container";

struct Azurite {
    directory: TempDir,
    process: Child,
    address: SocketAddr,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Azurite {
    /// None where it is not installed.
    fn start() -> Option<Self> {
        let program = clients().join("node_modules/.bin/azurite-blob");
        if !works("azurite-blob", Command::new(&program).arg("--version")) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = Command::new(program)
            .args(["--blobHost", "127.0.0.1", "--silent", "--disableTelemetry"])
            .args(["--blobPort", &address.port().to_string()])
            .arg("--location")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let engine = Self {
            directory,
            process,
            address,
        };
        eventually("the engine listens", || TcpStream::connect(address).is_ok());
        engine.make_container();
        Some(engine)
    }

    fn make_container(&self) {
        let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let path = format!("/{ACCOUNT}/{CONTAINER}");
        let version = "2021-08-06";
        // The verb, eleven headers that are not there, those of Azure's own, and the resource.
        let signed = format!(
            "PUT{}x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}{path}\nrestype:container",
            "\n".repeat(12)
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(KEY.as_bytes()).unwrap());
        let signature = BASE64.encode(hmac::sign(&key, signed.as_bytes()).as_ref());
        let request = format!(
            "PUT {path}?restype=container HTTP/1.1\r\nHost: {}\r\n\
             x-ms-date: {date}\r\nx-ms-version: {version}\r\n\
             Authorization: SharedKey {ACCOUNT}:{signature}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.address,
        );
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn setup(&self) -> Setup {
        let key = self.directory.path().join("key");
        fs::write(&key, KEY).unwrap();
        let endpoint = format!("\"http://{}/{ACCOUNT}\"", self.address);
        Setup::new()
            .set("storage.default.kind", "\"azure\"")
            .set("storage.default.bucket", &format!("{CONTAINER:?}"))
            .set("storage.default.prefix", "\"ftp\"")
            .set("storage.default.account", &format!("{ACCOUNT:?}"))
            .set("storage.default.endpoint", &endpoint)
            .set("storage.default.part-size", "\"5MiB\"")
            .set(
                "storage.default.credentials",
                &format!("{:?}", key.display().to_string()),
            )
    }
}

#[test]
fn files_and_directories() {
    let Some(engine) = Azurite::start() else {
        return;
    };
    let server = engine.setup().start();
    let mut client = server.login();
    assert_eq!(client.listing("NLST"), "");
    for (name, length) in [
        ("empty", 0),
        ("small", 1),
        ("one part", 5 << 20),
        ("three parts", 12_345_678),
        ("100% + ä #&=", 1000),
    ] {
        let bytes = content(length, 1);
        client.store(&format!("STOR {name}"), &bytes).expect(226);
        let size = client.send(&format!("SIZE {name}")).expect(213);
        assert_eq!(size.text().trim(), length.to_string());
        assert_eq!(client.retrieve(&format!("RETR {name}")), bytes, "{name}");
    }
    let bytes = content(12_345_678, 1);
    for offset in [1, 4 << 20, 12_345_677] {
        client.send(&format!("REST {offset}")).expect(350);
        assert_eq!(client.retrieve("RETR three parts"), bytes[offset..]);
    }
    client.store("STOR three parts", b"newer").expect(226);
    client.store("APPE three parts", b" and more").expect(226);
    assert_eq!(client.retrieve("RETR three parts"), b"newer and more");
    client.send("RNFR small").expect(350);
    client.send("RNTO other").expect(250);
    client.send("SIZE small").expect(550);
    client.send("DELE empty").expect(250);
    client.send("DELE empty").expect(550);
    client.send("MKD a").expect(257);
    client.send("MKD a/b").expect(257);
    client.store("STOR a/b/file", b"content").expect(226);
    client.send("RMD a/b").expect(550);
    client.send("RNFR a").expect(350);
    client.send("RNTO c").expect(250);
    client.send("CWD a").expect(550);
    assert_eq!(client.retrieve("RETR c/b/file"), b"content");
    client.send("DELE c/b/file").expect(250);
    assert_eq!(client.listing("NLST c"), "c/b\r\n");
    client.send("RMD c/b").expect(250);
    client.send("RMD c").expect(250);
    assert_eq!(
        client.listing("NLST"),
        "100% + ä #&=\r\none part\r\nother\r\nthree parts\r\n"
    );
}

/// Half of an upload is sent, and its connection is lost.
fn half(client: &mut Client, name: &str, bytes: &[u8]) {
    let mut data = client.begin(&format!("STOR {name}"));
    data.send(&bytes[..bytes.len() / 2]).unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
}

#[test]
fn uploads_are_whole_or_not_there() {
    let Some(engine) = Azurite::start() else {
        return;
    };
    let server = engine.setup().start();
    let mut client = server.login();
    for length in [0, 11 << 20] {
        let bad = [content(length, 2), eicar(), content(length, 3)].concat();
        let reply = client.store("STOR bad", &bad);
        reply.expect_one_of(&[550, 552, 553, 554]);
        client.send("SIZE bad").expect(550);
        assert_eq!(client.listing("NLST"), "");
    }
    let bytes = content(16 << 20, 4);
    half(&mut client, "file", &bytes);
    client.send("EPSV").expect(229);
    let told = client.send("SIZE file").expect(213);
    let offset: usize = told.text().trim().parse().unwrap();
    assert!(offset > 7 << 20 && offset <= 8 << 20, "{offset}");
    client.send(&format!("REST {offset}")).expect(350);
    client.store("STOR file", &bytes[offset..]).expect(226);
    assert_eq!(client.retrieve("RETR file"), bytes);
}
