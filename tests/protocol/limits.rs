//! Everything has an end.

use std::{
    fs,
    io::{Read, Write},
    time::{Duration, Instant},
};

use crate::support::{Client, Setup, Tls, content};

/// Whether a new connection is turned away: 421, or no greeting at all.
fn turned_away(address: std::net::SocketAddr) -> bool {
    let mut client = Client::dial(address);
    match client.try_reply() {
        Ok(reply) => reply.code == 421,
        Err(_) => true,
    }
}

#[test]
fn sessions_in_all() {
    let server = Setup::new().set("limits.sessions", "3").start();
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    assert!(turned_away(server.address));
    assert!(turned_away(server.address));
    clients[0].send("NOOP").expect(200);
    drop(clients.pop());
    crate::support::eventually("a place is free", || !turned_away(server.address));
}

#[test]
fn sessions_of_an_address() {
    let server = Setup::new().set("limits.sessions-per-address", "2").start();
    let clients: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    assert!(turned_away(server.address));
    drop(clients);
    crate::support::eventually("a place is free", || !turned_away(server.address));
}

#[test]
fn the_size_of_an_upload() {
    let server = Setup::new()
        .set("limits.upload-size", r#""100KiB""#)
        .user("small", "max-upload-size = \"10KiB\"")
        .start();
    let mut client = server.login();
    client
        .store("STOR fits", &content(100 << 10, 1))
        .expect(226);
    client
        .store("STOR large", &content((100 << 10) + 1, 1))
        .expect(552);
    client.store("APPE fits", b"x").expect(552);
    assert_eq!(
        fs::metadata(server.home().join("fits")).unwrap().len(),
        100 << 10
    );
    assert!(!server.home().join("large").exists());
    let stream = client.open();
    client.send("ALLO 1000000").expect_one_of(&[200, 202, 552]);
    drop(stream);
    let mut client = server.login_as("small", &Tls::new());
    client.store("STOR fits", &content(10 << 10, 1)).expect(226);
    client
        .store("STOR large", &content(11 << 10, 1))
        .expect(552);
    client.send("SIZE large").expect(550);
    client.store("STOR sparse", b"x").expect(226);
    client.send("REST 1").expect(350);
    client
        .store("STOR sparse", &content(10 << 10, 1))
        .expect(552);
}

#[test]
fn rates() {
    let server = Setup::new()
        .set("limits.upload-rate", r#""1MiB""#)
        .set("limits.download-rate", r#""1MiB""#)
        .start();
    let bytes = content(2 << 20, 1);
    let mut client = server.login();
    let begun = Instant::now();
    client.store("STOR file", &bytes).expect(226);
    let upload = begun.elapsed();
    assert!(
        upload > Duration::from_millis(700),
        "{upload:?} for 2 MiB at 1 MiB/s"
    );
    let begun = Instant::now();
    assert!(client.retrieve("RETR file") == bytes);
    let download = begun.elapsed();
    assert!(
        download > Duration::from_millis(700),
        "{download:?} for 2 MiB at 1 MiB/s"
    );
}

#[test]
fn the_rate_of_a_user_is_shared_by_its_sessions() {
    let server = Setup::new()
        .user("slow", "download-rate = \"1MiB\"\nhome = \"/alice\"")
        .start();
    fs::write(server.home().join("file"), content(1 << 20, 1)).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.login_as("slow", &Tls::new());
                assert_eq!(client.retrieve("RETR file").len(), 1 << 20);
            });
        }
    });
    let taken = begun.elapsed();
    assert!(
        taken > Duration::from_millis(1500),
        "{taken:?} for 3 MiB at 1 MiB/s"
    );
}

/// A slow client holds up nobody else.
#[test]
fn slow_clients_do_not_slow_others() {
    let server = Setup::new().start();
    fs::File::create(server.home().join("large"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    let mut slow: Vec<(Client, _)> = (0..20)
        .map(|_| {
            let mut client = server.login();
            let mut data = client.begin("RETR large");
            data.read_exact(&mut [0; 10]).unwrap();
            (client, data)
        })
        .collect();
    let mut half = server.connect();
    half.write("AUTH TL");
    let begun = Instant::now();
    let mut client = server.login();
    client.store("STOR file", &content(1 << 20, 1)).expect(226);
    assert_eq!(client.retrieve("RETR file").len(), 1 << 20);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for (_, data) in &mut slow {
        let _ = data.flush();
    }
}

/// RFC 959: 552 is "exceeded storage allocation".
#[test]
fn a_quota_is_not_exceeded() {
    let server = Setup::new().user("small", "quota = 1000").start();
    let mut client = server.login_as("small", &Tls::new());
    let home = server.home_of("small");
    fs::create_dir(home.join("below")).unwrap();
    fs::write(home.join("below/old"), [b'a'; 400]).unwrap();
    client.store("STOR file", &[b'b'; 600]).expect(226);
    client
        .send("SITE QUOTA")
        .expect(200)
        .saying("Uploaded bytes: 1000/1000");
    client.send("EPSV").expect(229);
    client.send("STOR more").expect(552).saying("quota of 1000");
    // The bytes of a replaced file do not count.
    client.store("STOR file", &[b'c'; 600]).expect(226);
    client.store("STOR file", &[b'c'; 601]).expect(552);
    assert_eq!(fs::read(home.join("file")).unwrap(), [b'c'; 600]);
    client.send("DELE file").expect(250);
    client.store("STOR half", &[b'd'; 300]).expect(226);
    client.store("APPE half", &[b'd'; 300]).expect(226);
    client.store("APPE half", &[b'd'; 1]).expect(552);
    assert_eq!(fs::metadata(home.join("half")).unwrap().len(), 600);
    client.send("DELE half").expect(250);
    // A broken upload counts, and can be finished.
    let mut data = client.begin("STOR broken");
    data.send(&[b'e'; 500]).unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    client.store("STOR other", &[b'f'; 101]).expect(552);
    client.store("STOR other", &[b'f'; 100]).expect(226);
    client.store("APPE broken", &[b'e'; 1]).expect(552);
    client.send("DELE other").expect(250);
    client.store("STOR broken", &[b'e'; 600]).expect(226);
    client.send("DELE broken").expect(250);
    // Others are not concerned.
    server.login().store("STOR file", &[b'g'; 5000]).expect(226);
}

/// Those that are there, that wait and that come; directories are free.
#[test]
fn a_quota_of_files_is_not_exceeded() {
    let server = Setup::new()
        .user("few", "quota-files = 3")
        .user("both", "quota = \"1KiB\"\nquota-files = 1")
        .start();
    let mut client = server.login_as("few", &Tls::new());
    let home = server.home_of("few");
    fs::create_dir(home.join("below")).unwrap();
    fs::write(home.join("below/old"), b"old").unwrap();
    client.store("STOR one", b"1").expect(226);
    client.send("MKD more").expect(257);
    let mut data = client.begin("STOR broken");
    data.send(b"half of it").unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    client
        .send("SITE QUOTA")
        .expect(200)
        .saying("Name: few")
        .saying("Quota Type: User")
        .saying("Uploaded bytes: 14/unlimited")
        .saying("Uploaded files: 3/3");
    client.send("EPSV").expect(229);
    client
        .send("STOR more/new")
        .expect(552)
        .saying("quota of 3 files");
    client.send("EPSV").expect(229);
    client.send("STOU").expect(552);
    // A file that takes the place of another, goes on, or goes away needs no room.
    client.store("STOR one", b"other").expect(226);
    client.store("APPE one", b" and more").expect(226);
    client.store("STOR broken", b"all of it").expect(226);
    client.send("DELE one").expect(250);
    client.store("STOR more/new", b"new").expect(226);
    client.send("EPSV").expect(229);
    client.send("STOR one").expect(552);
    assert!(!home.join("one").exists());

    let mut client = server.login_as("both", &Tls::new());
    client.store("STOR large", &[b'x'; 1025]).expect(552);
    client.store("STOR file", &[b'x'; 1024]).expect(226);
    client
        .send("SITE QUOTA")
        .expect(200)
        .saying("Uploaded bytes: 1024/1024")
        .saying("Uploaded files: 1/1");
    server
        .login()
        .send("SITE QUOTA")
        .expect(200)
        .saying("No quota");
}

/// Two that begin at once do not become two files where one may be.
#[test]
fn a_quota_of_files_holds_for_uploads_at_once() {
    let server = Setup::new().user("few", "quota-files = 1").start();
    let mut one = server.login_as("few", &Tls::new());
    let mut two = server.login_as("few", &Tls::new());
    let mut first = one.begin("STOR first");
    first.send(b"first").unwrap();
    two.send("EPSV").expect(229);
    two.send("STOR second")
        .expect(552)
        .saying("quota of 1 files");
    first.finish().unwrap();
    one.reply().expect(226);
    one.send("DELE first").expect(250);
    two.store("STOR second", b"second").expect(226);
}

/// Two at once do not get the same room twice.
#[test]
fn a_quota_holds_for_uploads_at_once() {
    let server = Setup::new().user("small", "quota = 1000").start();
    let mut one = server.login_as("small", &Tls::new());
    let mut two = server.login_as("small", &Tls::new());
    let (mut first, mut second) = (one.begin("STOR first"), two.begin("STOR second"));
    first.send(&[b'a'; 700]).unwrap();
    second.send(&[b'b'; 700]).unwrap();
    first.finish().unwrap();
    one.reply().expect(226);
    let _ = second.finish();
    two.reply().expect(552);
    assert!(!server.home_of("small").join("second").exists());
}

/// Those under way count, and so nothing is left over the quota when all of them break.
#[test]
fn a_quota_holds_for_uploads_that_break_at_once() {
    let server = Setup::new().user("small", "quota = 1000000").start();
    let begin = |number: usize| {
        let mut client = server.login_as("small", &Tls::new());
        let data = client.begin(&format!("STOR file{number}"));
        (client, data)
    };
    let mut uploads: Vec<_> = (0..10).map(begin).collect();
    let content = [b'x'; 300_000];
    let late = uploads.split_off(3);
    for (client, data) in &mut uploads {
        let mut moved = || {
            let reply = client.send("STAT").expect(213);
            let mut numbers = reply.text().split(|c: char| !c.is_ascii_digit());
            numbers
                .find_map(|number| number.parse::<usize>().ok())
                .unwrap()
        };
        let before = moved();
        data.send(&content).unwrap();
        crate::support::eventually("it has arrived", || moved() >= before + content.len());
    }
    for (mut client, mut data) in late {
        // It may hear in the middle that there is no more room.
        let _ = data.send(&content);
        client.reply().expect(552);
    }
    for (mut client, data) in uploads {
        data.cut();
        client.reply().expect(426);
    }
    let mut client = server.login_as("small", &Tls::new());
    client
        .send("SITE QUOTA")
        .expect(200)
        .saying("Uploaded bytes: 900000/1000000");
}
