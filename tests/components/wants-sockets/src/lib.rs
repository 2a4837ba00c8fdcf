//! An authenticator that opens a TCP connection, for which it was granted no address.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "authenticator", path: "../../../wit" });

use exports::portcullis::plugin::authentication::{Credentials, Failure, Guest, Outcome};
use portcullis::plugin::types::Session;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

struct WantsSockets;
export!(WantsSockets);

impl Guest for WantsSockets {
    fn authenticate(_session: Session, _credentials: Credentials) -> Result<Outcome, Failure> {
        match connect() {
            Ok(()) => Err(Failure::Internal("connected".into())),
            Err(error) => Err(Failure::Unavailable(error.name().into())),
        }
    }
}

fn connect() -> Result<(), ErrorCode> {
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: 9,
        address: (127, 0, 0, 1),
    });
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), address)?;
    socket.subscribe().block();
    let (_reader, _writer) = socket.finish_connect()?;
    Ok(())
}
