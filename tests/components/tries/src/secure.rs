//! TLS over TCP.

use crate::{Told, network};

mod bindings {
    wit_bindgen::generate!({
        world: "secure",
        path: "wit",
        with: {
            "wasi:io/streams@0.2.12": wasip2::io::streams,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:tls/types@0.2.0-draft": generate,
        },
    });
}

use bindings::wasi::tls::types::ClientHandshake;

pub fn tls(address: &str, name: &str) -> Told {
    let connection = network::connect(address)?;
    let network::Connection {
        reader,
        writer,
        socket,
    } = connection;
    let streams = ClientHandshake::finish(ClientHandshake::new(name, reader, writer));
    streams.subscribe().block();
    let (connection, reader, writer) = streams
        .get()
        .ok_or("not ready")?
        .map_err(|()| "taken before")?
        .map_err(|error| error.to_debug_string())?;
    drop(streams);
    let told = network::exchange(&reader, &writer);
    drop((reader, writer));
    drop(connection);
    drop(socket);
    told
}
