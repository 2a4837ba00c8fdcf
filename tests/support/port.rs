//! Ports that are known before anything listens on them.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
};

/// A port of 127.0.0.1 on which nobody listens. The last connection to it is in TIME_WAIT, so that the system gives it
/// to no other process for a minute: only who asks for this very port, with SO_REUSEADDR, has it.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    // The side that ends first waits.
    drop(listener.accept().unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    address.port()
}
