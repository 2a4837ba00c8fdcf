//! TLS over TCP.

use crate::{plugin::Plugin, services::Service, support::tls::Identity};

#[tokio::test]
async fn tls_trusts_the_authorities_of_the_grant_and_compares_the_name() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::server("ldap.example.org");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, &identity.certificate_pem).unwrap();
    let service = Service::secure(&identity).await;
    let address = service.address;
    let grant = format!("tcp = [\"{address}\"]");
    let action = format!("tls {address} ldap.example.org");
    let failed = "the TLS handshake failed";

    let plugin = Plugin::with(&format!("{grant}\nauthorities = {file:?}")).await;
    assert_eq!(plugin.tries(&action).await, "hello yourself");
    for name in ["other.example.org", "127.0.0.1", "not a name"] {
        plugin
            .told(
                &format!("tls {address} {}", name.replace(' ', "_.")),
                failed,
            )
            .await;
    }
    Plugin::with(&grant).await.told(&action, failed).await;
    service.left_alone().await;
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_ends_it() {
    let service = Service::start().await;
    let address = service.address;
    let plugin = Plugin::hurried(&format!("tcp = [\"{address}\"]")).await;
    let said = plugin.tries(&format!("tls {address} localhost")).await;
    assert!(
        said.contains("error: ") || said.contains("fault late"),
        "{said}"
    );
    service.left_alone().await;
}
