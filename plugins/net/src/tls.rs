//! TLS over TCP: the server makes it, and compares the certificate with its authorities.

use crate::{Stream, tcp};
use bindings::wasi::tls::types::{ClientConnection, ClientHandshake};
use std::io;
use wasip2::sockets::tcp::TcpSocket;

mod bindings {
    wit_bindgen::generate!({
        world: "portcullis:net/tls",
        path: "wit",
        features: ["tls"],
        generate_all,
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
        },
    });
}

/// A connection that nobody reads along.
#[derive(Debug)]
pub struct Connection {
    /// The streams go first, or it traps: fields are dropped in this order.
    stream: Stream,
    _connection: ClientConnection,
    _socket: TcpSocket,
}

/// Makes TLS of a connection on which nothing else is under way; `name` is what the certificate has
/// to be made out to.
pub fn connect(plain: tcp::Connection, name: &str) -> io::Result<Connection> {
    let tcp::Connection { stream, socket } = plain;
    let deadline = stream.deadline;
    let handshake = ClientHandshake::new(name, stream.input, stream.output);
    let streams = ClientHandshake::finish(handshake);
    let (connection, input, output) = loop {
        match streams.get() {
            Some(Ok(Ok(done))) => break done,
            Some(Ok(Err(error))) => {
                return Err(io::Error::other(format!(
                    "TLS: {}",
                    error.to_debug_string()
                )));
            }
            Some(Err(())) => return Err(io::Error::other("TLS: no answer")),
            None => deadline.wait(&streams.subscribe())?,
        }
    };
    let stream = Stream {
        input,
        output,
        deadline,
    };
    Ok(Connection {
        stream,
        _connection: connection,
        _socket: socket,
    })
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
