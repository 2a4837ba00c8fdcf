//! Secrets: they are nowhere but where they must be, and the server forgets them.

use std::{fs, path::Path};

use crate::{
    built,
    support::{Client, Reply, Server, Setup, Tls, eventually, server::hash},
};

/// The right password of `carol`.
const PASSWORD: &str = "Right-Zw4NfkT1pLq8VxYb-password-of-carol";
/// A wrong one.
const WRONG: &str = "Wrong-e7GmC0sHd5JuRt3K-password-of-carol";
/// A password that was typed where the name was asked for.
const TYPED: &str = "Typed-Pn2WaO9vXi6BzQyE-in-place-of-a-name";
/// The answer to a challenge.
const CODE: &str = "Codes-Lk8UhT4rFc1MoDjS-second-factor";
/// A setting of a plugin.
const SETTING: &str = "Setting-Vb3EqI7yKw0NgPxZ-bind-password";

const SECRETS: &[&str] = &[PASSWORD, WRONG, TYPED, CODE, SETTING];

/// All kinds of plugins that are told of a login, with a secret among their settings.
fn setup() -> Setup {
    setup_with(|setup, _| setup)
}

fn setup_with(more: impl Fn(Setup, &str) -> Setup) -> Setup {
    let limits = "limits.cpu-time = \"20s\"\nlimits.wall-time = \"30s\"";
    let setup = Setup::new()
        .set("tls.required", "false")
        .set("tls.data-required", "false")
        .set("log.level", "\"trace\"")
        .set("limits.login-attempts", "100")
        .plugin("lockout", "builtin:lockout", limits)
        .plugin("faulty", &built("faulty-authenticator"), crate::LIMITS)
        .users_plugin()
        .plugin("inspector", &built("faulty-inspector"), limits)
        .user_without_password("carol", &format!("password = {:?}", hash(PASSWORD)));
    more(setup, limits)
}

/// One that listens and writes all that it hears into the log, and one that cannot deliver it.
fn with_listener(setup: Setup, limits: &str) -> Setup {
    let setting = format!("settings.secret = {SETTING:?}\nsettings.url = \"http://127.0.0.1:1/\"");
    let webhook = format!("{setting}\ngrants.http = [\"http://127.0.0.1:1\"]");
    setup.plugin("listens", &built("listens"), limits).plugin(
        "webhook",
        "builtin:webhook",
        &webhook,
    )
}

/// A directory that cannot be reached, and the password for it.
fn with_directory(setup: Setup, limits: &str) -> Setup {
    let ldap = format!(
        "settings.servers = [\"ldap://127.0.0.1:1\"]\nsettings.start-tls = false\n\
         settings.base = \"dc=example\"\nsettings.bind-user = \"cn=x,dc=example\"\n\
         settings.bind-password = {SETTING:?}\ngrants.tcp = [\"127.0.0.1:1\"]\n{limits}"
    );
    setup.plugin("ldap", "builtin:auth-ldap", &ldap)
}

/// All that a client, its user and a plugin can do wrong with a password; the replies.
fn misuse(server: &Server) -> String {
    let tls = || server.secure(&Tls::new());
    misuse_over(tls) + &misuse_over(|| server.connect())
}

fn misuse_over(connect: impl Fn() -> Client) -> String {
    let heard = std::cell::RefCell::new(String::new());
    let hear = |reply: Reply| *heard.borrow_mut() += &(reply.lines.join("\n") + "\n");
    let right = format!("PASS {PASSWORD}");
    let wrong = format!("PASS {WRONG}");
    let code = format!("ACCT {CODE}");
    let typed = format!("USER {TYPED}");
    for script in [
        // Right and wrong, with and without a second factor, twice, and with a name in between.
        &["USER carol", &wrong, "USER carol", &right, &right, "USER x"][..],
        &[
            "USER challenge",
            &right,
            &code,
            "USER challenge",
            &right,
            "STAT",
        ],
        &[&right, &code, &typed, "QUIT"],
        // The password in the wrong place.
        &[&typed, &wrong, "USER carol", &right],
        &[&typed],
        &["USER carol", PASSWORD, &format!("USER carol {PASSWORD}")],
        &[
            "USER carol",
            &format!("PASSS {PASSWORD}"),
            &format!("HELP {PASSWORD}"),
        ],
        &[
            "USER carol",
            &format!("PASS {PASSWORD}\u{1}"),
            &format!("SITE {PASSWORD}"),
        ],
        &[
            "USER carol",
            &right,
            "STAT",
            "HELP PASS",
            "SITE HELP",
            &format!("PASS{PASSWORD}"),
        ],
        // A plugin that crashes with it in its hands, and others that cannot say.
        &["USER trap", &right],
        &["USER loop", &right],
        &["USER memory", &right],
        &["USER unavailable", &right],
        &["USER internal", &right],
    ] {
        let mut client = connect();
        for line in script {
            client.write(format!("{line}\r\n"));
            match client.try_reply() {
                Ok(reply) => hear(reply),
                Err(_) => break,
            }
        }
    }
    // Two commands in one segment, one in many, and one that never ends.
    let mut client = connect();
    client.write(format!("USER carol\r\n{right}\r\n{right}\r\n"));
    (0..3).for_each(|_| hear(client.reply()));
    let mut client = connect();
    client.send("USER carol").expect(331);
    for byte in format!("{right}\r\n").as_bytes() {
        client.write([*byte]);
    }
    client.reply().expect(230);
    if client.tls.is_some() {
        client.send("PBSZ 0").expect(200);
        client.send("PROT P").expect(200);
    }
    for name in ["trap-before", "trap-after", "early-reject", "fine"] {
        hear(client.store(&format!("STOR {name}"), b"content"));
    }
    // It waits while a transfer goes on.
    let data = client.begin("STOR slow");
    client.write(format!("{right}\r\n{wrong}\r\n"));
    drop(data);
    (0..3).for_each(|_| hear(client.reply()));
    client.send("QUIT").expect(221);
    let mut client = connect();
    client.send("USER carol").expect(331);
    client.write(&right);
    client.cut();
    heard.into_inner()
}

/// No secret is in a text.
#[track_caller]
fn told_none(place: &str, text: &str) {
    for secret in SECRETS {
        // Part of it would be too much, and so would be other letters.
        let text = text.to_lowercase();
        let part = &secret[..secret.len() / 2].to_lowercase();
        if let Some(at) = text.find(part) {
            let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
            let line = text[from..].lines().next().unwrap();
            panic!("{place} tells {secret:?}: {line}");
        }
    }
}

#[test]
fn they_are_told_nowhere() {
    for (format, setup) in [
        ("text", setup_with(with_listener)),
        ("json", setup_with(with_directory)),
    ] {
        let mut server = setup.set("log.format", &format!("{format:?}")).start();
        told_none("a reply", &misuse(&server));
        for words in [
            &["status"][..],
            &["status", "--json"],
            &["check"],
            &["reload"],
            &["plugin", "inspect", "builtin:webhook"],
        ] {
            let (_, said) = server.setup().run(words);
            told_none(&words.join(" "), &said);
        }
        all_closed(&server);
        for name in ["cmdline", "environ", "status", "stat"] {
            let text = fs::read(format!("/proc/{}/{name}", server.id())).unwrap();
            told_none(name, &String::from_utf8_lossy(&text));
        }
        for task in fs::read_dir(format!("/proc/{}/task", server.id())).unwrap() {
            let name = fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default();
            told_none("a thread's name", &name);
        }
        let key = key_of(&server);
        assert!(!server.log().contains(&key));
        server.terminate();
        server.wait();
        // Listeners hear of names that nobody has, and this one writes them into the log.
        let log = server.log();
        let own = |line: &&str| !line.contains("heard {") || !line.contains(TYPED);
        let lines: Vec<&str> = log.lines().filter(own).collect();
        told_none("the log", &lines.join("\n"));
        for secret in SECRETS {
            assert_eq!(server.files_with(secret.as_bytes()), [] as [&Path; 0]);
        }
        let own = server.state().join("tls/key.pem");
        assert_eq!(server.files_with(key.as_bytes()), [own]);
        // It was there to be told of.
        assert!(server.log().contains("login failed"));
    }
}

/// A line of the private key that is in the file alone.
fn key_of(server: &Server) -> String {
    let pem = fs::read_to_string(server.state().join("tls/key.pem")).unwrap();
    pem.lines().nth(1).unwrap().to_owned()
}

/// Mistakes of an operator beside a secret, and on it.
#[test]
fn a_wrong_configuration_does_not_tell_them() {
    let webhook = "[[plugin]]\nname = \"webhook\"\ncomponent = \"builtin:webhook\"\n\
                   grants.http = [\"http://127.0.0.1:1\"]\n";
    let url = "settings.url = \"http://127.0.0.1:1/\"\n";
    for (more, wrong) in [
        // The line itself cannot be read.
        (format!("settings.secret = \"{SETTING}\n"), "a quote"),
        (format!("settings.secret = {SETTING}\n"), "no quotes"),
        (format!("settings.secret : \"{SETTING}\"\n"), "a colon"),
        (
            format!("settings = {{ secret = \"{SETTING}\" url = 1 }}\n"),
            "a comma",
        ),
        (
            format!("settings.secret = \"{SETTING}\"\nsettings.secret = \"{SETTING}\"\n"),
            "twice",
        ),
        // Another key is expected, or another value.
        (format!("{url}settings.secrt = \"{SETTING}\"\n"), "a key"),
        (format!("{url}secret = \"{SETTING}\"\n"), "a table"),
        (
            format!("{url}settings.secret = [\"{SETTING}\"]\n"),
            "a list",
        ),
        (
            format!("{url}settings.attempts = \"{SETTING}\"\n"),
            "a number",
        ),
        (format!("{url}settings = \"{SETTING}\"\n"), "no table"),
        (format!("settings = \"{SETTING}\"\n"), "no table at all"),
    ] {
        let setup = Setup::new()
            .users_plugin()
            .tables(&format!("{webhook}{more}"));
        let (status, said) = setup.run(&["check"]);
        assert_ne!(status, 0, "{wrong}: {said}");
        told_none(wrong, &said);
    }
    // Files that settings name.
    for (file, wrong) in [
        (format!("[carol]\npassword = \"{SETTING}\n"), "a quote"),
        (format!("[carol]\npassword = \"{SETTING}\"\n"), "no hash"),
        (format!("[carol]\npasword = \"{SETTING}\"\n"), "a key"),
        (format!("carol = \"{SETTING}\"\n"), "no table"),
        (format!("[carol]\npassword = {SETTING}\n"), "no quotes"),
    ] {
        let setup = Setup::first().users_plugin();
        fs::create_dir_all(setup.state()).unwrap();
        fs::write(setup.state().join("users.toml"), &file).unwrap();
        let (_, said) = setup.run(&["check"]);
        told_none(wrong, &said);
    }
}

/// Waits until all sessions have ended.
fn all_closed(server: &Server) {
    eventually("all sessions have ended", || {
        let (_, text) = server.setup().run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        status["sessions"] == 0
    });
}

/// The number of copies of each secret in the memory of a server, once the sessions have ended.
#[track_caller]
fn remembers(server: &Server, secrets: &[&str]) -> Option<Vec<usize>> {
    let needles: Vec<_> = secrets.iter().map(|secret| secret.as_bytes()).collect();
    let found = server.in_memory(&needles);
    if found.is_none() {
        eprintln!("LEFT OUT: the system does not let this process read another one's memory");
    }
    found
}

#[test]
fn passwords_are_forgotten() {
    let server = setup_with(with_directory).start();
    misuse(&server);
    misuse(&server);
    let (_, status) = server.setup().run(&["status"]);
    told_none("status", &status);
    all_closed(&server);
    let secrets = [PASSWORD, WRONG, CODE, TYPED];
    // It can be found where it is: a setting is kept for as long as the plugin is configured.
    let Some(kept) = remembers(&server, &[SETTING]) else {
        return;
    };
    assert_ne!(kept, [0]);
    let found = remembers(&server, &secrets).unwrap();
    assert_eq!(found, [0; 4], "copies of {secrets:?}");
}

#[test]
fn a_session_that_goes_on_has_forgotten_its_password() {
    let server = setup().start();
    let mut clients = Vec::new();
    for tls in [false, true] {
        let mut client = match tls {
            true => server.secure(&Tls::new()),
            false => server.connect(),
        };
        client.send("USER carol").expect(331);
        client.send(&format!("PASS {PASSWORD}")).expect(230);
        // TLS decrypts in the buffer that it receives into: what comes next lies over it.
        client.send(&format!("STAT {}", "x".repeat(80)));
        clients.push(client);
    }
    if let Some(found) = remembers(&server, &[PASSWORD]) {
        assert_eq!(found, [0]);
    }
}

#[test]
fn the_first_password_and_the_key_are_forgotten() {
    let server = Setup::first().start();
    let note = fs::read_to_string(server.state().join("first-user.txt")).unwrap();
    let password = note
        .lines()
        .find_map(|line| line.strip_prefix("password  "));
    let mut client = server.secure(&Tls::new());
    client.send("USER portcullis").expect(331);
    client
        .send(&format!("PASS {}", password.unwrap()))
        .expect(230);
    client.send("QUIT").expect(221);
    let log = server.log();
    let at = log.lines().filter(|line| line.contains(password.unwrap()));
    assert_eq!(
        at.count(),
        2,
        "the first start says it, and the line for curl has it"
    );
    let key = key_of(&server);
    if let Some(found) = remembers(&server, &[password.unwrap(), &key]) {
        assert_eq!(found, [0, 0]);
    }
    // After a reload, which reads the key anew, too.
    let (status, said) = server.setup().run(&["reload"]);
    assert_eq!(status, 0, "{said}");
    if let Some(found) = remembers(&server, &[&key]) {
        assert_eq!(found, [0]);
    }
}
