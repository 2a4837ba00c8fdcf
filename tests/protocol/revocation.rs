//! Client certificates that are revoked: `tls.client-revocation`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use crate::support::{
    Authority, Client, Server, Setup, Tls, USER, Version, eventually,
    program::{self, installed},
    tls::VERSIONS,
};

const DAY: Duration = Duration::from_secs(86_400);

/// A server that looks certificates of `authorities` up in `lists`, and the files of the lists.
fn setup(mode: &str, authorities: &[&Authority], lists: &[&str]) -> (Setup, Vec<PathBuf>) {
    let setup = Setup::new().user_without_password("bob", "certificates = [\"CN=bob\"]\n");
    let pem: String = authorities.iter().map(|one| one.pem.as_str()).collect();
    let pem = setup.file("authorities.pem", pem);
    let mut files = Vec::new();
    for (index, list) in lists.iter().enumerate() {
        files.push(setup.file(&format!("{index}.crl"), list));
    }
    let setup = setup
        .set("tls.client-certificates", &format!("{mode:?}"))
        .set("tls.client-authorities", &format!("{pem:?}"))
        .set("tls.client-revocation", &format!("{files:?}"));
    (setup, files)
}

/// Whether a session comes about; in TLS 1.3 the client hears of a refusal after its handshake.
fn works(server: &Server, tls: &Tls) -> bool {
    let mut client = server.connect();
    client.send("AUTH TLS").expect(234);
    client.handshake(tls).is_ok()
        && client.try_write("NOOP\r\n").is_ok()
        && client.try_reply().is_ok_and(|reply| reply.code == 200)
}

/// As programs do that fetch a list.
fn replace(file: &Path, content: impl AsRef<[u8]>) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}

/// The lines of the log with this text.
fn lines(server: &Server, text: &str) -> usize {
    server
        .log()
        .lines()
        .filter(|line| line.contains(text))
        .count()
}

fn bob_on(server: &Server, tls: &Tls) -> Client {
    let mut bob = server.secure(tls);
    bob.send("USER bob").expect(232);
    bob
}

#[test]
fn a_revoked_certificate_makes_no_session() {
    let authority = Authority::new();
    let (alice, bob) = (authority.client("alice"), authority.client("bob"));
    let list = authority.revokes(&[&bob.serial]);
    for mode in ["optional", "required"] {
        for der in [false, true] {
            let (setup, files) = setup(mode, &[&authority], &[&list.pem]);
            if der {
                fs::write(&files[0], &list.der).unwrap();
            }
            let mut server = setup.start();
            for version in VERSIONS {
                assert!(works(&server, &Tls::certificate(version, &alice)));
                assert!(!works(&server, &Tls::certificate(version, &bob)));
                let without = works(&server, &Tls::version(version));
                assert_eq!(without, mode == "optional");
                let mut client = Client::dial(server.implicit);
                let shaken = client.handshake(&Tls::certificate(version, &bob)).is_ok();
                assert!(!shaken || client.try_reply().is_err(), "implicit TLS");
            }
            server.wait_for_line(|line| {
                line.contains("handshake failed") && line.contains("certificate is revoked")
            });
        }
    }
}

#[test]
fn a_changed_list_is_in_force_soon_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let (alice, bob) = (authority.client("alice"), authority.client("bob"));
    let (nobody, revoked) = (authority.revokes(&[]), authority.revokes(&[&bob.serial]));
    let (setup, files) = setup("optional", &[&authority], &[&nobody.pem]);
    let mut server = setup.start();
    let (alice, bob) = (
        Tls::certificate(Version::V13, &alice),
        Tls::certificate(Version::V13, &bob),
    );
    let file = &files[0];
    assert!(works(&server, &bob));
    for in_place in [false, true] {
        let write = |content: &[u8]| match in_place {
            true => fs::write(file, content).unwrap(),
            false => replace(file, content),
        };
        write(revoked.pem.as_bytes());
        eventually("it is revoked", || !works(&server, &bob));
        assert!(works(&server, &alice));
        write(&nobody.der);
        eventually("it is not any more", || works(&server, &bob));
    }
    replace(file, &revoked.pem);
    eventually("it is revoked again", || !works(&server, &bob));

    let stranger = Authority::new().revokes(&[]).pem;
    let other = Authority::named("Another authority").revokes(&[]).pem;
    let kept = "stays in force";
    for (content, why) in [
        ("", "the file is empty"),
        (&revoked.pem[..300], "END X509 CRL"),
        (&authority.pem, "no revocation list in it"),
        ("no list", "no revocation list, or a damaged one"),
        // Files that an attacker, or a mistake, puts in its place.
        (&stranger, "has not been signed by CN=Authority of a test"),
        (&other, "no list of CN=Authority of a test"),
    ] {
        let before = lines(&server, kept);
        fs::write(file, content).unwrap();
        server.wait_for_line(|line| line.contains(kept) && line.contains(why));
        assert!(!works(&server, &bob), "{why}");
        assert!(works(&server, &alice), "{why}");
        assert_eq!(lines(&server, kept), before + 1, "{why}: {}", server.log());
    }
    fs::remove_file(file).unwrap();
    server.wait_for_line(|line| line.contains(kept) && line.contains("No such file"));
    let anew = "the lists of revoked certificates are read anew";
    let before = lines(&server, anew);
    fs::write(file, &revoked.pem).unwrap();
    eventually("it is said", || lines(&server, anew) > before);
    assert!(!works(&server, &bob));
    fs::write(file, &nobody.pem).unwrap();
    eventually("all is well again", || works(&server, &bob));
    assert_eq!(lines(&server, kept), 7, "{}", server.log());
}

#[test]
fn a_session_ends_when_its_certificate_is_revoked() {
    for change in ["end", "at-next-command", "keep"] {
        let authority = Authority::new();
        let (alice, bob) = (authority.client("alice"), authority.client("bob"));
        let (setup, files) = setup("optional", &[&authority], &[&authority.revokes(&[]).pem]);
        let server = setup
            .set("server.account-change", &format!("{change:?}"))
            .start();
        // Data connections shake hands in full, so that its certificate is shown again.
        let tls = Tls::certificate(Version::V13, &bob).without_resumption();
        let mut session = bob_on(&server, &tls);
        session.tls = Some(tls.clone());
        session.send("PBSZ 0").expect(200);
        session.send("PROT P").expect(200);
        session.send("TYPE I").expect(200);
        // A password let it in, and the certificate is revoked no less.
        let mut shown = server.secure(&tls);
        shown.login(USER);
        let mut others = [
            bob_on(
                &server,
                &Tls::certificate(Version::V12, &authority.client("bob")),
            ),
            server.secure(&Tls::certificate(Version::V13, &alice)),
            server.secure(&Tls::new()),
        ];
        others[1].login(USER);
        others[2].login(USER);
        replace(&files[0], authority.revokes(&[&bob.serial]).pem);
        eventually("both are told", || lines(&server, "CN=bob is revoked") == 2);
        match change {
            "end" => {
                for mut ended in [session, shown] {
                    ended.reply().expect(421).saying("account has changed");
                    assert_eq!(ended.rest(), "");
                }
            }
            "at-next-command" => {
                for mut ended in [session, shown] {
                    ended.send("NOOP").expect(421);
                }
            }
            _ => {
                session.store("STOR file", b"content").expect(226);
                assert_eq!(session.retrieve("RETR file"), b"content");
                shown.send("PWD").expect(257);
            }
        }
        assert!(!works(&server, &tls));
        for other in &mut others {
            other.send("PWD").expect(257);
        }
    }
}

/// The handshake was before, and the login comes after: nobody begins with a revoked certificate.
#[test]
fn nobody_logs_in_with_a_certificate_that_was_revoked_meanwhile() {
    for change in ["end", "keep"] {
        let authority = Authority::new();
        let bob = authority.client("bob");
        let (setup, files) = setup("optional", &[&authority], &[&authority.revokes(&[]).pem]);
        let server = setup
            .set("server.account-change", &format!("{change:?}"))
            .start();
        let tls = Tls::certificate(Version::V13, &bob);
        let (mut first, mut second) = (server.secure(&tls), server.secure(&tls));
        replace(&files[0], authority.revokes(&[&bob.serial]).pem);
        eventually("it is revoked", || !works(&server, &tls));
        first.send("USER bob").expect(421);
        second.send(&format!("USER {USER}")).expect(331);
        second.send(&format!("PASS {USER}")).expect(421);
    }
}

/// As `openssl ca` makes them.
#[test]
fn lists_that_openssl_makes() {
    if !installed("openssl") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let run = |text: &str| {
        let mut command = Command::new("sh");
        program::run(command.args(["-ec", text]).current_dir(directory.path()))
    };
    let (made, said) = run("
        cat > ca.conf <<END
        [ca]
        default_ca = it
        [it]
        database = index.txt
        serial = serial
        crlnumber = number
        new_certs_dir = .
        certificate = ca.pem
        private_key = ca.key
        default_md = sha256
        default_days = 20
        default_crl_days = 20
        policy = policy
        unique_subject = no
        # Without extensions it makes certificates of version 1, which rustls does not verify.
        x509_extensions = extensions
        [extensions]
        basicConstraints = CA:false
        [policy]
        commonName = supplied
END
        touch index.txt; echo 1000 > serial; echo 01 > number
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=Authority -days 30
        for name in alice bob; do
            openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            openssl ca -batch -config ca.conf -in $name.csr -out $name.pem -notext
        done
        openssl ca -config ca.conf -revoke bob.pem
        openssl ca -config ca.conf -gencrl -out list.pem
        openssl crl -in list.pem -text -out text.pem
        openssl crl -in list.pem -outform der -out list.der
        sed -i /crlnumber/d ca.conf
        openssl ca -config ca.conf -gencrl -out old.pem
    ");
    assert!(made, "{said}");
    let path = |name: &str| format!("{:?}", directory.path().join(name));
    let setup = |list: &str| {
        Setup::new()
            .set("tls.client-certificates", r#""required""#)
            .set("tls.client-authorities", &path("ca.pem"))
            .set("tls.client-revocation", &path(list))
    };
    for list in ["list.pem", "list.der", "text.pem"] {
        let server = setup(list).start();
        let shakes = |name: &str| {
            let (_, said) = run(&format!(
                "echo QUIT | openssl s_client -connect {} -starttls ftp -cert {name}.pem \
                 -key {name}.key -crlf -ign_eof 2>&1",
                server.address
            ));
            said.contains("221 ")
        };
        assert!(shakes("alice"), "{list}: {}", server.log());
        assert!(!shakes("bob"), "{list}: {}", server.log());
    }
    let (status, said) = setup("old.pem").run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("it is of version 1 of CRLs"), "{said}");
}

/// Each control connection has ticket keys of its own, so that a new one is always verified.
#[test]
fn a_ticket_from_before_the_revocation_is_of_no_use() {
    let authority = Authority::new();
    let bob = authority.client("bob");
    let (setup, files) = setup("required", &[&authority], &[&authority.revokes(&[]).pem]);
    let server = setup.start();
    for version in VERSIONS {
        replace(&files[0], authority.revokes(&[]).pem);
        let tls = Tls::certificate(version, &bob);
        eventually("it is not revoked", || works(&server, &tls.apart()));
        let tls = tls.apart();
        assert!(works(&server, &tls));
        replace(&files[0], authority.revokes(&[&bob.serial]).pem);
        eventually("it is revoked", || {
            !works(&server, &tls.without_resumption())
        });
        assert!(!works(&server, &tls), "{version:?}: by its ticket");
    }
}

/// A connection that was there before the reload begins TLS after it.
#[test]
fn configurations_that_a_reload_has_replaced_are_followed_too() {
    let authority = Authority::new();
    let bob = authority.client("bob");
    let (setup, files) = setup("optional", &[&authority], &[&authority.revokes(&[]).pem]);
    // Nothing but the handshake holds it up.
    let server = setup.set("server.account-change", r#""keep""#).start();
    let tls = Tls::certificate(Version::V12, &bob);
    let mut old = server.connect();
    assert_eq!(server.setup().run(&["reload"]).0, 0);
    replace(&files[0], authority.revokes(&[&bob.serial]).pem);
    eventually("it is revoked", || !works(&server, &tls));
    old.send("AUTH TLS").expect(234);
    assert!(old.handshake(&tls).is_err());
    let told = "the lists of revoked certificates are read anew";
    eventually("it is said", || lines(&server, told) > 0);
    assert_eq!(lines(&server, told), 1, "{}", server.log());
}

/// The whole chain is looked up: also the authority between.
#[test]
fn an_authority_between_is_looked_up_too() {
    let root = Authority::named("Root");
    let (between, serial) = root.below("Between");
    let mut bob = between.client("bob");
    bob.chain = vec![between.certificate.clone()];
    let (of_root, of_between) = (root.revokes(&[]), between.revokes(&[]));
    let (setup, files) = setup("required", &[&root], &[&of_root.pem, &of_between.pem]);
    let mut server = setup.start();
    let tls = Tls::certificate(Version::V13, &bob);
    assert!(works(&server, &tls));
    replace(&files[0], root.revokes(&[&serial]).pem);
    eventually("the authority is revoked", || !works(&server, &tls));
    replace(&files[0], &of_root.pem);
    eventually("it is not any more", || works(&server, &tls));
    // Without its list nothing is known of what it has signed; both files may have both lists.
    replace(&files[1], &of_root.pem);
    eventually("its list is gone", || !works(&server, &tls));
    server.wait_for_line(|line| {
        line.contains("handshake failed") && line.contains("no list of the authority that signed")
    });
    replace(&files[1], format!("{}{}", of_root.pem, of_between.pem));
    eventually("one file has both", || works(&server, &tls));
}

/// Of two lists of one authority the newer one counts, in whatever order they are named.
#[test]
fn the_newest_list_counts() {
    let authority = Authority::new();
    let bob = authority.client("bob");
    let at = |days: u32| SystemTime::now() - DAY * days;
    let end = SystemTime::now() + DAY * 100;
    let old = authority.list(&[], at(9), end).pem;
    let new = authority.list(&[&bob.serial], at(2), end).pem;
    for lists in [[&*old, &new], [&new, &old]] {
        let (setup, _) = setup("required", &[&authority], &lists);
        let server = setup.start();
        assert!(!works(&server, &Tls::certificate(Version::V13, &bob)));
    }
}

#[test]
fn a_list_that_is_over_refuses_its_authority() {
    let (authority, other) = (Authority::named("One"), Authority::named("Other"));
    let (bob, alice) = (authority.client("bob"), other.client("alice"));
    let (setup, files) = setup(
        "optional",
        &[&authority, &other],
        &[&authority.revokes(&[]).pem, &other.revokes(&[]).pem],
    );
    let mut server = setup.start();
    let (bob, alice) = (
        Tls::certificate(Version::V13, &bob),
        Tls::certificate(Version::V13, &alice),
    );
    let mut session = bob_on(&server, &bob);
    let short = authority.revokes_until(&[], Duration::from_secs(3));
    replace(&files[0], short.pem);
    let over = "the list of CN=One expired on";
    server.wait_for_line(|line| line.contains("WARN") && line.contains(over));
    assert!(!works(&server, &bob));
    server.wait_for_line(|line| {
        line.contains("handshake failed") && line.contains("list of its authority has expired")
    });
    assert!(works(&server, &alice));
    // Nothing has been revoked.
    session.send("PWD").expect(257);
    replace(&files[0], authority.revokes(&[]).pem);
    eventually("there is a newer one", || works(&server, &bob));
    session.send("PWD").expect(257);
    assert_eq!(lines(&server, over), 1, "{}", server.log());
}

/// `check`, the start and a reload refuse what cannot be used, with file and key.
#[test]
fn lists_that_do_not_do_are_refused_with_file_and_key() {
    let (authority, other) = (Authority::named("One"), Authority::named("Other"));
    let good = authority.revokes(&[]);
    let stranger = Authority::named("One").revokes(&[]).pem;
    for (lists, key, why) in [
        (
            vec![&*good.pem],
            "tls.client-revocation: ",
            "no list of CN=Other, an authority of tls.client-authorities",
        ),
        (
            vec![&good.pem, "nonsense"],
            "tls.client-revocation[1]: ",
            "1.crl: it is no revocation list, or a damaged one",
        ),
        (
            vec![&stranger, &good.pem],
            "tls.client-revocation[0]: ",
            "0.crl: the list has not been signed by CN=One",
        ),
        (
            vec![&other.pem],
            "tls.client-revocation: ",
            "0.crl: no revocation list in it",
        ),
    ] {
        let (setup, _) = setup("required", &[&authority, &other], &lists);
        for words in [&["check"][..], &[]] {
            let (status, said) = setup.run(words);
            assert_eq!(status, 2, "{said}");
            assert!(said.contains(key) && said.contains(why), "{said}");
        }
    }
    let (setup, files) = setup("required", &[&authority], &[&good.pem]);
    let server = setup.start();
    fs::write(&files[0], &stranger).unwrap();
    let (status, said) = server.setup().run(&["reload"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("has not been signed by CN=One"), "{said}");
    let missing = super::revocation::setup("required", &[&authority], &[]).0;
    let missing = missing.set("tls.client-revocation", r#"["nowhere.crl"]"#);
    let (status, said) = missing.run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("nowhere.crl") && said.contains("No such file"),
        "{said}"
    );
}

#[test]
fn check_warns_of_lists_that_are_over_or_soon_will_be() {
    let (authority, other) = (Authority::named("One"), Authority::named("Other"));
    let at = SystemTime::now();
    let over = authority.list(&[], at - DAY * 40, at - DAY * 10).pem;
    let soon = other.list(&[], at - DAY * 25, at + DAY * 5).pem;
    let (setup, _) = setup("required", &[&authority, &other], &[&over, &soon]);
    setup.warm_up();
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    for (key, text) in [
        (
            "tls.client-revocation[0]: ",
            "the list of CN=One expired on 2",
        ),
        (
            "tls.client-revocation[1]: ",
            "the list of CN=Other expires on 2",
        ),
    ] {
        let mut lines = said.lines().filter(|line| line.starts_with("warning: "));
        let found = lines.any(|line| line.contains(key) && line.contains(text));
        assert!(found, "{said}");
    }
    let fine = other.list(&[], at - DAY, at + DAY * 6).pem;
    let all = authority.revokes(&[]).pem + &fine;
    let setup = super::revocation::setup("required", &[&authority, &other], &[&all]).0;
    setup.warm_up();
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    assert!(!said.contains("the list of"), "{said}");
    // Of no use.
    let setup = setup.set("tls.client-certificates", r#""off""#);
    let said = setup.run(&["check"]).1;
    assert!(
        said.contains("tls.client-revocation: has no effect"),
        "{said}"
    );
}
