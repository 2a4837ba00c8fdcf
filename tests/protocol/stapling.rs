//! OCSP responses that are stapled to the server's certificates: `tls.ocsp-response`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

use crate::support::{
    Authority, Server, Setup, Tls, USER, eventually,
    program::{expect, installed},
    tls::{Identity, Status, VERSIONS},
};

const DAY: i64 = 86_400;

/// A server with a certificate of this authority, which is in the chain, and a response to it.
fn setup(authority: &Authority, identity: &Identity, response: &[u8]) -> (Setup, PathBuf) {
    let setup = Setup::new();
    let chain = identity.certificate_pem.clone() + &authority.pem;
    let certificate = setup.file("chain.pem", chain);
    let key = setup.file("key.pem", &identity.key_pem);
    let file = setup.file("staple.der", response);
    let setup = setup
        .set("tls.certificate", &format!("{certificate:?}"))
        .set("tls.key", &format!("{key:?}"))
        .set("tls.ocsp-response", &format!("{file:?}"));
    (setup, file)
}

/// The response that comes with a handshake.
fn stapled(server: &Server, tls: &Tls) -> Vec<u8> {
    server.secure(tls).send("NOOP").expect(200);
    tls.stapled.lock().unwrap().clone()
}

fn replace(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}

fn count(server: &Server, text: &str) -> usize {
    server.log().matches(text).count()
}

#[test]
fn a_response_goes_with_its_certificate() {
    let (authority, other) = (Authority::named("One"), Authority::named("Other"));
    let identity = authority.server("one.example", &PKCS_ECDSA_P256_SHA256);
    let second = other.server("two.example", &PKCS_ED25519);
    let third = other.server("three.example", &PKCS_ECDSA_P256_SHA256);
    let good = |authority: &Authority, identity: &Identity, end| {
        authority.ocsp(&identity.certificate, Status::Good, -DAY, end)
    };
    let response = good(&authority, &identity, Some(DAY));
    // Not even a chain is needed, and a response may be without an end.
    let to_second = good(&other, &second, None);
    let (setup, _) = setup(&authority, &identity, &response);
    let file = |name: &str, content: &[u8]| setup.file(name, content);
    let host = format!(
        "[[tls.host]]\ncertificate = [{:?}, {:?}]\nkey = [{:?}, {:?}]\nocsp-response = {:?}\n",
        file("third.pem", third.certificate_pem.as_bytes()),
        file("second.pem", second.certificate_pem.as_bytes()),
        file("third.key", third.key_pem.as_bytes()),
        file("second.key", second.key_pem.as_bytes()),
        file("second.der", &to_second),
    );
    let server = setup.tables(&host).start();
    for version in VERSIONS {
        let tls = Tls::version(version);
        for (name, expected) in [
            ("one.example", &response),
            ("two.example", &to_second),
            ("three.example", &vec![]),
            ("unknown.example", &response),
        ] {
            assert_eq!(stapled(&server, &tls.host(name)), *expected, "{name}");
        }
    }
    // A session goes on with what it has; data connections have it, too.
    let tls = Tls::new().without_resumption();
    let mut client = server.login_as(USER, &tls);
    tls.stapled.lock().unwrap().clear();
    client.tls = Some(tls.clone());
    client.store("STOR file", b"content").expect(226);
    assert_eq!(*tls.stapled.lock().unwrap(), response);
}

#[test]
fn a_response_that_does_not_do_is_refused_with_file_and_key() {
    let (authority, other) = (Authority::named("One"), Authority::named("Other"));
    let impostor = Authority::named("One");
    let identity = authority.server("localhost", &PKCS_ECDSA_P256_SHA256);
    let stranger = authority.server("localhost", &PKCS_ECDSA_P256_SHA256);
    let of = |status, begin, end| authority.ocsp(&identity.certificate, status, begin, end);
    let good = of(Status::Good, -DAY, Some(DAY));
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let cases = [
        (&b"no response"[..], "it is no OCSP response (DER)"),
        (&good[..good.len() - 1], "it is no OCSP response (DER)"),
        (
            &[0x30, 3, 0x0a, 1, 3],
            "the responder answered with \"try later\"",
        ),
        (
            &of(Status::Revoked, -DAY, Some(DAY)),
            "the certificate is revoked",
        ),
        (
            &of(Status::Unknown, -DAY, Some(DAY)),
            "does not know the certificate",
        ),
        (&of(Status::Good, -2 * DAY, Some(-DAY)), "it expired on 2"),
        (
            &of(Status::Good, DAY, Some(2 * DAY)),
            "it is not valid before 2",
        ),
        (
            &authority.ocsp(&stranger.certificate, Status::Good, -DAY, Some(DAY)),
            "it is about another certificate (serial number ",
        ),
        (
            &other.ocsp(&identity.certificate, Status::Good, -DAY, Some(DAY)),
            "it is about another certificate",
        ),
        (
            &impostor.ocsp(&identity.certificate, Status::Good, -DAY, Some(DAY)),
            "it is about another certificate",
        ),
        (&forged, "signed neither by the certificate's authority"),
    ];
    let (setup, file) = setup(&authority, &identity, &good);
    for (content, why) in cases {
        fs::write(&file, content).unwrap();
        for words in [&["check"][..], &[]] {
            let (status, said) = setup.run(words);
            assert_eq!(status, 2, "{why}: {said}");
            for text in ["tls.ocsp-response: ", "staple.der: ", why] {
                assert!(said.contains(text), "{text}: {said}");
            }
        }
    }
    fs::write(&file, &good).unwrap();
    setup.warm_up();
    assert_eq!(setup.run(&["check"]).0, 0);
    let server = setup.start();
    fs::write(&file, of(Status::Revoked, -DAY, Some(DAY))).unwrap();
    let (status, said) = server.setup().run(&["reload"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("the certificate is revoked"), "{said}");
}

#[test]
fn a_changed_response_is_stapled_soon_and_one_that_expires_is_not_any_more() {
    let authority = Authority::named("One");
    let identity = authority.server("localhost", &PKCS_ECDSA_P256_SHA256);
    let of = |end| authority.ocsp(&identity.certificate, Status::Good, -DAY, Some(end));
    let (first, second) = (of(DAY), of(2 * DAY));
    let (setup, file) = setup(&authority, &identity, &first);
    let mut server = setup.start();
    let tls = Tls::new();
    assert_eq!(stapled(&server, &tls), first);
    replace(&file, &second);
    eventually("by a rename", || stapled(&server, &tls) == second);
    fs::write(&file, &first).unwrap();
    eventually("in place", || stapled(&server, &tls) == first);
    // A response that will not do leaves the last good one.
    let kept = "stays in force";
    let revoked = authority.ocsp(&identity.certificate, Status::Revoked, -DAY, Some(DAY));
    for (content, why) in [
        (&revoked[..], "is revoked"),
        (b"nonsense", "no OCSP response"),
    ] {
        fs::write(&file, content).unwrap();
        server.wait_for_line(|line| line.contains(kept) && line.contains(why));
        assert_eq!(stapled(&server, &tls), first, "{why}");
    }
    assert_eq!(count(&server, kept), 2, "{}", server.log());
    // In as short a time it is over.
    replace(&file, &of(6));
    let told = "it has expired, and is not stapled any more";
    server.wait_for_line(|line| line.contains("WARN") && line.contains(told));
    assert_eq!(stapled(&server, &tls), b"");
    replace(&file, &second);
    eventually("there is a newer one", || stapled(&server, &tls) == second);
    assert_eq!(count(&server, told), 1, "{}", server.log());
}

/// Responses as `openssl ocsp` makes them, by a responder that the authority has authorised, and the
/// verdict of its client on them.
#[test]
fn responses_that_openssl_makes_satisfy_its_client() {
    if !installed("openssl") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let run = |text: &str| {
        expect(
            Command::new("sh")
                .args(["-ec", text])
                .current_dir(directory.path()),
        )
    };
    run("
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=Authority -days 30
        for name in localhost responder; do
            openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
        done
        echo 'subjectAltName = DNS:localhost' > localhost.ext
        echo 'extendedKeyUsage = OCSPSigning' > responder.ext
        openssl x509 -req -in localhost.csr -CA ca.pem -CAkey ca.key -set_serial 0x1001 \\
            -extfile localhost.ext -days 20 -out localhost.pem
        openssl x509 -req -in responder.csr -CA ca.pem -CAkey ca.key -set_serial 0x1002 \\
            -extfile responder.ext -days 20 -out responder.pem
        cat localhost.pem ca.pem > chain.pem
        printf 'V\\t300101000000Z\\t\\t1001\\tunknown\\t/CN=localhost\\n' > good.txt
        printf 'R\\t300101000000Z\\t250101000000Z\\t1001\\tunknown\\t/CN=localhost\\n' > revoked.txt
        printf 'V\\t300101000000Z\\t\\t2222\\tunknown\\t/CN=other\\n' > unknown.txt
        for hash in sha1 sha256; do
            openssl ocsp -$hash -issuer ca.pem -cert localhost.pem -no_nonce -reqout request.der
            for state in good revoked unknown; do
                openssl ocsp -index $state.txt -CA ca.pem -rsigner responder.pem \\
                    -rkey responder.key -reqin request.der -ndays 3 -respout $state-$hash.der
            done
        done
    ");
    let path = |name: &str| format!("{:?}", directory.path().join(name));
    let setup = |response: &str| {
        Setup::new()
            .set("tls.certificate", &path("chain.pem"))
            .set("tls.key", &path("localhost.key"))
            .set("tls.ocsp-response", &path(response))
    };
    for hash in ["sha1", "sha256"] {
        let server = setup(&format!("good-{hash}.der")).start();
        for version in ["-tls1_2", "-tls1_3"] {
            let said = run(&format!(
                "echo QUIT | openssl s_client -connect {} -starttls ftp {version} -status \\
                 -CAfile ca.pem -verify_return_error -crlf 2>&1",
                server.address
            ));
            for text in [
                "OCSP Response Status: successful",
                "Cert Status: good",
                "Verify return code: 0",
            ] {
                assert!(said.contains(text), "{text}: {said}");
            }
        }
        for (state, why) in [
            ("revoked", "says that the certificate is revoked"),
            ("unknown", "the responder does not know the certificate"),
        ] {
            let (status, said) = setup(&format!("{state}-{hash}.der")).run(&["check"]);
            assert_eq!(status, 2, "{said}");
            assert!(said.contains(why), "{said}");
        }
    }
}
