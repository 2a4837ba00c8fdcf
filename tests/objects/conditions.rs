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

/// A file that another client has sent meanwhile under the name of one that was given another name stays there.
#[test]
fn renames_and_uploads_to_one_name_lose_nothing() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let home = engine.home_of(USER);
    let mut one = server.login();
    for round in 0..30 {
        let (old, new) = (content(40_000, round), content(30_000, round + 100));
        one.store("STOR from", &old).expect(226);
        let to = format!("to{round}");
        thread::scope(|scope| {
            let uploading = scope.spawn(|| {
                let mut other = server.login();
                other.store("STOR from", &new).expect(226);
            });
            one.send("RNFR from").expect(350);
            let renamed = one.send(&format!("RNTO {to}"));
            renamed.expect_one_of(&[250, 450, 451, 550]);
            uploading.join().unwrap();
        });
        let both = [home.join("from"), home.join(to)];
        assert!(
            both.iter().any(|path| holds(path, &new)),
            "an acknowledged upload is gone"
        );
    }
}

/// The same of a directory, whose objects get their names one by one.
#[test]
fn directories_that_change_while_they_get_another_name_lose_nothing() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let home = engine.home_of(USER);
    let mut one = server.login();
    for round in 0..6 {
        let [from, to] = ["from", "to"].map(|name| format!("{name}{round}"));
        one.send(&format!("MKD {from}")).expect(257);
        for number in 0..20 {
            let name = format!("STOR {from}/{number}");
            one.store(&name, b"old").expect(226);
        }
        // These come while the directory gets its name.
        let changed = [7, 19];
        let mut uploads: Vec<_> = changed
            .iter()
            .map(|number| {
                let mut other = server.login();
                let data = other.begin(&format!("STOR {from}/{number}"));
                (other, data)
            })
            .collect();
        let mut replies = Vec::new();
        thread::scope(|scope| {
            let uploading = scope.spawn(|| {
                let sent = uploads.drain(..).map(|(mut other, mut data)| {
                    data.send(b"newer").unwrap();
                    data.finish().unwrap();
                    other.reply().code
                });
                sent.collect()
            });
            one.send(&format!("RNFR {from}")).expect(350);
            let renamed = one.send(&format!("RNTO {to}"));
            renamed.expect_one_of(&[250, 450, 451, 550, 553]);
            replies = uploading.join().unwrap();
        });
        for number in 0..20 {
            let places = [&from, &to].map(|name| home.join(name).join(number.to_string()));
            let is = |content: &[u8]| places.iter().any(|path| holds(path, content));
            let at = changed.iter().position(|changed| *changed == number);
            match at.is_some_and(|at| replies[at] == 226) {
                true => assert!(
                    is(b"newer"),
                    "{round}: {number}: an acknowledged upload is gone"
                ),
                false => assert!(is(b"old") || at.is_some(), "{round}: {number} is gone"),
            }
        }
    }
}
