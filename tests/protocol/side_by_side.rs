//! Several certificates on one address: each client gets one that it can verify.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::{CipherSuite, SignatureScheme};

use crate::support::{
    Authority, Setup, Tls, USER, Version,
    hello::{Answer, Hello, ServerHello, ask},
    tls::{Identity, VERSIONS},
};

/// The cipher suites of TLS 1.2 that the server has.
pub const SUITES_12: [u16; 6] = [0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9];

/// An RSA and an ECDSA certificate side by side, in this order.
pub fn side_by_side(order: [usize; 2], host: Option<&str>) -> (Setup, [Identity; 2]) {
    let authority = Authority::new();
    let name = host.unwrap_or("localhost");
    let both = [
        authority.server(name, &PKCS_RSA_SHA256),
        authority.server(name, &PKCS_ECDSA_P256_SHA256),
    ];
    let setup = Setup::new();
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    for index in order {
        let identity = &both[index];
        certificates.push(setup.file(&format!("{index}.pem"), &identity.certificate_pem));
        keys.push(setup.file(&format!("{index}.key"), &identity.key_pem));
    }
    let setup = setup
        .set("tls.certificate", &format!("{certificates:?}"))
        .set("tls.key", &format!("{keys:?}"));
    (setup, both)
}

fn hello_of(answer: Answer) -> ServerHello {
    match answer {
        Answer::Hello(hello) => *hello,
        other => panic!("expected a ServerHello, got {other:?}"),
    }
}

/// Each client gets the first certificate that it can verify, by what its hello says; also one that
/// knows RSA alone and names no host.
#[test]
fn the_certificate_is_one_that_the_client_can_verify() {
    let rsa: &[u16] = &[0x0401, 0x0501, 0x0804];
    let (ecdsa, all): (&[u16], &[u16]) = (&[0x0403], &[0x0403, 0x0401, 0x0804]);
    let suites_of =
        |kind: usize| -> &[u16] { [&[0xc02f, 0xc030, 0xcca8], &[0xc02b, 0xc02c, 0xcca9]][kind] };
    for order in [[0, 1], [1, 0]] {
        let (setup, both) = side_by_side(order, Some("ftp.example"));
        // The same beside it, for another name.
        let (other, two) = side_by_side(order, Some("two.example"));
        let table = |index: usize, kind: &str| {
            let name = format!("two-{index}.{kind}");
            let text = match kind {
                "pem" => &two[index].certificate_pem,
                _ => &two[index].key_pem,
            };
            setup.file(&name, text)
        };
        // Two tables of one name are side by side, too.
        let tables = order.map(|index| {
            let (certificate, key) = (table(index, "pem"), table(index, "key"));
            format!("[[tls.host]]\ncertificate = {certificate:?}\nkey = {key:?}\n")
        });
        drop(other);
        let server = setup.tables(&tables.concat()).start();
        for implicit in [false, true] {
            for (name, both) in [
                (None, &both),
                (Some("ftp.example"), &both),
                (Some("unknown.example"), &both),
                (Some("two.example"), &two),
            ] {
                for (schemes, suites, expected) in [
                    (rsa, &SUITES_12[..], 0),
                    (ecdsa, &SUITES_12, 1),
                    (all, &SUITES_12, order[0]),
                    // In TLS 1.2 the suites say it, too.
                    (all, suites_of(0), 0),
                    (all, suites_of(1), 1),
                ] {
                    let mut hello = Hello::v12(suites).schemes(schemes);
                    if let Some(name) = name {
                        hello = hello.host(name.as_bytes());
                    }
                    let found = hello_of(ask(&server, implicit, &hello.bytes()));
                    let expected = &both[expected].certificate;
                    assert!(
                        found.certificate == expected[..],
                        "{name:?} {schemes:x?} {suites:x?}"
                    );
                }
            }
        }
        use SignatureScheme as Is;
        for version in VERSIONS {
            for (schemes, expected) in [
                (&[Is::RSA_PSS_SHA256, Is::RSA_PKCS1_SHA256][..], 0),
                (&[Is::ECDSA_NISTP256_SHA256], 1),
                (&[Is::ECDSA_NISTP256_SHA256, Is::RSA_PSS_SHA256], order[0]),
            ] {
                let tls = Tls::only(version, None, Some(schemes)).host("ftp.example");
                let mut client = server.login_as(USER, &tls);
                let shown = client.connection().peer_certificates().unwrap()[0].clone();
                assert_eq!(shown, both[expected].certificate, "{version:?} {schemes:?}");
                client.store("STOR file", b"content").expect(226);
            }
        }
        // RSA for certificates alone, as TLS 1.3 has it: the other one signs the handshake.
        let schemes = [Is::RSA_PKCS1_SHA256, Is::ECDSA_NISTP256_SHA256];
        let client =
            server.secure(&Tls::only(Version::V13, None, Some(&schemes)).host("ftp.example"));
        let shown = client.connection().peer_certificates().unwrap()[0].clone();
        assert_eq!(shown, both[1].certificate);
        let suites = [CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384];
        let client = server.secure(&Tls::suites(Version::V12, &suites));
        let suite = client.connection().negotiated_cipher_suite().unwrap();
        assert_eq!(suite.suite(), suites[0]);
    }
}
