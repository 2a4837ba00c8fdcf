//! TCP connections.

use crate::{Deadline, Stream};
use std::io;
use std::net::IpAddr;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// The streams go before the socket, or it traps: fields are dropped in this order.
    pub(crate) stream: Stream,
    pub(crate) socket: TcpSocket,
}

impl Connection {
    /// From now on nothing is waited for after this point in time.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        self.stream.deadline = deadline;
    }
}

/// Connects to an address, or to a name, which takes the grant to look it up; the name's addresses
/// are tried in turn.
pub fn connect(host: &str, port: u16, deadline: Deadline) -> io::Result<Connection> {
    if let Ok(address) = host.parse() {
        return connect_to(address, port, deadline);
    }
    let addresses = resolve_addresses(&instance_network(), host).map_err(failed)?;
    let mut result = Err(io::Error::other("the name has no addresses"));
    loop {
        match addresses.resolve_next_address() {
            Ok(Some(address)) => match connect_to(native(address), port, deadline) {
                Ok(connection) => return Ok(connection),
                error => result = error,
            },
            Ok(None) => return result,
            Err(ErrorCode::WouldBlock) => deadline.wait(&addresses.subscribe())?,
            Err(error) => return Err(failed(error)),
        }
    }
}

fn connect_to(address: IpAddr, port: u16, deadline: Deadline) -> io::Result<Connection> {
    let (family, address) = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            let address = (a, b, c, d);
            let address = Ipv4SocketAddress { port, address };
            (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(address))
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            let address = Ipv6SocketAddress {
                port,
                flow_info: 0,
                address: (a, b, c, d, e, f, g, h),
                scope_id: 0,
            };
            (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(address))
        }
    };
    let socket = create_tcp_socket(family).map_err(failed)?;
    socket
        .start_connect(&instance_network(), address)
        .map_err(failed)?;
    let (input, output) = loop {
        match socket.finish_connect() {
            Ok(streams) => break streams,
            Err(ErrorCode::WouldBlock) => deadline.wait(&socket.subscribe())?,
            Err(error) => return Err(failed(error)),
        }
    };
    let stream = Stream {
        input,
        output,
        deadline,
    };
    Ok(Connection { stream, socket })
}

fn native(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => [a, b, c, d].into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => [a, b, c, d, e, f, g, h].into(),
    }
}

fn failed(error: ErrorCode) -> io::Error {
    io::Error::other(error.name().replace('-', " "))
}

impl io::Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl io::Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
