//! Two writers of one name.

use std::thread;

use crate::{
    engine::{Engine, holds},
    support::{Tls, USER, content},
};

/// Whichever comes last, the file is one of theirs and whole.
#[test]
fn of_many_uploads_to_one_name_one_is_there_whole() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    for length in [1000, 11 << 20] {
        let all: Vec<_> = (0..4).map(|seed| content(length, seed)).collect();
        let replies: Vec<_> = thread::scope(|scope| {
            let server = &server;
            let uploads: Vec<_> = all
                .iter()
                .map(|bytes| scope.spawn(move || server.login().store("STOR file", bytes).code))
                .collect();
            uploads
                .into_iter()
                .map(|upload| upload.join().unwrap())
                .collect()
        });
        assert!(replies.iter().all(|code| *code == 226), "{replies:?}");
        let path = engine.home_of(USER).join("file");
        assert!(all.iter().any(|bytes| holds(&path, bytes)));
    }
}

/// Of two that may replace nothing, one succeeds.
#[test]
fn of_two_uploads_that_may_replace_nothing_one_succeeds() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let setup = engine.setup().user(
        "careful",
        "permissions = [\"list\", \"upload\", \"download\"]",
    );
    let server = setup.start();
    for length in [1000, 11 << 20] {
        let name = format!("file {length}");
        let all: Vec<_> = (0..4).map(|seed| content(length, seed)).collect();
        // None of them is there when each begins.
        let begun: Vec<_> = (0..all.len())
            .map(|_| {
                let mut client = server.login_as("careful", &Tls::new());
                let data = client.begin(&format!("STOR {name}"));
                (client, data)
            })
            .collect();
        let replies: Vec<_> = thread::scope(|scope| {
            let uploads: Vec<_> = begun
                .into_iter()
                .zip(&all)
                .map(|((mut client, mut data), bytes)| {
                    scope.spawn(move || {
                        data.send(bytes).unwrap();
                        data.finish().unwrap();
                        client.reply().code
                    })
                })
                .collect();
            let replies = uploads.into_iter();
            replies.map(|upload| upload.join().unwrap()).collect()
        });
        let index = replies.iter().position(|code| *code == 226).unwrap();
        let others = replies.iter().filter(|code| **code == 226).count();
        assert_eq!(others, 1, "{replies:?}");
        assert!(holds(&engine.home_of("careful").join(&name), &all[index]));
    }
}

/// An upload that adds to a file is one to that very file.
#[test]
fn what_is_added_is_added_to_what_was_there() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let (mut one, mut other) = (server.login(), server.login());
    one.store("STOR file", b"first").expect(226);
    let mut data = one.begin("APPE file");
    data.send(b" more").unwrap();
    other.store("STOR file", b"another").expect(226);
    data.finish().unwrap();
    one.reply().expect_one_of(&[450, 451, 550]);
    assert!(holds(&engine.home_of(USER).join("file"), b"another"));
}
