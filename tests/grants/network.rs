//! TCP, UDP and names.

use crate::{plugin::Plugin, services::Service};

const OK: &str = "hello yourself";
const DENIED: &str = "error: access-denied";

fn tcp(grant: &str) -> String {
    format!("tcp = [{grant:?}]")
}

#[tokio::test]
async fn an_address_a_network_or_a_name_is_connected_to() {
    let service = Service::start().await;
    let (address, port) = (service.address, service.port());
    for grant in [
        address.to_string(),
        format!("127.0.0.0/8:{port}"),
        format!("localhost:{port}"),
    ] {
        let plugin = Plugin::with(&tcp(&grant)).await;
        assert_eq!(plugin.tries(&format!("tcp {address}")).await, OK, "{grant}");
    }
    service.left_alone().await;
}

#[tokio::test]
async fn anything_else_is_not() {
    let (service, other) = (Service::start().await, Service::start().await);
    let (address, port) = (service.address, service.port());
    for (grant, target) in [
        // Another port, another address, another network, another name.
        (address.to_string(), other.address.to_string()),
        (format!("127.0.0.2:{port}"), address.to_string()),
        (format!("10.0.0.0/8:{port}"), address.to_string()),
        (format!("x.invalid:{port}"), address.to_string()),
        (format!("localhost:{port}"), format!("127.0.0.2:{port}")),
        (
            format!("localhost:{port}"),
            format!("169.254.169.254:{port}"),
        ),
        (format!("[::/0]:{port}"), address.to_string()),
    ] {
        let plugin = Plugin::with(&tcp(&grant)).await;
        let said = plugin.tries(&format!("tcp {target}")).await;
        assert_eq!(said, DENIED, "{grant}: {target}");
    }
    // An IPv4 address in IPv6's clothes is no address at all, for WASI.
    let plugin = Plugin::with(&tcp(&address.to_string())).await;
    let said = plugin
        .tries(&format!("tcp [::ffff:127.0.0.1]:{port}"))
        .await;
    assert_eq!(said, "error: invalid-argument");
    assert_eq!((service.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn nothing_is_bound_nothing_listens_and_there_is_no_udp() {
    let service = Service::start().await;
    let plugin = Plugin::with(&tcp(&service.address.to_string())).await;
    // As Python does before it connects.
    assert_eq!(plugin.tries("bind 0.0.0.0:0").await, "bound");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    for action in [
        "bind 127.0.0.1:0".to_owned(),
        format!("bind 0.0.0.0:{port}"),
        format!("bind 127.0.0.1:{port}"),
        "listen 0.0.0.0:0".to_owned(),
        "udp".to_owned(),
    ] {
        assert_eq!(plugin.tries(&action).await, DENIED, "{action}");
    }
}

#[tokio::test]
async fn names_are_looked_up_where_it_is_granted() {
    let service = Service::start().await;
    let port = service.port();
    let grant = tcp(&format!("localhost:{port}"));
    let plugin = Plugin::with(&grant).await;
    let refused = "error: permanent-resolver-failure";
    assert_eq!(plugin.tries("lookup localhost").await, refused);
    let plugin = Plugin::with(&format!("dns = true\n{grant}")).await;
    plugin.told("lookup localhost", "127.0.0.1").await;
    assert_eq!(plugin.tries(&format!("name localhost:{port}")).await, OK);
    plugin
        .told("lookup x.invalid", "error: name-unresolvable")
        .await;
}
