//! Sessions whose account changes while they are open.

use std::{
    fs,
    io::Read,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    built,
    support::{
        Authority, Client, Data, Server, Setup, Tls, USER, Version, content, eventually,
        server::{entry, hash},
    },
};

/// Bob is the one whose account changes; nothing changes for alice.
fn setup() -> Setup {
    Setup::new()
        .user("bob", "")
        .plugin("listens", &built("listens"), "")
        .users_plugin()
}

/// Writes the users file anew, as an editor does.
fn edit_users(server: &Server, change: impl FnOnce(String) -> String) {
    let file = server.state().join("users.toml");
    let text = change(fs::read_to_string(&file).unwrap());
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

/// Changes the configuration, and waits for the reload.
fn reload(server: &Server, change: impl FnOnce(String) -> String) {
    let config = server.state().with_file_name("config.toml");
    let before = fs::read_to_string(&config).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "nothing is changed");
    fs::write(&config, after).unwrap();
    reload_again(server);
}

fn reload_again(server: &Server) {
    let done = || server.log().matches("; new sessions use them").count();
    let before = done();
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    eventually("the reload is done", || done() > before);
}

/// Removes bob by the command line.
fn remove(server: &Server) {
    let (status, said) = server.setup().run(&["user", "remove", "bob"]);
    assert_eq!(status, 0, "{said}");
}

/// It is told, and the connection is closed.
#[track_caller]
fn ended(mut client: Client) {
    client.reply().expect(421).saying("account has changed");
    assert_eq!(client.rest(), "", "nothing comes behind it");
}

/// It hears nothing, and can go on.
#[track_caller]
fn goes_on(client: &mut Client) {
    client.expect_silence(Duration::from_millis(50));
    client.send("MLST /").expect(250);
}

/// An upload of which this has arrived.
fn begun(client: &mut Client, name: &str, bytes: &[u8]) -> Data {
    let mut data = client.begin(&format!("STOR {name}"));
    data.send(bytes).unwrap();
    // Bytes that have moved are counted below TLS.
    eventually("it has arrived", || {
        let reply = client.send("STAT").expect(213);
        let mut words = reply.text().split(' ');
        words.any(|word| {
            word.parse()
                .is_ok_and(|moved: usize| moved >= bytes.len().max(1))
        })
    });
    data
}

/// Bob comes back.
#[track_caller]
fn resumed_by_bob(server: &Server) -> Client {
    let bob = entry("bob", &format!("password = {:?}", hash("bob")));
    edit_users(server, |text| text + &bob);
    server.login_as("bob", &Tls::new())
}

/// Bob's broken upload goes on where it was, once there is a bob again.
#[track_caller]
fn resumes(server: &Server, name: &str, whole: &[u8], least: usize) {
    let mut client = resumed_by_bob(server);
    let size = client.send(&format!("SIZE {name}")).expect(213);
    let from: usize = size.text().trim().parse().unwrap();
    assert!(from >= least, "{from}");
    client.send(&format!("REST {from}")).expect(350);
    let reply = client.store(&format!("STOR {name}"), &whole[from..]);
    reply.expect(226);
    assert!(client.retrieve(&format!("RETR {name}")) == whole);
}

#[test]
fn a_removed_user_ends_with_what_runs_and_uploads_wait() {
    let mut server = setup().start();
    let tls = Tls::new();
    let whole = content(300_000, 1);
    let [mut idle, mut stores, mut fetches, mut inactive] =
        [(); 4].map(|()| server.login_as("bob", &tls));
    let mut alice = server.login();
    fs::write(server.home_of("bob").join("large"), content(50_000_000, 2)).unwrap();
    idle.send("NOOP").expect(200);
    let mut upload = begun(&mut stores, "file", &whole[..100_000]);
    let mut download = fetches.begin("RETR large");
    download.read_exact(&mut [0; 1000]).unwrap();
    // A route that nobody has taken yet.
    inactive.epsv();
    let mut other = begun(&mut alice, "hers", &whole[..100_000]);

    remove(&server);
    ended(idle);
    ended(inactive);
    for mut client in [stores, fetches] {
        client.reply().expect(426);
        ended(client);
    }
    eventually("its data connection is cut", || {
        upload.send(&[0; 1000]).is_err()
    });
    let mut rest = Vec::new();
    assert!(download.read_to_end(&mut rest).is_err() || rest.len() < 50_000_000 - 1000);
    assert!(!server.home_of("bob").join("file").exists());
    // Alice has noticed nothing.
    other.send(&whole[100_000..]).unwrap();
    other.finish().unwrap();
    alice.reply().expect(226);
    goes_on(&mut alice);
    let line = server.wait_for_line(|line| line.contains("as its account has changed"));
    for part in [
        "user=\"bob\"",
        "client=127.0.0.1:",
        "settings.users.bob is gone",
    ] {
        assert!(line.contains(part), "{line}");
    }
    server.wait_for_line(|line| {
        line.contains(r#"heard {"event":"logout""#) && line.contains("settings.users.bob is gone")
    });
    // The name is nobody's, until it is somebody's again.
    let mut client = server.secure(&tls);
    client.send("USER bob").expect(331);
    client.send("PASS bob").expect(530);
    resumes(&server, "file", &whole, 50_000);
}

/// It ends idle or not, also where sessions outlive changes of their account.
#[test]
fn an_account_that_expires_ends_with_its_sessions() {
    let mut server = setup().set("server.account-change", "\"keep\"").start();
    let tls = Tls::new();
    let mut alice = server.login();
    let (status, said) = server.setup().run(&["user", "set", "bob", "expires=+10s"]);
    assert_eq!(status, 0, "{said}");
    let text = fs::read_to_string(server.state().join("users.toml")).unwrap();
    let expires = text.split("expires = \"").nth(1).unwrap();
    let expires: jiff::Timestamp = expires.split('"').next().unwrap().parse().unwrap();
    let left = || expires.duration_since(jiff::Timestamp::now()).as_millis();
    // The server has read it when a session is told apart by it: one that began before never ends.
    std::thread::sleep(Duration::from_millis(1500));
    let [mut idle, mut stores] = [(); 2].map(|()| server.login_as("bob", &tls));
    let whole = content(300_000, 1);
    let mut upload = begun(&mut stores, "file", &whole[..100_000]);
    idle.send("NOOP").expect(200);
    assert!(left() > 0, "the machine is too slow for this test");
    idle.reply().expect(421).saying("has expired");
    assert!((-3000..=0).contains(&left()), "{} ms", left());
    assert_eq!(idle.rest(), "", "nothing comes behind it");
    stores.reply().expect(426);
    stores.reply().expect(421).saying("has expired");
    eventually("its data connection is cut", || {
        upload.send(&[0; 1000]).is_err()
    });
    let line = server.wait_for_line(|line| line.contains("as its account has expired"));
    assert!(line.contains("user=\"bob\""), "{line}");
    server.wait_for_line(|line| {
        line.contains(r#"heard {"event":"logout""#) && line.contains("the account has expired")
    });
    let mut client = server.secure(&tls);
    client.send("USER bob").expect(331);
    client.send("PASS bob").expect(530);
    goes_on(&mut alice);
    // The bytes that have arrived wait, as after a kick.
    edit_users(&server, |text| {
        let expired = text.lines().filter(|line| !line.starts_with("expires"));
        expired.map(|line| format!("{line}\n")).collect()
    });
    eventually("bob may log in again", || {
        let mut client = server.secure(&tls);
        client.send("USER bob").expect(331);
        client.send("PASS bob").code == 230
    });
    let mut client = server.login_as("bob", &tls);
    client.send("SIZE file").expect(213);
}

#[test]
fn the_end_can_wait_for_the_next_command() {
    let server = setup()
        .set("server.account-change", r#""at-next-command""#)
        .start();
    let tls = Tls::new();
    let [mut idle, mut stores, mut queued] = [(); 3].map(|()| server.login_as("bob", &tls));
    let mut alice = server.login();
    let mut upload = begun(&mut stores, "file", b"half of ");
    let mut other = begun(&mut queued, "other", b"half of ");
    remove(&server);
    eventually("all three are to end", || {
        let log = server.log();
        log.matches("the session ends at its next command").count() == 3
    });
    idle.expect_silence(Duration::from_millis(50));
    idle.write("NOOP\r\n");
    ended(idle);
    upload.send(b"a file").unwrap();
    upload.finish().unwrap();
    stores.reply().expect(226);
    stores.expect_silence(Duration::from_millis(50));
    stores.write("PWD\r\n");
    ended(stores);
    // A command that was sent ahead is the next one, too.
    queued.write("PWD\r\nDELE file\r\n");
    other.send(b"a file").unwrap();
    other.finish().unwrap();
    queued.reply().expect(226);
    ended(queued);
    for name in ["file", "other"] {
        let stored = fs::read(server.home_of("bob").join(name)).unwrap();
        assert_eq!(stored, b"half of a file");
    }
    goes_on(&mut alice);
}

#[test]
fn sessions_can_keep_what_they_have() {
    let key = "[server]\naccount-change = \"keep\"\n";
    let mut server = setup().tables(key).start();
    let mut idle = server.login_as("bob", &Tls::new());
    let mut stores = server.login_as("bob", &Tls::new());
    let mut upload = begun(&mut stores, "file", b"half of ");
    remove(&server);
    server.wait_for_line(|line| line.contains("the account has changed, and the session goes on"));
    goes_on(&mut idle);
    upload.send(b"a file").unwrap();
    upload.finish().unwrap();
    stores.reply().expect(226);
    // For as long as that is said.
    reload_again(&server);
    goes_on(&mut idle);
    reload(&server, |text| text.replace("\"keep\"", "\"end\""));
    ended(idle);
    ended(stores);
}

#[test]
fn any_change_of_the_users_entry_counts_and_nothing_else() {
    let changes: [(&str, &str); 7] = [
        ("disabled = false", "disabled = true"),
        ("permissions = [\"all\"]", "permissions = [\"read\"]"),
        ("home = \"/bob\"", "home = \"/elsewhere\""),
        ("groups = [\"staff\"]", "groups = []"),
        ("max-sessions = 9", "max-sessions = 1"),
        ("certificates = [\"CN=bob\"]", "certificates = []"),
        (
            "addresses = [\"127.0.0.0/8\"]",
            "addresses = [\"192.0.2.1\"]",
        ),
    ];
    let lines: Vec<_> = changes.iter().map(|(before, _)| *before).collect();
    let server = setup().user("carol", &lines.join("\n")).start();
    let mut alice = server.login();
    let read = || {
        let log = server.log();
        log.matches("the settings file is read anew").count()
    };
    for (number, (before, after)) in changes.into_iter().enumerate() {
        let mut carol = server.login_as("carol", &Tls::new());
        let old = read();
        // Nothing of it is hers.
        edit_users(&server, |text| {
            text + &format!("# a comment\n[more{number}]\ncertificates = [\"CN=more\"]\n")
        });
        eventually("the file is read", || read() > old);
        goes_on(&mut carol);
        edit_users(&server, |text| text.replace(before, after));
        ended(carol);
        edit_users(&server, |text| text.replace(after, before));
        goes_on(&mut alice);
    }
    // A file that does not parse changes nothing, nor does one that is gone for a moment.
    let mut carol = server.login_as("carol", &Tls::new());
    let good = fs::read_to_string(server.state().join("users.toml")).unwrap();
    edit_users(&server, |text| text + "[broken");
    eventually("it is read", || {
        server.log().contains("stays as it was before")
    });
    goes_on(&mut carol);
    edit_users(&server, |_| good);
    goes_on(&mut carol);
}

#[test]
fn the_command_line_ends_sessions() {
    let server = setup().start();
    let mut alice = server.login();
    for words in [
        &["disable", "bob"][..],
        &["enable", "bob"],
        &["permissions", "bob", "list,download"],
        &["permissions", "bob", "all"],
        &["remove", "bob"],
    ] {
        // A user who is disabled has no session.
        let disabled = words[0] == "enable";
        let bob = (!disabled).then(|| server.login_as("bob", &Tls::new()));
        let words: Vec<_> = ["user"].iter().chain(words).copied().collect();
        let (status, said) = server.setup().run(&words);
        assert_eq!(status, 0, "{said}");
        match bob {
            Some(bob) => ended(bob),
            None => drop(server.login_as("bob", &Tls::new())),
        }
        goes_on(&mut alice);
    }
    for words in [
        &["disable", "nobody"][..],
        &["permissions", "alice"],
        &["permissions", "alice", "everything"],
    ] {
        let words: Vec<_> = ["user"].iter().chain(words).copied().collect();
        let (status, said) = server.setup().run(&words);
        assert_ne!(status, 0, "{said}");
    }
    goes_on(&mut alice);
}

/// A plugin in front that keeps some out: a user whom it comes to know is its business.
#[test]
fn plugins_that_would_be_asked_first_count() {
    let setup = Setup::new().user("bob", "");
    let front = setup.file("front.toml", "[mallory]\ndisabled = true\n");
    let server = setup
        .tables(&format!(
            "[[plugin]]\nname = \"front\"\ncomponent = \"builtin:users\"\ninstances = \"pool\"\n\
             settings = {{ users = {{ file = {front:?} }} }}\n"
        ))
        .plugin(
            "users",
            "builtin:users",
            "instances = \"pool\"\nsettings = { users = { file = \"users.toml\" } }",
        )
        .start();
    let bob = server.login_as("bob", &Tls::new());
    let mut alice = server.login();
    fs::write(
        &front,
        "[mallory]\ndisabled = true\n[bob]\ndisabled = true\n",
    )
    .unwrap();
    ended(bob);
    goes_on(&mut alice);
    // Settings of the front door that are the same for all concern nobody who came in behind it.
    reload(&server, |text| {
        text.replacen(
            "instances = \"pool\"\n",
            "grants.environment = [\"PATH\"]\n",
            1,
        )
    });
    goes_on(&mut alice);
    reload(&server, |text| {
        let end = text.find("[[plugin]]\nname = \"users\"").unwrap();
        text[end..].to_owned()
    });
    goes_on(&mut alice);
    // Bob is let in again, and an instance that has served others knows him.
    let bob = server.login_as("bob", &Tls::new());
    edit_users(&server, |text| text.replace("[\"bob\"]", "[\"robert\"]"));
    ended(bob);
    goes_on(&mut alice);
}

#[test]
fn an_upload_that_is_inspected_is_kept_and_not_published() {
    let limits = "limits.cpu-time = \"60s\"\nlimits.wall-time = \"60s\"";
    let server = Setup::new()
        .user("bob", "")
        .plugin("slow", &built("faulty-inspector"), limits)
        .users_plugin()
        .start();
    let mut client = server.login_as("bob", &Tls::new());
    let mut data = client.begin("STOR loop");
    data.send(b"content").unwrap();
    data.finish().unwrap();
    eventually("all has come", || {
        let reply = client.send("STAT").expect(213);
        reply.text().contains("complete and being inspected")
    });
    remove(&server);
    client.reply().expect(426);
    ended(client);
    assert!(!server.home_of("bob").join("loop").exists());
    // All of it but one byte is told, so that clients send the rest.
    resumed_by_bob(&server)
        .send("SIZE loop")
        .expect(213)
        .saying("6");
}

#[test]
fn a_reload_that_changes_nothing_ends_nobody() {
    let authority = Authority::new();
    let setup = setup().user_without_password("dave", "certificates = [\"CN=dave\"]\n");
    let file = setup.file("authorities.pem", &authority.pem);
    let server = setup
        .set("tls.client-certificates", r#""optional""#)
        .set("tls.client-authorities", &format!("{file:?}"))
        .plugin(
            "rules",
            "builtin:rules",
            "settings.rules = [{ effect = \"deny\", operations = [\"make-directory\"] }]",
        )
        .start();
    let mut alice = server.login();
    let mut dave = server.secure(&Tls::certificate(Version::V13, &authority.client("dave")));
    dave.send("USER dave").expect(232);
    let mut upload = begun(&mut alice, "file", b"half of ");
    for _ in 0..5 {
        reload_again(&server);
    }
    // Settings of the server that concern nobody's rights.
    reload(&server, |text| {
        text + "\n[limits]\nidle-timeout = \"10m\"\n"
    });
    goes_on(&mut dave);
    upload.send(b"a file").unwrap();
    upload.finish().unwrap();
    alice.reply().expect(226);
    goes_on(&mut alice);
}

const GUEST: &str = "[[plugin]]\nname = \"guests\"\ncomponent = \"builtin:users\"\n\
    settings = { users = {}, anonymous = { home = \"/public\" } }\n";

#[test]
fn a_reload_ends_those_whose_plugin_is_gone_or_has_changed() {
    for (before, after, cause) in [
        (GUEST, "", "the plugin guests is gone"),
        ("/public", "/other", "settings.anonymous has changed"),
        (
            "anonymous =",
            "anon =",
            "", // A wrong setting: the reload fails, and all stays as it was.
        ),
        (
            "name = \"guests\"\n",
            "name = \"others\"\n",
            "the plugin guests is gone",
        ),
    ] {
        let mut server = setup().tables(GUEST).start();
        let mut alice = server.login();
        let mut guest = server.secure(&Tls::new());
        guest.send("USER anonymous").expect(331);
        guest.send("PASS a@example.org").expect(230);
        if cause.is_empty() {
            let config = server.state().with_file_name("config.toml");
            let text = fs::read_to_string(&config).unwrap();
            fs::write(&config, text.replace(before, after)).unwrap();
            let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
            kill_process(id, Signal::HUP).unwrap();
            server.wait_for_line(|line| line.contains("all stays as it was"));
            goes_on(&mut guest);
        } else {
            reload(&server, |text| text.replace(before, after));
            ended(guest);
            server.wait_for_line(|line| line.contains(cause));
        }
        goes_on(&mut alice);
    }
}

#[test]
fn another_component_is_for_new_sessions() {
    let setup = Setup::new();
    let file = setup.file(
        "plugin.wasm",
        fs::read(built("faulty-authenticator")).unwrap(),
    );
    let server = setup
        .plugin("first", file.to_str().unwrap(), "")
        .users_plugin()
        .start();
    let mut okay = server.secure(&Tls::new());
    okay.login("okay");
    let mut alice = server.login();
    let new = file.with_extension("new");
    fs::copy(built("listens"), &new).unwrap();
    fs::rename(new, &file).unwrap();
    goes_on(&mut okay);
    reload_again(&server);
    goes_on(&mut okay);
    goes_on(&mut alice);
}

#[test]
fn a_reload_ends_those_whose_storage_is_gone_or_another_one() {
    for (before, after, cause) in [
        (
            "[storage.other]\nroot = \"other\"\n",
            "",
            "the storage other is gone",
        ),
        (
            "root = \"other\"\n",
            "root = \"third\"\nstaging = \"stage\"\n",
            "the storage other is another one",
        ),
    ] {
        let mut server = setup()
            // Otherwise a place that is new takes a restart.
            .set("server.landlock", "\"off\"")
            .user("carol", "storage = \"other\"")
            .tables("[storage.default]\nroot = \"files\"\n[storage.other]\nroot = \"other\"\n")
            .start();
        let mut alice = server.login();
        let mut carol = server.login_as("carol", &Tls::new());
        let upload = begun(&mut carol, "file", b"half");
        reload(&server, |text| text.replace(before, after));
        carol.reply().expect(426);
        ended(carol);
        drop(upload);
        server.wait_for_line(|line| line.contains(cause));
        goes_on(&mut alice);
    }
}

#[test]
fn a_reload_ends_those_whose_certificate_nobody_vouches_for_any_more() {
    let (authority, other) = (Authority::new(), Authority::new());
    for off in [false, true] {
        let setup = setup()
            .user_without_password("dave", "certificates = [\"CN=dave\"]\n")
            .user("erin", "");
        let file = setup.file("authorities.pem", authority.pem.clone() + &other.pem);
        let server = setup
            .tables(&format!(
                "[tls]\nclient-certificates = \"optional\"\nclient-authorities = {file:?}\n"
            ))
            .start();
        let tls = Tls::certificate(Version::V13, &authority.client("dave"));
        let mut dave = server.secure(&tls);
        dave.send("USER dave").expect(232);
        // Shown, and not what she was let in for.
        let mut erin = server.secure(&tls);
        erin.login("erin");
        let mut alice = server.login();
        if off {
            reload(&server, |text| text.replace("\"optional\"", "\"off\""));
        } else {
            fs::write(&file, &other.pem).unwrap();
            reload_again(&server);
        }
        ended(dave);
        goes_on(&mut alice);
        goes_on(&mut erin);
    }
}

#[test]
fn other_guards_and_inspectors_are_for_new_sessions() {
    let rules = "settings.rules = [{ effect = \"deny\", operations = [\"make-directory\"] }]";
    let guard = "settings.deny-extensions = [\"exe\"]";
    let server = setup()
        .plugin("rules", "builtin:rules", rules)
        .plugin("guard", "builtin:upload-guard", guard)
        .start();
    let mut old = server.login();
    reload(&server, |text| text.replace("\"exe\"", "\"exe\", \"js\""));
    reload(&server, |text| {
        text.replace("make-directory", "remove-directory")
    });
    let mut new = server.login();
    old.send("MKD directory").expect(550);
    new.send("MKD directory").expect(257);
    old.store("STOR file.js", b"x").expect(226);
    new.store("STOR other.js", b"x").expect(550);
}

#[test]
fn a_login_that_is_under_way_is_compared_with_what_is_in_force() {
    for (key, code) in [("end", 421), ("at-next-command", 421), ("keep", 230)] {
        let server = setup()
            .tables(GUEST)
            .set("server.account-change", &format!("{key:?}"))
            .start();
        let mut guest = server.secure(&Tls::new());
        guest.send("USER anonymous").expect(331);
        let mut bob = server.secure(&Tls::new());
        bob.send("USER bob").expect(331);
        let mut alice = server.secure(&Tls::new());
        alice.send(&format!("USER {USER}")).expect(331);
        reload(&server, |text| text.replace(GUEST, ""));
        remove(&server);
        // The plugin that knows it is gone, and was there when the session began.
        guest.send("PASS a@example.org").expect(code);
        bob.send("PASS bob").expect(530);
        alice.send(&format!("PASS {USER}")).expect(230);
    }
}

/// A second factor is asked for, and the user is gone when it comes.
#[test]
fn a_challenge_does_not_outlive_the_account() {
    let server = Setup::new()
        .plugin(
            "totp",
            "builtin:auth-totp",
            r#"settings = { users = { file = "users.toml" } }"#,
        )
        .user("bob", "totp = \"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"")
        .start();
    let mut bob = server.secure(&Tls::new());
    bob.send("USER bob").expect(331);
    bob.send("PASS bob").expect(332);
    let begun = Instant::now();
    remove(&server);
    bob.send("ACCT 000000").expect(530);
    assert!(begun.elapsed() < Duration::from_secs(30));
}
