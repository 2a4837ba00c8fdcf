//! Bytes that are gathered, held back and counted.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use rustix::net::sockopt::tcp_quickack;

async fn pair() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, client) = tokio::join!(listener.accept(), client);
    let socket = Socket::new(accepted.unwrap().0, Arc::default(), false);
    (socket, client.unwrap())
}

#[tokio::test]
async fn little_is_sent_with_the_end() {
    let (mut socket, mut client) = pair().await;
    let held = Arc::new(AtomicBool::new(true));
    socket.hold(held);
    socket.write_all(b"tickets ").await.unwrap();
    socket.release();
    socket.gather();
    socket.write_all(b"content ").await.unwrap();
    socket.flush().await.unwrap();
    assert_eq!(socket.meter.moved(), 0);
    let mut all = String::new();
    let nothing = client.read_to_string(&mut all);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), nothing)
            .await
            .is_err()
    );
    socket.write_all(b"end").await.unwrap();
    socket.shutdown().await.unwrap();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "tickets content end");
    assert_eq!(socket.meter.moved(), 19);
}

#[tokio::test]
async fn much_is_sent_at_once_and_in_order() {
    let (mut socket, mut client) = pair().await;
    socket.gather();
    let pieces: Vec<Vec<u8>> = (0..200u8)
        .map(|number| vec![number; usize::from(number) * 577 % 30_011])
        .collect();
    let expected = pieces.concat();
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.map(|_| all)
    });
    for (at, piece) in pieces.iter().enumerate() {
        let slices = [io::IoSlice::new(piece)];
        match at % 2 {
            0 => socket.write_all(piece).await.unwrap(),
            _ => {
                let written = socket.write_vectored(&slices).await.unwrap();
                socket.write_all(&piece[written..]).await.unwrap();
            }
        }
        assert!(socket.held.len() <= GATHERED);
    }
    socket.shutdown().await.unwrap();
    assert!(reading.await.unwrap().unwrap() == expected);
    assert_eq!(socket.meter.moved(), expected.len() as u64);
}

/// Whether the system acknowledges at once, after a server that has answered read what came, and waited for
/// more. `None` where that took so long that the system did so by itself.
async fn acknowledges(receives: bool, record: &[u8]) -> Option<bool> {
    let (socket, mut client) = pair().await;
    let mut socket = Socket::new(socket.tcp, Arc::default(), true);
    // They talk in turns, as in a handshake: the system leaves what it has to acknowledge to the answer.
    for _ in 0..3 {
        client.write_all(&[22, 3, 3, 0, 1, 0]).await.unwrap();
        socket.read_exact(&mut [0; 6]).await.unwrap();
        socket.write_all(b"answer").await.unwrap();
        client.read_exact(&mut [0; 6]).await.unwrap();
    }
    if receives {
        socket.receives();
    }
    let begun = std::time::Instant::now();
    client.write_all(record).await.unwrap();
    socket.read_exact(&mut vec![0; record.len()]).await.unwrap();
    let nothing = socket.read_u8();
    let waited = tokio::time::timeout(Duration::from_millis(1), nothing).await;
    assert!(waited.is_err());
    let acknowledges = tcp_quickack(&socket.tcp).unwrap();
    (begun.elapsed() < Duration::from_millis(20)).then_some(acknowledges)
}

#[tokio::test]
async fn the_end_of_a_record_is_acknowledged_at_once() {
    let (part, whole) = (&[23, 3, 3, 0, 2, 1][..], &[23, 3, 3, 0, 2, 1, 2][..]);
    for (receives, record, expected) in [
        (false, whole, false),
        // Within a record, more is about to come.
        (true, part, false),
        (true, whole, true),
    ] {
        let mut found = None;
        for _ in 0..100 {
            found = acknowledges(receives, record).await;
            if found.is_some() {
                break;
            }
        }
        assert_eq!(found, Some(expected), "{receives} {record:?}");
    }
}

#[test]
fn records_are_followed_however_they_are_split() {
    let mut bytes = Vec::new();
    let mut borders = vec![0];
    for length in [0u16, 1, 5, 300, 0, 16_640] {
        bytes.extend([23, 3, 3]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![7; usize::from(length)]);
        borders.push(bytes.len());
    }
    for step in [1, 2, 3, 4, 5, 6, 7, 311, 5000, bytes.len()] {
        let mut records = Records::default();
        let mut at = 0;
        for chunk in bytes.chunks(step) {
            records.follow(chunk);
            at += chunk.len();
            assert_eq!(records.at_border(), borders.contains(&at), "{step}: {at}");
        }
    }
}
