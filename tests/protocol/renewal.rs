//! Certificates that are renewed while the server runs.

use std::{fs, path::Path, thread, time::Duration};

use rcgen::PKCS_ECDSA_P256_SHA256;

use crate::support::{
    Authority, Server, Setup, Tls, USER, eventually,
    tls::{Identity, Status, VERSIONS},
};

fn replace(file: &Path, content: &str) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}

/// The certificate that new sessions get.
fn shown(server: &Server) -> Vec<u8> {
    let client = server.secure(&Tls::new());
    client.connection().peer_certificates().unwrap()[0].to_vec()
}

fn with(identity: &Identity) -> Setup {
    let setup = Setup::new();
    let certificate = setup.file("chain.pem", &identity.certificate_pem);
    let key = setup.file("key.pem", &identity.key_pem);
    setup
        .set("tls.certificate", &format!("{certificate:?}"))
        .set("tls.key", &format!("{key:?}"))
}

/// Neither a reload nor a restart is needed, and sessions that are there do not notice.
#[test]
fn a_renewed_certificate_is_taken_by_itself() {
    let (old, new) = (
        Identity::server("one.example"),
        Identity::server("two.example"),
    );
    let server = with(&old).start();
    let mut sessions = VERSIONS.map(|version| server.login_as(USER, &Tls::version(version)));
    assert_eq!(shown(&server), old.certificate.to_vec());
    // One after the other, as programs do that renew them.
    let (certificate, key) = (
        server.state().with_file_name("chain.pem"),
        server.state().with_file_name("key.pem"),
    );
    replace(&certificate, &new.certificate_pem);
    thread::sleep(Duration::from_millis(300));
    replace(&key, &new.key_pem);
    eventually("new sessions get the new one", || {
        shown(&server) == new.certificate.to_vec()
    });
    for session in &mut sessions {
        session.store("STOR file", b"content").expect(226);
        assert_eq!(session.retrieve("RETR file"), b"content");
    }
    assert!(server.log().contains("the certificates are read anew"));
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

/// A key that is another's, or a file that is gone, leaves in force what was; the log says so once.
#[test]
fn a_pair_that_does_not_fit_changes_nothing() {
    let (old, new) = (
        Identity::server("one.example"),
        Identity::server("two.example"),
    );
    let mut server = with(&old).start();
    let certificate = server.state().with_file_name("chain.pem");
    replace(&certificate, &new.certificate_pem);
    let line = server.wait_for_line(|line| line.contains("the last good one stays in force"));
    assert!(
        line.contains("key.pem") && line.contains("tls.key"),
        "{line}"
    );
    assert_eq!(shown(&server), old.certificate.to_vec());
    thread::sleep(Duration::from_secs(3));
    let text = server.log();
    assert_eq!(
        text.matches("the last good one stays in force").count(),
        1,
        "{text}"
    );
    fs::remove_file(&certificate).unwrap();
    server.wait_for_line(|line| line.contains("chain.pem") && line.contains("No such file"));
    assert_eq!(shown(&server), old.certificate.to_vec());
    replace(&certificate, &new.certificate_pem);
    replace(&server.state().with_file_name("key.pem"), &new.key_pem);
    eventually("they fit again", || {
        shown(&server) == new.certificate.to_vec()
    });
}

/// A response that is stapled is about the certificate that is there.
#[test]
fn a_renewed_certificate_gets_no_response_about_the_old_one() {
    let authority = Authority::new();
    let [old, new] = ["a", "b"].map(|_| authority.server("localhost", &PKCS_ECDSA_P256_SHA256));
    let [to_old, to_new] = [&old, &new]
        .map(|identity| authority.ocsp(&identity.certificate, Status::Good, -86_400, Some(86_400)));
    let setup = Setup::new();
    let certificate = setup.file("chain.pem", old.certificate_pem.clone() + &authority.pem);
    let key = setup.file("key.pem", &old.key_pem);
    let response = setup.file("staple.der", &to_old);
    let mut server = setup
        .set("tls.certificate", &format!("{certificate:?}"))
        .set("tls.key", &format!("{key:?}"))
        .set("tls.ocsp-response", &format!("{response:?}"))
        .start();
    let stapled = || {
        let tls = Tls::new();
        server.secure(&tls).send("NOOP").expect(200);
        tls.stapled.lock().unwrap().clone()
    };
    assert_eq!(stapled(), to_old);
    replace(&key, &new.key_pem);
    replace(
        &certificate,
        &(new.certificate_pem.clone() + &authority.pem),
    );
    eventually("nothing is stapled", || stapled().is_empty());
    fs::write(response.with_extension("new"), &to_new).unwrap();
    fs::rename(response.with_extension("new"), &response).unwrap();
    eventually("the new one is stapled", || stapled() == to_new);
    server.wait_for_line(|line| line.contains("the certificates are read anew"));
}
