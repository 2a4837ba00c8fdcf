//! TCP, UDP and names.

use crate::Told;
use std::net::SocketAddr;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// The streams go before the socket: fields are dropped in this order.
pub struct Connection {
    pub reader: InputStream,
    pub writer: OutputStream,
    pub socket: TcpSocket,
}

fn failed(error: ErrorCode) -> String {
    error.name().into()
}

fn family(address: SocketAddr) -> IpAddressFamily {
    match address {
        SocketAddr::V4(_) => IpAddressFamily::Ipv4,
        SocketAddr::V6(_) => IpAddressFamily::Ipv6,
    }
}

fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port: address.port(),
                address: (a, b, c, d),
            })
        }
        SocketAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: address.port(),
                flow_info: 0,
                address: (a, b, c, d, e, f, g, h),
                scope_id: 0,
            })
        }
    }
}

fn parse(address: &str) -> Result<SocketAddr, String> {
    address
        .parse()
        .map_err(|_| format!("no address: {address}"))
}

pub fn connect(address: &str) -> Result<Connection, String> {
    let address = parse(address)?;
    let socket = create_tcp_socket(family(address)).map_err(failed)?;
    socket
        .start_connect(&instance_network(), to_wasi(address))
        .map_err(failed)?;
    socket.subscribe().block();
    let (reader, writer) = socket.finish_connect().map_err(failed)?;
    Ok(Connection {
        reader,
        writer,
        socket,
    })
}

/// Sends a line, and reads one.
pub fn exchange(reader: &InputStream, writer: &OutputStream) -> Told {
    let failed = |error: StreamError| match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    };
    writer
        .blocking_write_and_flush(b"hello\n")
        .map_err(failed)?;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.extend(reader.blocking_read(100).map_err(failed)?);
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

pub fn tcp(address: &str) -> Told {
    let connection = connect(address)?;
    exchange(&connection.reader, &connection.writer)
}

/// Connects to what a name and a port stand for.
pub fn name(name: &str) -> Told {
    let (name, port) = name.split_once(':').ok_or("no port")?;
    let addresses = lookup(name)?;
    let mut error = "no address".to_owned();
    for address in addresses
        .split(' ')
        .filter(|address| !address.contains(':'))
    {
        match tcp(&format!("{address}:{port}")) {
            Ok(told) => return Ok(told),
            Err(why) => error = why,
        }
    }
    Err(error)
}

pub fn bind(address: &str) -> Told {
    let address = parse(address)?;
    let socket = create_tcp_socket(family(address)).map_err(failed)?;
    bound(&socket, address)?;
    Ok("bound".into())
}

fn bound(socket: &TcpSocket, address: SocketAddr) -> Result<(), String> {
    let network = instance_network();
    socket
        .start_bind(&network, to_wasi(address))
        .map_err(failed)?;
    socket.subscribe().block();
    socket.finish_bind().map_err(failed)
}

pub fn listen(address: &str) -> Told {
    let address = parse(address)?;
    let socket = create_tcp_socket(family(address)).map_err(failed)?;
    bound(&socket, address)?;
    socket.start_listen().map_err(failed)?;
    socket.subscribe().block();
    socket.finish_listen().map_err(failed)?;
    Ok("listening".into())
}

pub fn udp() -> Told {
    let socket = create_udp_socket(IpAddressFamily::Ipv4).map_err(failed)?;
    let address = to_wasi(SocketAddr::from(([0, 0, 0, 0], 0)));
    socket
        .start_bind(&instance_network(), address)
        .map_err(failed)?;
    socket.finish_bind().map_err(failed)?;
    Ok("bound".into())
}

pub fn lookup(name: &str) -> Told {
    let stream = resolve_addresses(&instance_network(), name).map_err(failed)?;
    let mut addresses = Vec::new();
    loop {
        stream.subscribe().block();
        match stream.resolve_next_address().map_err(failed)? {
            None => return Ok(addresses.join(" ")),
            Some(IpAddress::Ipv4((a, b, c, d))) => addresses.push(format!("{a}.{b}.{c}.{d}")),
            Some(IpAddress::Ipv6(parts)) => addresses.push(format!("{parts:?}").replace(' ', ":")),
        }
    }
}
