//! Users who may only bring: the recipes of docs/uploads.md, with what graphical clients send.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::support::{
    Client, Server, Setup, Tls,
    program::{installed, run},
};

/// Login, listing, upload and the listing afterwards, as FileZilla and WinSCP do it.
#[track_caller]
fn browse_and_upload(client: &mut Client, name: &str) -> (String, String) {
    for command in ["SYST", "FEAT", "OPTS UTF8 ON", "PBSZ 0", "PROT P"] {
        let code = client.send(command).code;
        assert!(code < 300, "{command}: {code}");
    }
    client.send("PWD").expect(257);
    client.send("TYPE I").expect(200);
    let before = client.listing("MLSD");
    client.send("CWD /").expect(250);
    client.send("PWD").expect(257).saying("\"/\"");
    client.listing("LIST");
    client
        .store(&format!("STOR {name}"), b"content")
        .expect(226);
    let after = client.listing("MLSD");
    (before, after)
}

/// Neither read nor changed nor removed, of whomever it is.
#[track_caller]
fn nothing_else(client: &mut Client, name: &str) {
    client.send("EPSV").expect(229);
    client.send(&format!("RETR {name}")).expect(550);
    client.send("EPSV").expect(229);
    client.send(&format!("STOR {name}")).expect(550);
    client.send("EPSV").expect(229);
    client.send(&format!("APPE {name}")).expect(550);
    client.send(&format!("DELE {name}")).expect(550);
    if client.send(&format!("RNFR {name}")).code == 350 {
        client.send("RNTO another").expect(550);
    }
    client.send("MKD directory").expect(550);
    client
        .send(&format!("MFMT 20260101000000 {name}"))
        .expect(550);
}

fn lftp(server: &Server, user: &str, local: &TempDir, script: &str) -> String {
    let mut command = Command::new("lftp");
    command.args(["--norc", "-c"]).arg(format!(
        "set cmd:fail-exit yes; set net:timeout 20; set net:max-retries 2; \
         set net:reconnect-interval-base 1; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; \
         set ssl:ca-file {:?}; set ssl:check-hostname no; set xfer:clobber yes; \
         open -u {user},{user} -p {} ftp://127.0.0.1; {script}",
        server.certificate(),
        server.address.port(),
    ));
    command.current_dir(local.path());
    command.env("HOME", local.path());
    command.env("LFTP_HOME", local.path().join(".lftp"));
    let (succeeded, said) = run(&mut command);
    assert!(succeeded, "{said}");
    said
}

/// `permissions = ["list", "upload"]`: what was brought is seen, and no more.
#[test]
fn who_may_list_and_upload_sees_what_is_there() {
    let server = Setup::new()
        .user("drop", "permissions = [\"list\", \"upload\"]")
        .start();
    let mut client = server.login_as("drop", &Tls::new());
    fs::write(server.home_of("drop").join("old"), "of another").unwrap();
    let (before, after) = browse_and_upload(&mut client, "new");
    assert!(
        before.contains(" old") && !before.contains(" new"),
        "{before}"
    );
    assert!(after.contains(" old") && after.contains(" new"), "{after}");
    nothing_else(&mut client, "new");
    // One that broke goes on.
    let mut data = client.begin("STOR half");
    data.send(b"half of ").unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    let from: u64 = client
        .send("SIZE half")
        .expect(213)
        .text()
        .trim()
        .parse()
        .unwrap();
    client.send(&format!("REST {from}")).expect(350);
    let whole = b"half of it";
    client
        .store("STOR half", &whole[usize::try_from(from).unwrap()..])
        .expect(226);
    assert_eq!(
        fs::read(server.home_of("drop").join("half")).unwrap(),
        whole
    );
}

/// With a rule that hides entries, the listing is empty, and no client is bothered.
#[test]
fn who_sees_nothing_uploads_all_the_same() {
    let server = Setup::new()
        .user(
            "drop",
            "permissions = [\"list\", \"upload\"]\ngroups = [\"drop\"]",
        )
        .users_plugin()
        .plugin(
            "rules",
            "builtin:rules",
            "settings.rules = [{ effect = \"hide\", groups = [\"drop\"], operations = [\"see\"], \
             paths = [\"/**\"] }]\n",
        )
        .start();
    let mut client = server.login_as("drop", &Tls::new());
    fs::write(server.home_of("drop").join("old"), "of another").unwrap();
    let (before, after) = browse_and_upload(&mut client, "new");
    let entries = |listing: &str| {
        listing
            .lines()
            .filter(|line| line.contains("type=file"))
            .count()
    };
    assert_eq!(
        (entries(&before), entries(&after)),
        (0, 0),
        "{before}{after}"
    );
    nothing_else(&mut client, "new");
    assert_eq!(
        fs::read(server.home_of("drop").join("new")).unwrap(),
        b"content"
    );
    // The one thing that tells of it: the name is taken.
    client.send("EPSV").expect(229);
    client.send("STOR old").expect(550);
    if installed("lftp") {
        let local = TempDir::new().unwrap();
        fs::write(local.path().join("report"), "by lftp").unwrap();
        let said = lftp(&server, "drop", &local, "cd /; ls; put report; ls");
        assert!(!said.contains("report") && !said.contains("old"), "{said}");
        let stored = fs::read(server.home_of("drop").join("report")).unwrap();
        assert_eq!(stored, b"by lftp");
    }
}
