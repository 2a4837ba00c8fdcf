//! HTTP services that answer before they have read what they are asked.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// The next step of a service once it has answered, with the body unread.
#[derive(Clone, Copy)]
pub enum Then {
    /// It closes, which resets the connection.
    Closes,
    /// It stays, and never reads.
    Stays,
}

/// Starts one that gives everybody this answer, and says where it is.
pub fn start(answer: &'static str, then: Then) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for client in listener.incoming() {
            let client = head(client.unwrap(), answer);
            open.extend(client.filter(|_| matches!(then, Then::Stays)));
        }
    });
    format!("http://{address}")
}

/// Reads the head, and not a byte more, and answers.
fn head(mut client: TcpStream, answer: &str) -> Option<TcpStream> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let length = answer.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}");
    client.write_all(answer.as_bytes()).ok()?;
    Some(client)
}
