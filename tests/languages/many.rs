//! Many at once, in the language whose instances are the largest.

use std::{fs, sync::Barrier, thread};

use crate::{
    built::{PATIENT, compile, component},
    daemon::SETTINGS,
    support::{Setup, Tls, content},
};

#[test]
fn two_hundred_logins_through_python() {
    const LOGINS: usize = 200;
    let Some(component) = component("python", "authenticator") else {
        return;
    };
    compile("python", "authenticator", &component);
    let server = Setup::new()
        .plugin(
            "demo",
            &component.display().to_string(),
            &format!("{SETTINGS}{PATIENT}"),
        )
        .start();
    let tls = Tls::new();
    let together = Barrier::new(LOGINS);
    thread::scope(|scope| {
        for _ in 0..LOGINS {
            scope.spawn(|| {
                let mut client = server.secure(&tls);
                client.send("USER demo").expect(331);
                together.wait();
                client.send("PASS secret").expect(230);
            });
        }
    });
}

#[test]
fn fifty_uploads_through_python_at_once() {
    const UPLOADS: usize = 50;
    let Some(component) = component("python", "upload-inspector") else {
        return;
    };
    compile("python", "upload-inspector", &component);
    let server = Setup::new()
        .users_plugin()
        .plugin("eicar", &component.display().to_string(), PATIENT)
        .start();
    let bytes = content(200_000, 50);
    let (first, rest) = bytes.split_at(70_000);
    let tls = Tls::new();
    let mut uploads = Vec::new();
    for number in 0..UPLOADS {
        let mut client = server.login_as("alice", &tls);
        let mut data = client.begin(&format!("STOR file-{number}"));
        data.send(first).unwrap();
        uploads.push((client, data));
    }
    // All of them are in the middle of their files now, each with its instance.
    for (mut client, mut data) in uploads {
        data.send(rest).unwrap();
        data.finish().unwrap();
        client.reply().expect(226);
    }
    for number in 0..UPLOADS {
        let stored = fs::read(server.home().join(format!("file-{number}"))).unwrap();
        assert!(stored == bytes, "{number}");
    }
}
