//! HTTP.

use std::time::Instant;

use crate::{
    plugin::{Plugin, SOON},
    services::Service,
    support::tls::Identity,
};

/// Grants of HTTP to these.
fn http(grants: &str) -> String {
    format!("http = [{grants}]")
}

fn loopback(url: &str) -> String {
    http(&format!(
        "{{ url = {url:?}, networks = [\"127.0.0.0/8\", \"::1/128\"] }}"
    ))
}

#[tokio::test]
async fn what_is_granted_is_asked_and_answers_come_as_they_are() {
    let service = Service::start().await;
    let plain = format!("http://{}", service.address);
    let plugin = Plugin::with(&http(&format!("{plain:?}"))).await;
    for (path, expected) in [
        ("login", "200 welcome"),
        ("unauthorized", "401 "),
        ("unknown", "404 "),
        ("error", "500 "),
        ("nonsense", "200 no account"),
    ] {
        assert_eq!(
            plugin.tries(&format!("http {plain}/{path}")).await,
            expected
        );
    }
    service.left_alone().await;
}

#[tokio::test]
async fn what_is_not_granted_is_never_connected_to() {
    let (service, other) = (Service::start().await, Service::start().await);
    let address = service.address;
    let plugin = Plugin::with(&http(&format!("\"http://{address}\""))).await;
    for url in [
        format!("http://{}/login", other.address),
        format!("http://localhost:{}/login", service.port()),
        format!("https://{address}/login"),
        format!("http://x@{address}/login"),
        format!("http://x:y@{address}/login"),
        format!("http://{address}@{}/login", other.address),
        format!("http://[::ffff:127.0.0.1]:{}/login", service.port()),
        format!("http://2130706433:{}/login", service.port()),
        format!("http://0177.0.0.1:{}/login", service.port()),
        format!("http://127.0.0.1.:{}/login", service.port()),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        plugin
            .told(&format!("http {url}"), "HttpRequestDenied")
            .await;
    }
    assert_eq!((service.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn names_point_to_public_addresses_or_to_the_networks_of_the_grant() {
    let service = Service::start().await;
    let by_name = format!("http://localhost:{}", service.port());
    let action = format!("http {by_name}/login");
    for networks in ["", "10.0.0.0/8"] {
        let networks = match networks {
            "" => String::new(),
            network => format!("{network:?}"),
        };
        let grant = http(&format!("{{ url = {by_name:?}, networks = [{networks}] }}"));
        let plugin = Plugin::with(&grant).await;
        plugin.told(&action, "DestinationIpProhibited").await;
    }
    assert_eq!(service.connections(), 0);
    let plugin = Plugin::with(&loopback(&by_name)).await;
    assert_eq!(plugin.tries(&action).await, "200 welcome");
    let plugin = Plugin::with(&loopback("http://x.invalid")).await;
    plugin.told("http http://x.invalid/", "DnsError").await;
}

#[tokio::test]
async fn a_redirect_leads_nowhere_else() {
    let (service, other) = (Service::start().await, Service::start().await);
    let elsewhere = format!("http://{}/login", other.address);
    *service.seen.elsewhere.lock().unwrap() = elsewhere.clone();
    let plain = format!("http://{}", service.address);
    let plugin = Plugin::with(&http(&format!("{plain:?}"))).await;
    assert_eq!(plugin.tries(&format!("http {plain}/moved")).await, "302 ");
    plugin
        .told(&format!("http {elsewhere}"), "HttpRequestDenied")
        .await;
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn https_trusts_the_authorities_of_the_grant() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::server("localhost");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, &identity.certificate_pem).unwrap();
    let service = Service::secure(&identity).await;
    let secure = format!("https://localhost:{}", service.port());
    let by_address = format!("https://{}", service.address);
    let action = format!("http {secure}/login");

    let trusted = format!("authorities = {file:?}\n{}", loopback(&secure));
    let plugin = Plugin::with(&trusted).await;
    assert_eq!(plugin.tries(&action).await, "200 welcome");
    let plugin = Plugin::with(&loopback(&secure)).await;
    plugin.told(&action, "TlsCertificateError").await;
    let trusted = format!(
        "authorities = {file:?}\n{}",
        http(&format!("{by_address:?}"))
    );
    let plugin = Plugin::with(&trusted).await;
    let action = format!("http {by_address}/login");
    plugin.told(&action, "TlsCertificateError").await;
    service.left_alone().await;
}

#[tokio::test]
async fn requests_and_answers_are_bounded() {
    let service = Service::start().await;
    let plain = format!("http://{}", service.address);
    let plugin = Plugin::with(&http(&format!("{plain:?}"))).await;
    let said = plugin.tries(&format!("http {plain}/long")).await;
    assert!(
        said.contains("error: HTTP response body size exceeds limit"),
        "{said}"
    );
    let said = plugin.tries(&format!("http {plain}/login 65536")).await;
    assert_eq!(said, "200 welcome");
    let said = plugin.tries(&format!("http {plain}/login 4000000")).await;
    assert!(said.starts_with("error: "), "{said}");
    service.left_alone().await;
}

/// RFC 9112 §9.5
#[tokio::test]
async fn regression_an_answer_that_came_counts_though_the_request_was_not_read() {
    let service = Service::start().await;
    let plain = format!("http://{}", service.address);
    let plugin = Plugin::with(&http(&format!("{plain:?}"))).await;
    for length in [0, 10, 4096, 65_536, 1_000_000] {
        for path in ["early", "deaf"] {
            for _ in 0..20 {
                let said = plugin.tries(&format!("http {plain}/{path} {length}")).await;
                assert_eq!(said, "200 welcome", "{path} {length}");
            }
        }
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let service = Service::start().await;
    let plain = format!("http://{}", service.address);
    let plugin = Plugin::with(&http(&format!("{plain:?}"))).await;
    let said = plugin.tries(&format!("many {plain}/silent")).await;
    assert_eq!(said, "4 refused");
    assert_eq!(service.connections(), 16);
    service.left_alone().await;
}

#[tokio::test]
async fn waiting_is_bounded() {
    let service = Service::start().await;
    let plain = format!("http://{}", service.address);
    let grant = http(&format!("{plain:?}"));
    let plugin = Plugin::with(&grant).await;
    for path in ["stall", "silent"] {
        let said = plugin.tries(&format!("hurry {plain}/{path}")).await;
        assert!(
            said.to_lowercase()
                .replace(' ', "")
                .contains("connectionreadtimeout"),
            "{said}"
        );
    }
    let plugin = Plugin::hurried(&grant).await;
    for path in ["drip", "stall", "silent"] {
        let begun = Instant::now();
        let action = format!("http {plain}/{path}");
        let said = plugin.tries(&action).await;
        let late = said.starts_with("fault late: no answer within limits.wall-time");
        // The server's own limits on waiting are the same.
        assert!(
            late || path != "drip" && said.starts_with("error: "),
            "{path}: {said}"
        );
        assert!(begun.elapsed() < SOON * 5, "{path}");
    }
    service.left_alone().await;
}
