//! The facts that are told of a path are true: no client hears a size that a download then
//! contradicts.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::{
    broken, partial, setup,
    support::{
        Client, Server, Tls, USER, content, eventually,
        program::{expect, installed},
    },
};

/// Every command that tells a size, and what RETR and HASH say of it.
#[track_caller]
fn assert_told(client: &mut Client, name: &str, size: usize, part: Option<u64>) {
    let text = size.to_string();
    client
        .send(&format!("SIZE {name}"))
        .expect(213)
        .saying(&text);
    let facts = client.send(&format!("MLST {name}")).expect(250).lines;
    assert!(facts[1].contains(&format!("size={size};")), "{facts:?}");
    for command in ["MLSD", "LIST", &format!("LIST {name}")] {
        let listing = client.listing(command);
        let line = listing.lines().find(|line| line.contains(name)).unwrap();
        let mut words = line.split(|c: char| !c.is_ascii_digit());
        assert!(words.any(|word| word == text), "{command}: {line:?}");
    }
    assert_eq!(partial(client, name), part, "{name}");
    let stat = client.send(&format!("STAT {name}")).expect(213).lines;
    let told = part.map(|part| format!("A broken upload of {part} bytes waits"));
    let line = stat.iter().find(|line| line.contains("broken upload"));
    match told {
        Some(told) => assert!(line.unwrap().contains(&told), "{stat:?}"),
        None => assert!(line.is_none(), "{stat:?}"),
    }
}

#[test]
fn a_published_file_is_told_and_not_the_part_over_it() {
    let server = setup().start();
    let mut client = server.login();
    let (old, new) = (content(60_000, 1), content(90_000, 2));
    client.store("STOR file", &old).expect(226);
    let time = client.send("MDTM file").expect(213).text().to_owned();
    client.send("MFMT 20200102030405 file").expect(213);
    for length in [20_000, 60_000, 80_000_u64] {
        let begun = &new[..usize::try_from(length).unwrap()];
        broken(&mut client, "STOR file", begun).expect(426);
        assert_told(&mut client, "file", old.len(), Some(length));
        client
            .send("MDTM file")
            .expect(213)
            .saying("20200102030405");
        assert!(client.retrieve("RETR file") == old);
        // From an offset within it, that is so for the rest.
        client.send("REST 50000").expect(350);
        assert!(client.retrieve("RETR file") == old[50_000..]);
    }
    assert_ne!(time, "20200102030405");
    // A greater offset than there is, and an addition, say what to do; nothing is lost by them.
    client.send("REST 80001").expect(350);
    let stream = client.open();
    client.send("STOR file").expect(554).saying("80000");
    drop(stream);
    let stream = client.open();
    let reply = client.send("APPE file").expect(550);
    reply.saying("80000 bytes").saying("REST 80000 and STOR");
    drop(stream);
    assert_told(&mut client, "file", old.len(), Some(80_000));
    client.send("REST 80000").expect(350);
    client.store("STOR file", &new[80_000..]).expect(226);
    assert_told(&mut client, "file", new.len(), None);
    assert!(client.retrieve("RETR file") == new);
}

#[test]
fn where_nothing_is_published_the_part_is_told() {
    let server = setup().start();
    let mut client = server.login();
    broken(&mut client, "STOR file", &content(20_000, 1)).expect(426);
    assert_told(&mut client, "file", 20_000, Some(20_000));
    client.send("MDTM file").expect(213);
    client.send("RETR file").expect_one_of(&[425, 550]);
    client.send("HASH file").expect(550);
    client.send("MFMT 20200102030405 file").expect(550);
    client.send("TYPE A").expect(200);
    client.send("SIZE file").expect(550);
}

/// An account that may not download cannot be contradicted: it goes on where it was.
#[test]
fn who_may_not_download_is_told_the_part() {
    let server = setup()
        .user(
            "drop",
            "permissions = [\"list\", \"upload\", \"overwrite\", \"append\"]",
        )
        .start();
    fs::create_dir_all(server.home_of("drop")).unwrap();
    let mut client = server.login_as("drop", &Tls::new());
    let (old, new) = (content(60_000, 1), content(90_000, 2));
    client.store("STOR file", &old).expect(226);
    broken(&mut client, "STOR file", &new[..20_000]).expect(426);
    assert_told(&mut client, "file", 20_000, Some(20_000));
    client.send("RETR file").expect(550);
    // One still adds to what is published.
    let stream = client.open();
    client.send("APPE file").expect(550);
    drop(stream);
    client.send("REST 20000").expect(350);
    client.store("STOR file", &new[20_000..]).expect(226);
    assert!(fs::read(server.home_of("drop").join("file")).unwrap() == new);
}

/// The cases by which acknowledged files were lost.
#[test]
fn regression_an_old_attempt_does_not_come_back() {
    let server = setup().start();
    let (mut hung, mut client) = (server.login(), server.login());
    let (attempt, acknowledged) = (content(100_000, 1), content(300_000, 2));
    let mut data = hung.begin("STOR file");
    data.send(&attempt).unwrap();
    client.store("STOR file", &acknowledged).expect(226);
    data.cut();
    hung.reply().expect(426);
    assert_told(&mut client, "file", 300_000, None);
    assert_told(&mut hung, "file", 300_000, None);
    client.store("APPE file", b"tail").expect(226);
    let whole = [&acknowledged[..], b"tail"].concat();
    assert!(client.retrieve("RETR file") == whole);

    broken(&mut client, "STOR one", &attempt[..20_000]).expect(426);
    client
        .store("STOR two", &acknowledged[..90_000])
        .expect(226);
    client.send("RNFR two").expect(350);
    client.send("RNTO one").expect(250);
    assert_told(&mut client, "one", 90_000, None);
    client.store("APPE one", b"tail").expect(226);
    assert_told(&mut client, "one", 90_004, None);

    // Two sessions that add to one file: one of them is told that it came too late.
    let mut data = hung.begin("APPE one");
    data.send(b"late").unwrap();
    client.store("STOR one", b"acknowledged").expect(226);
    data.finish().unwrap();
    hung.reply().expect(450).saying("changed");
    assert_eq!(client.retrieve("RETR one"), b"acknowledged");
}

fn lftp(server: &Server, local: &TempDir, script: &str) -> Command {
    let mut command = Command::new("lftp");
    command.args(["--norc", "-c"]).arg(format!(
        "set cmd:fail-exit yes; set net:timeout 20; set net:max-retries 2; \
         set net:reconnect-interval-base 1; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; \
         set ssl:ca-file {:?}; set ssl:check-hostname no; \
         open -u {USER},{USER} -p {} ftp://127.0.0.1; {script}",
        server.certificate(),
        server.address.port(),
    ));
    command.current_dir(local.path());
    command.env("HOME", local.path());
    command.env("LFTP_HOME", local.path().join(".lftp"));
    command
}

/// A download while a broken upload waits has the whole file, with whatever the client asks before.
#[test]
fn clients_download_the_whole_file() {
    let server = setup().start();
    let mut client = server.login();
    let old = content(60_000, 1);
    client.store("STOR file", &old).expect(226);
    broken(&mut client, "STOR file", &content(20_000, 2)).expect(426);
    let local = TempDir::new().unwrap();
    let got = local.path().join("file");
    if installed("curl") {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--disable", "--ssl-reqd"]);
        command.arg("--cacert").arg(server.certificate());
        command.args(["--user", &format!("{USER}:{USER}"), "--output"]);
        command.arg(&got);
        command.arg(format!("ftp://{}/file", server.address));
        expect(&mut command);
        assert!(fs::read(&got).unwrap() == old);
        // Some of it is there already.
        fs::write(&got, &old[..30_000]).unwrap();
        expect(command.args(["-C", "-"]));
        assert!(fs::read(&got).unwrap() == old);
        fs::remove_file(&got).unwrap();
    }
    if installed("lftp") {
        expect(&mut lftp(&server, &local, "get file"));
        assert!(fs::read(&got).unwrap() == old);
        fs::write(&got, &old[..30_000]).unwrap();
        expect(&mut lftp(&server, &local, "get -c file"));
        assert!(fs::read(&got).unwrap() == old);
        fs::remove_file(&got).unwrap();
        expect(&mut lftp(&server, &local, "mirror . mirrored"));
        assert!(fs::read(local.path().join("mirrored/file")).unwrap() == old);
    }
}

/// An overwrite that was cut, and what clients do next: each of them ends with the new file or with
/// the old one and an error, and never with some of both.
#[test]
fn clients_after_an_overwrite_that_was_cut() {
    if !installed("lftp") {
        return;
    }
    let server = setup().start();
    let mut client = server.login();
    let local = TempDir::new().unwrap();
    let (old, new) = (content(60_000, 1), content(90_000, 2));
    fs::write(local.path().join("file"), &new).unwrap();
    for length in [20_000, 70_000] {
        client.store("STOR file", &old).expect(226);
        broken(&mut client, "STOR file", &new[..length]).expect(426);
        let put = crate::support::program::run(&mut lftp(&server, &local, "put -c file"));
        let there = client.retrieve("RETR file");
        assert!(
            there == new || (there == old && !put.0),
            "{length}: {put:?}"
        );
        expect(&mut lftp(&server, &local, "put file"));
        assert!(client.retrieve("RETR file") == new);
    }
}

/// Where it is configured, the same user at the same address is told of the broken upload for a while,
/// and nothing that was told is contradicted.
#[test]
fn who_was_cut_is_told_of_it_for_a_while() {
    let server = setup()
        .set("uploads.resume-overwrites", r#""3s""#)
        .user("bob", "home = \"/alice\"")
        .start();
    let (mut client, mut other) = (server.login(), server.login_as("bob", &Tls::new()));
    let (old, new) = (content(60_000, 1), content(90_000, 2));
    client.store("STOR file", &old).expect(226);
    broken(&mut client, "STOR file", &new[..20_000]).expect(426);
    let mut again = server.login();
    assert_told(&mut again, "file", 20_000, Some(20_000));
    let stream = again.open();
    again.send("RETR file").expect(450).saying("REST 20000");
    drop(stream);
    again.send("HASH file").expect(450);
    assert_told(&mut other, "file", 60_000, None);
    assert!(other.retrieve("RETR file") == old);
    // A size that is told of the file is that of a download from then on, or there is none.
    eventually("the file is told again", || {
        again.send("SIZE file").expect(213).text() == "60000"
    });
    eventually("it can be downloaded again", || {
        let stream = again.open();
        if again.send("RETR file").code == 450 {
            again.send("SIZE file").expect(213).saying("60000");
            return false;
        }
        assert!(again.protect(stream).receive() == old);
        again.reply().expect(226);
        true
    });
    again.send("REST 20000").expect(350);
    again.store("STOR file", &new[20_000..]).expect(226);
    assert!(again.retrieve("RETR file") == new);
}

/// It is lftp's way to come back.
#[test]
fn regression_lftp_goes_on_over_a_file_of_the_same_size() {
    if !installed("lftp") {
        return;
    }
    let server = setup().set("uploads.resume-overwrites", r#""5m""#).start();
    let mut client = server.login();
    let local = TempDir::new().unwrap();
    let (old, new) = (content(90_000, 1), content(90_000, 2));
    fs::write(local.path().join("file"), &new).unwrap();
    client.store("STOR file", &old).expect(226);
    broken(&mut client, "STOR file", &new[..20_000]).expect(426);
    expect(&mut lftp(&server, &local, "put -c file"));
    assert!(client.retrieve("RETR file") == new);
}

/// The commands of FileZilla and WinSCP, in their order, for a new file and for one that is there.
#[test]
fn the_order_of_commands_of_filezilla_and_winscp() {
    let server = setup().start();
    let new = content(90_000, 2);
    for name in ["new", "old"] {
        let mut client = server.login();
        client.send("TYPE I").expect(200);
        if name == "old" {
            client.store("STOR old", &content(60_000, 1)).expect(226);
        }
        broken(&mut client, &format!("STOR {name}"), &new[..20_000]).expect(426);
        // FileZilla looks into the listing, then sends REST and STOR with what that says.
        let mut client = server.login();
        client.send("TYPE I").expect(200);
        let listing = client.listing("MLSD");
        let line = listing
            .lines()
            .find(|line| line.ends_with(&format!(" {name}")));
        let (_, size) = line.unwrap().split_once("size=").unwrap();
        let size: usize = size.split(';').next().unwrap().parse().unwrap();
        assert_eq!(size, if name == "new" { 20_000 } else { 60_000 });
        client.send(&format!("REST {size}")).expect(350);
        if name == "new" {
            client.store("STOR new", &new[size..]).expect(226);
        } else {
            let stream = client.open();
            client.send("STOR old").expect(554).saying("20000");
            drop(stream);
            // The person chooses to overwrite.
            client.store("STOR old", &new).expect(226);
        }
        assert!(client.retrieve(&format!("RETR {name}")) == new);
        // WinSCP asks for SIZE, and resumes by APPE what it had begun under another name.
        let part = format!("{name}.filepart");
        broken(&mut client, &format!("STOR {part}"), &new[..30_000]).expect(426);
        let size = client.send(&format!("SIZE {part}")).expect(213);
        let size: usize = size.text().parse().unwrap();
        client
            .store(&format!("APPE {part}"), &new[size..])
            .expect(226);
        client.send(&format!("DELE {name}")).expect(250);
        client.send(&format!("RNFR {part}")).expect(350);
        client.send(&format!("RNTO {name}")).expect(250);
        assert!(client.retrieve(&format!("RETR {name}")) == new);
    }
}
