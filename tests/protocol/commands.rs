//! Every command in every state.

use portcullis::ftp::command::{DuringTransfer, Phase, VERBS, Verb, parse};

use crate::support::{Client, Server, Setup, Tls, USER};

/// Refused because TLS or a login has to come first (RFC 4217 §9).
const LOCKED: &[u16] = &[530, 534];
const LOGIN: &[u16] = &[530];
/// Not there at all.
const UNKNOWN: &[u16] = &[500, 502];

/// The command; its replies before TLS, before the login, and after it. An empty list: not asked.
type Row = (&'static str, &'static [u16], &'static [u16], &'static [u16]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Access control.
    ("USER",                      &[501, 530, 534], &[501],         &[501, 503, 530]),
    ("PASS x",                    &[503, 530, 534], &[503],         &[202, 230, 503]),
    ("ACCT x",                    &[503, 530, 534], &[503, 530],    &[202, 230, 503]),
    ("CWD /",                     LOCKED,           LOGIN,          &[250]),
    ("CWD /none",                 LOCKED,           LOGIN,          &[550]),
    ("CWD ..",                    LOCKED,           LOGIN,          &[250]),
    ("CDUP",                      LOCKED,           LOGIN,          &[200, 250]),
    ("SMNT /",                    &[500, 502, 530, 534], &[500, 502, 530], UNKNOWN),
    ("PWD",                       LOCKED,           LOGIN,          &[257]),
    ("XPWD",                      LOCKED,           LOGIN,          &[257]),
    ("XCWD /",                    LOCKED,           LOGIN,          &[250]),
    ("XCUP",                      LOCKED,           LOGIN,          &[200, 250]),
    // Parameters of transfers.
    ("TYPE",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("TYPE A",                    LOCKED,           LOGIN,          &[200]),
    ("TYPE A N",                  LOCKED,           LOGIN,          &[200]),
    ("type i",                    LOCKED,           LOGIN,          &[200]),
    ("TYPE L 8",                  LOCKED,           LOGIN,          &[200]),
    ("TYPE L 7",                  &[501, 504, 530, 534], &[501, 504, 530], &[504]),
    ("TYPE E",                    &[504, 530, 534], &[504, 530],    &[504]),
    ("TYPE A T",                  &[504, 530, 534], &[504, 530],    &[504]),
    ("TYPE Q",                    &[501, 504, 530, 534], &[501, 504, 530], &[501, 504]),
    ("TYPE I",                    LOCKED,           LOGIN,          &[200]),
    ("MODE",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("MODE S",                    LOCKED,           LOGIN,          &[200]),
    ("MODE B",                    &[504, 530, 534], &[504, 530],    &[504]),
    ("MODE C",                    &[504, 530, 534], &[504, 530],    &[504]),
    ("STRU",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("STRU F",                    LOCKED,           LOGIN,          &[200]),
    ("STRU R",                    &[504, 530, 534], &[504, 530],    &[504]),
    ("STRU P",                    &[504, 530, 534], &[504, 530],    &[504]),
    ("ALLO 100",                  LOCKED,           LOGIN,          &[200, 202]),
    ("ALLO 100 R 10",             LOCKED,           LOGIN,          &[200, 202]),
    ("ALLO",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("ALLO x",                    &[501, 530, 534], &[501, 530],    &[501]),
    ("REST",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("REST 10",                   LOCKED,           LOGIN,          &[350]),
    ("REST 9000000000000",        LOCKED,           LOGIN,          &[350]),
    ("REST -1",                   &[501, 530, 534], &[501, 530],    &[501]),
    ("REST +1",                   &[501, 530, 534], &[501, 530],    &[501]),
    ("REST 1k",                   &[501, 530, 534], &[501, 530],    &[501]),
    ("REST 1 1",                  &[501, 530, 534], &[501, 530],    &[501]),
    ("REST 99999999999999999999", &[501, 530, 534], &[501, 530],    &[501]),
    ("REST 0",                    LOCKED,           LOGIN,          &[350]),
    // Files. No data connection has been asked for: without a file 550 is as right as 425.
    ("RETR none",                 LOCKED,           LOGIN,          &[425, 550]),
    ("RETR",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("STOR",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("APPE",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("STOR /none/file",           LOCKED,           LOGIN,          &[425, 550, 553]),
    ("APPE /none/file",           LOCKED,           LOGIN,          &[425, 550, 553]),
    ("STOU",                      LOCKED,           LOGIN,          &[425]),
    ("LIST",                      LOCKED,           LOGIN,          &[425]),
    ("NLST",                      LOCKED,           LOGIN,          &[425]),
    ("MLSD",                      LOCKED,           LOGIN,          &[425]),
    ("MLSD /none",                LOCKED,           LOGIN,          &[425, 550]),
    ("MLST",                      LOCKED,           LOGIN,          &[250]),
    ("MLST /none",                LOCKED,           LOGIN,          &[550]),
    ("SIZE",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("SIZE none",                 LOCKED,           LOGIN,          &[550]),
    ("SIZE /",                    LOCKED,           LOGIN,          &[550]),
    ("MDTM",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("MDTM none",                 LOCKED,           LOGIN,          &[550]),
    ("MFMT",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("MFMT 20200101000000 none",  LOCKED,           LOGIN,          &[550]),
    ("MFMT 20201301000000 none",  &[501, 530, 534], &[501, 530],    &[501]),
    ("MFMT yesterday none",       &[501, 530, 534], &[501, 530],    &[501]),
    ("DELE",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("DELE none",                 LOCKED,           LOGIN,          &[550]),
    ("DELE /",                    LOCKED,           LOGIN,          &[550]),
    ("RNFR",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("RNFR none",                 LOCKED,           LOGIN,          &[550]),
    ("RNTO none",                 &[503, 530, 534], &[503, 530],    &[503]),
    ("MKD",                       &[501, 530, 534], &[501, 530],    &[501]),
    ("MKD /none/deeper",          LOCKED,           LOGIN,          &[550]),
    ("MKD /",                     LOCKED,           LOGIN,          &[550, 521]),
    ("XMKD sub",                  LOCKED,           LOGIN,          &[257]),
    ("XRMD sub",                  LOCKED,           LOGIN,          &[250]),
    ("RMD",                       &[501, 530, 534], &[501, 530],    &[501]),
    ("RMD none",                  LOCKED,           LOGIN,          &[550]),
    ("RMD /",                     LOCKED,           LOGIN,          &[550]),
    ("HASH none",                 LOCKED,           LOGIN,          &[550]),
    ("HASH",                      &[501, 530, 534], &[501, 530],    &[501]),
    ("XMD5 none",                 LOCKED,           LOGIN,          &[550]),
    ("XCRC none",                 LOCKED,           LOGIN,          &[550]),
    ("XSHA256 none",              LOCKED,           LOGIN,          &[550]),
    ("AVBL",                      LOCKED,           LOGIN,          &[213]),
    ("AVBL none",                 LOCKED,           LOGIN,          &[550]),
    ("SITE",                      &[500, 501, 530, 534], &[500, 501, 530], &[500, 501]),
    ("SITE HELP",                 &[200, 214, 530, 534], &[200, 214, 530], &[200, 214]),
    ("SITE EXEC id",              &[500, 501, 502, 504, 530, 534], &[500, 501, 502, 504, 530], &[500, 501, 502, 504]),
    ("SITE CPFR none",            &[500, 501, 502, 504, 530, 534], &[500, 501, 502, 504, 530], &[500, 501, 502, 504]),
    ("SITE CHMOD 644 none",       LOCKED,           LOGIN,          &[550]),
    ("SITE CHMOD 999 none",       &[501, 530, 534], &[501, 530],    &[501]),
    ("SITE CHMOD 644",            &[501, 530, 534], &[501, 530],    &[501]),
    ("SITE WHOAMI",               LOCKED,           LOGIN,          &[200]),
    ("SITE UTIME",                &[501, 530, 534], &[501, 530],    &[501]),
    ("SITE UTIME 20200101000000 none", LOCKED,      LOGIN,          &[550]),
    // Data connections.
    ("PASV",                      LOCKED,           LOGIN,          &[227]),
    ("EPSV",                      LOCKED,           LOGIN,          &[229]),
    ("EPSV 1",                    LOCKED,           LOGIN,          &[229]),
    ("EPSV 2",                    LOCKED,           LOGIN,          &[522]),
    ("EPSV 3",                    &[501, 522, 530, 534], &[501, 522, 530], &[522]),
    ("EPSV x",                    &[501, 522, 530, 534], &[501, 522, 530], &[501, 522]),
    ("PORT 127,0,0,1,200,1",      LOCKED,           LOGIN,          &[500, 501, 502]),
    ("EPRT |1|127.0.0.1|51201|",  LOCKED,           LOGIN,          &[500, 501, 502]),
    ("PORT",                      &[500, 501, 530, 534], &[500, 501, 530], &[500, 501, 502]),
    ("ABOR",                      &[225, 226, 530, 534], &[225, 226, 530], &[225, 226]),
    // Information.
    ("SYST",                      &[215, 530, 534], &[215, 530],    &[215]),
    ("STAT",                      &[211, 530, 534], &[211, 530],    &[211]),
    ("STAT none",                 LOCKED,           LOGIN,          &[450, 550]),
    ("HELP",                      &[214],           &[214],         &[214]),
    ("HELP RETR",                 &[214],           &[214],         &[214]),
    ("HELP NOSUCH",               &[500, 501, 502, 504], &[500, 501, 502, 504], &[500, 501, 502, 504]),
    ("NOOP",                      &[200],           &[200],         &[200]),
    ("noop",                      &[200],           &[200],         &[200]),
    ("FEAT",                      &[211],           &[211],         &[211]),
    ("FEAT x",                    &[501],           &[501],         &[501]),
    ("OPTS",                      &[501],           &[501],         &[501]),
    ("OPTS UTF8 ON",              &[200],           &[200],         &[200]),
    ("opts utf8 on",              &[200],           &[200],         &[200]),
    ("OPTS MLST type;size;",      &[200],           &[200],         &[200]),
    ("OPTS NOSUCH x",             &[451, 501],      &[451, 501],    &[451, 501]),
    ("OPTS HASH SHA-256",         &[200, 530, 534], &[200, 530],    &[200]),
    ("OPTS HASH ROT13",           &[501, 504, 530, 534], &[501, 504, 530], &[501, 504]),
    ("CLNT a test",               &[200, 530, 534], &[200],         &[200]),
    // Security.
    ("AUTH",                      &[501],           &[501, 503],    &[501, 503]),
    ("AUTH KERBEROS_V4",          &[504],           &[503, 504],    &[503, 504]),
    ("AUTH TLS",                  &[],              &[503, 534],    &[503, 534]),
    ("PBSZ 0",                    &[503],           &[200],         &[200]),
    ("PBSZ x",                    &[501, 503],      &[501],         &[501]),
    ("PROT P",                    &[503],           &[200],         &[200]),
    ("PROT S",                    &[503, 504, 536], &[504, 536],    &[504, 536]),
    ("PROT E",                    &[503, 504, 536], &[504, 536],    &[504, 536]),
    ("PROT X",                    &[501, 503, 504], &[501, 504],    &[501, 504]),
    ("CCC",                       &[500, 503, 530, 533, 534], &[503, 530, 533, 534], &[533, 534]),
    ("ADAT x",                    &[500, 502, 503], &[500, 502, 503], &[500, 502, 503]),
    ("MIC x",                     &[500, 502, 503, 533, 537], &[500, 502, 503, 533, 537], &[500, 502, 503, 533, 537]),
    ("CONF x",                    &[500, 502, 503, 533, 537], &[500, 502, 503, 533, 537], &[500, 502, 503, 533, 537]),
    ("ENC x",                     &[500, 502, 503, 533, 537], &[500, 502, 503, 533, 537], &[500, 502, 503, 533, 537]),
    ("HOST",                      &[501, 530, 534], &[501],         &[501, 503]),
    ("HOST no-such-host.example", &[504, 530, 534], &[504],         &[503]),
    ("HOST local host",           &[501, 504, 530, 534], &[501, 504], &[501, 503]),
    ("LANG en",                   &[200, 500, 502, 504, 530, 534], &[200, 500, 502, 504, 530], &[200, 500, 502, 504]),
    ("NOSUCH",                    UNKNOWN,          UNKNOWN,        UNKNOWN),
    ("X",                         UNKNOWN,          UNKNOWN,        UNKNOWN),
    ("",                          UNKNOWN,          UNKNOWN,        UNKNOWN),
    ("NOOPNOOPNOOP",              UNKNOWN,          UNKNOWN,        UNKNOWN),
];

#[test]
fn before_tls() {
    let server = Server::start();
    let mut client = server.connect();
    for (command, replies, ..) in TABLE.iter().filter(|row| !row.1.is_empty()) {
        client.send(command).expect_one_of(replies);
    }
    client.send(&format!("USER {USER}")).expect_one_of(LOCKED);
    client.send("QUIT").expect(221);
    assert_eq!(client.rest(), "");
}

#[test]
fn before_the_login() {
    let server = Server::start();
    let mut client = server.secure(&Tls::new());
    for (command, _, replies, _) in TABLE.iter().filter(|row| !row.2.is_empty()) {
        client.send(command).expect_one_of(replies);
    }
    client.send("QUIT").expect(221);
    assert_eq!(client.rest(), "");
}

#[test]
fn after_the_login() {
    let server = Server::start();
    let mut client = server.login();
    for (command, _, _, replies) in TABLE.iter().filter(|row| !row.3.is_empty()) {
        client.send(command).expect_one_of(replies);
    }
    client.send("QUIT").expect(221);
    assert_eq!(client.rest(), "");
    assert_eq!(std::fs::read_dir(server.home()).unwrap().count(), 0);
}

#[test]
fn before_the_login_also_without_required_tls() {
    let server = Setup::new().set("tls.required", "false").start();
    let mut client = server.connect();
    for (command, _, replies, _) in TABLE.iter().filter(|row| row.2 == LOGIN) {
        client.send(command).expect_one_of(replies);
    }
    client.login(USER);
    client.send("PWD").expect(257);
}

/// The replies to what comes too early.
const TLS_FIRST: &str = "530 TLS comes first: AUTH TLS";
const LOGIN_FIRST: &str = "530 Log in with USER and PASS";

/// Commands whose like ends the session, or lets a transfer begin.
const APART: [&str; 4] = ["EPSV", "PASV", "QUIT", "REIN"];

/// A line with the verb that is a command, and changes little.
fn line(verb: &Verb) -> String {
    [
        "",
        "none",
        "0",
        "1 0",
        "I",
        "P",
        "S",
        "F",
        "127,0,0,1,200,1",
        "|1|127.0.0.1|51201|",
        "20200101000000 none",
        "modify=20200101000000; none",
    ]
    .iter()
    .map(|argument| format!("{} {argument}", verb.name).trim_end().to_owned())
    .find(|line| parse(line.as_bytes()).is_ok())
    .unwrap_or_else(|| panic!("{}: an argument that is right has to be added", verb.name))
}

/// Each row of the table in one state; `refusal` is what a row hears there for its phase.
fn walk(connect: impl Fn() -> Client, user: bool, refusal: impl Fn(Phase) -> Option<&'static str>) {
    let mut shared = connect();
    for verb in VERBS {
        let mut own = APART.contains(&verb.name).then(&connect);
        let client = own.as_mut().unwrap_or(&mut shared);
        if user {
            client.send("USER nobody").expect(331);
        }
        let reply = client.send(&line(verb));
        match refusal(verb.phase()) {
            Some(refusal) => assert_eq!(reply.lines, [refusal], "{}", verb.name),
            None => {
                let early = [TLS_FIRST, LOGIN_FIRST].map(str::to_owned);
                assert!(!early.contains(&reply.lines[0]), "{}: {reply:?}", verb.name);
                assert_eq!(
                    verb.syntax.is_none(),
                    reply.code == 502 && !switched_off(verb)
                );
            }
        }
    }
}

/// Whether the configuration refuses it.
fn switched_off(verb: &Verb) -> bool {
    ["EPRT", "PORT"].contains(&verb.name)
}

#[test]
fn the_table_in_the_clear() {
    let server = Server::start();
    walk(
        || server.connect(),
        false,
        |phase| match phase {
            Phase::Any => None,
            Phase::Login | Phase::Active => Some(TLS_FIRST),
        },
    );
}

#[test]
fn the_table_before_the_login() {
    let server = Server::start();
    for user in [false, true] {
        walk(
            || server.secure(&Tls::new()),
            user,
            |phase| match phase {
                Phase::Any | Phase::Login => None,
                Phase::Active => Some(LOGIN_FIRST),
            },
        );
    }
}

#[test]
fn the_table_after_the_login() {
    let server = Server::start();
    walk(|| server.login(), false, |_| None);
}

#[test]
fn the_table_in_a_transfer() {
    let server = Server::start();
    let mut shared = server.login();
    for verb in VERBS {
        let own = matches!(
            verb.during_transfer,
            DuringTransfer::Last | DuringTransfer::Aborts
        );
        let mut own = (own || verb.name == "REIN").then(|| server.login());
        let client = own.as_mut().unwrap_or(&mut shared);
        let mut data = client.begin("STOR upload");
        data.send(b"half").unwrap();
        client.write(format!("{}\r\n", line(verb)));
        match verb.during_transfer {
            DuringTransfer::Reports => {
                client.reply().expect(213).saying("under way");
            }
            DuringTransfer::Aborts => {
                client.reply().expect(426);
                client.reply().expect(226);
                client.send("NOOP").expect(200);
                continue;
            }
            DuringTransfer::Waits | DuringTransfer::Counted | DuringTransfer::Last => {}
        }
        // Its turn has not come: this is answered before it.
        client.send("STAT").expect(213).saying("under way");
        client.write("NOOP\r\n");
        data.finish().unwrap();
        client.reply().expect(226);
        match verb.during_transfer {
            DuringTransfer::Last => {
                client.reply().expect(221);
                assert_eq!(client.rest(), "");
                continue;
            }
            DuringTransfer::Waits | DuringTransfer::Counted => {
                client.reply();
            }
            DuringTransfer::Reports | DuringTransfer::Aborts => {}
        }
        if verb.name != "REIN" {
            client.reply().expect(200).saying("NOOP done");
        }
    }
}

/// HELP and SITE HELP tell what is carried out, and nothing else.
#[test]
fn regression_help_tells_only_what_is_there() {
    for active in ["false", "true"] {
        let server = Setup::new().set("data.active", active).start();
        let mut client = server.login();
        for prefix in ["", "SITE "] {
            let help = client.send(&format!("{prefix}HELP")).expect(214);
            let inner = help.lines.get(1..help.lines.len() - 1).unwrap_or_default();
            let verbs: Vec<&str> = inner
                .iter()
                .flat_map(|line| line.split_whitespace())
                .collect();
            assert!(verbs.len() > 3, "{help:?}");
            for verb in &verbs {
                let reply = client.send(&format!("{prefix}HELP {verb}")).expect(214);
                assert!(reply.text().contains(verb), "{reply:?}");
                // A data connection would be waited for.
                if !["EPSV", "PASV", "QUIT", "REIN"].contains(verb) {
                    let reply = client.send(&format!("{prefix}{verb}"));
                    assert!(![500, 502, 504].contains(&reply.code), "{verb}: {reply:?}");
                }
            }
            if prefix.is_empty() {
                for verb in ["PORT", "EPRT"] {
                    assert_eq!(verbs.contains(&verb), active == "true", "{verb}");
                }
                assert!(!verbs.contains(&"CCC") && !verbs.contains(&"SMNT"));
            } else {
                let reply = client.send("SITE NONE").expect(504);
                assert!(
                    verbs.iter().all(|verb| reply.text().contains(verb)),
                    "{reply:?}"
                );
            }
        }
        client.send("HELP PORT").expect_one_of(match active {
            "true" => &[214],
            _ => &[502],
        });
    }
}

#[test]
fn whoami() {
    let setup = Setup::new().user("eve", "groups = [\"staff\", \"backup\"]");
    let server = setup.start();
    for (user, text) in [
        (USER, "home \"/\", no groups"),
        ("eve", "User eve, home \"/\", groups: staff, backup"),
    ] {
        let mut client = server.login_as(user, &Tls::new());
        client.send("SITE WHOAMI").expect(200).saying(text);
        client.send("site whoami").expect(200).saying(text);
    }
}

#[test]
fn regression_blanks_around_words_do_not_matter() {
    let server = Server::start();
    let mut client = server.secure(&Tls::new());
    client.login(USER);
    for (command, code) in [
        ("PBSZ 0", 200),
        ("PROT P", 200),
        ("TYPE I", 200),
        ("TYPE A N", 200),
        ("MODE S", 200),
        ("STRU F", 200),
        ("REST 0", 350),
        ("ALLO 10 R 10", 202),
        ("EPSV 1", 229),
        ("EPSV", 229),
        ("PASV", 227),
        ("OPTS UTF8 ON", 200),
        ("OPTS HASH SHA-256", 200),
        ("OPTS MLST type;size;", 200),
        ("RANG 1 0", 350),
        ("SITE HELP CHMOD", 214),
        ("HELP RETR", 214),
        ("LANG en", 200),
        ("CLNT test", 200),
        ("STAT", 211),
        ("FEAT", 211),
        ("NOOP", 200),
        ("CDUP", 250),
    ] {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        for line in [
            format!("{verb} {rest} "),
            format!("{verb} {rest}\t"),
            format!("{verb}  {}  ", rest.replace(' ', "  ")),
            format!("{verb} {}", rest.replace(' ', " \t")),
        ] {
            client.send(&line).expect(code);
        }
    }
    // A path is as it is.
    std::fs::write(server.home().join(" file "), "x").unwrap();
    client.send("SIZE  file ").expect(213);
    client.send("SIZE  file").expect(550);
    client.send("SITE  CHMOD  600  file ").expect(200);
    client.send("MFMT  20200101000000  file ").expect(213);
}

/// Each feature and a command that shows that it works.
const FEATURES: &[(&str, &str, &[u16])] = &[
    ("AUTH", "AUTH TLS", &[503, 534]),
    ("AVBL", "AVBL", &[213]),
    ("CCC", "CCC", &[533, 534]),
    ("CLNT", "CLNT test", &[200]),
    ("EPRT", "EPRT |9|x|1|", &[501, 522]),
    ("EPSV", "EPSV", &[229]),
    ("HASH", "HASH file", &[213]),
    ("HOST", "HOST x", &[503]),
    ("LANG", "LANG", &[200]),
    ("MDTM", "MDTM file", &[213]),
    ("MFF", "MFF modify=20200101000000; file", &[213]),
    ("MFMT", "MFMT 20200101000000 file", &[213]),
    ("MLST", "MLST file", &[250]),
    ("PASV", "PASV", &[227]),
    ("PBSZ", "PBSZ 0", &[200]),
    ("PROT", "PROT P", &[200]),
    ("RANG", "RANG 0 1", &[350]),
    ("REST", "REST 1", &[350]),
    ("SITE", "SITE HELP", &[200, 214]),
    ("SIZE", "SIZE file", &[213]),
    ("SPSV", "SPSV", &[227]),
    ("TVFS", "CWD /", &[250]),
    ("UTF8", "OPTS UTF8 ON", &[200]),
    ("XCRC", "XCRC file", &[250, 213]),
    ("XMD5", "XMD5 file", &[250, 213]),
    ("XSHA1", "XSHA1 file", &[250, 213]),
    ("XSHA256", "XSHA256 file", &[250, 213]),
    ("XSHA512", "XSHA512 file", &[250, 213]),
];

#[test]
fn feat_lists_just_what_is_there() {
    let server = Server::start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login();
    let reply = client.send("FEAT").expect(211);
    let (first, inner) = reply.lines.split_first().unwrap();
    let (last, inner) = inner.split_last().unwrap();
    assert!(first.starts_with("211-"), "{first}");
    assert_eq!(last, "211 End");
    let mut named = Vec::new();
    for line in inner {
        let feature = line
            .strip_prefix(' ')
            .unwrap_or_else(|| panic!("no blank: {line:?}"));
        assert!(
            !feature.starts_with(' ') && !feature.ends_with(' '),
            "{line:?}"
        );
        let name = feature.split(' ').next().unwrap().to_owned();
        let (_, command, replies) = FEATURES
            .iter()
            .find(|row| row.0 == name)
            .unwrap_or_else(|| panic!("what is {name}? Its row is missing"));
        client.send(command).expect_one_of(replies);
        named.push(name);
    }
    client.send("REST 0").expect(350);
    for name in [
        "AUTH", "AVBL", "CLNT", "EPSV", "HASH", "HOST", "MDTM", "MFMT", "MLST", "PBSZ", "PROT",
        "REST", "SIZE", "UTF8", "XCRC", "XMD5", "XSHA256",
    ] {
        assert!(
            named.iter().any(|found| found == name),
            "{name} is missing: {named:?}"
        );
    }
    assert!(inner.contains(&" REST STREAM".to_owned()), "{inner:?}");
    assert!(
        !named.iter().any(|name| name == "MLSD"),
        "MLSD has no line (RFC 3659 §7.8)"
    );
    let auth = inner.iter().find(|line| line.starts_with(" AUTH")).unwrap();
    assert!(auth.contains("TLS"), "{auth}");
    let hash = inner
        .iter()
        .find(|line| line.starts_with(" HASH "))
        .unwrap();
    for algorithm in ["SHA-256", "SHA-512", "SHA-1", "MD5", "CRC32"] {
        assert!(hash.contains(algorithm), "{hash}");
    }
    assert!(
        hash.contains("SHA-256*"),
        "the one in force has an asterisk: {hash}"
    );
}

#[test]
fn opts_mlst_tells_and_changes_the_facts() {
    let server = Server::start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login();
    let facts = |client: &mut crate::support::Client| {
        let reply = client.send("FEAT").expect(211);
        reply
            .lines
            .iter()
            .find(|line| line.starts_with(" MLST "))
            .unwrap()
            .clone()
    };
    let before = facts(&mut client);
    for fact in ["type", "perm", "size", "unique", "modify", "UNIX.mode"] {
        let found = before
            .to_lowercase()
            .contains(&format!("{};", fact.to_lowercase()))
            || before
                .to_lowercase()
                .contains(&format!("{}*;", fact.to_lowercase()));
        assert!(found, "{fact}: {before}");
    }
    assert!(
        before.contains("*;"),
        "facts that are on have an asterisk: {before}"
    );
    let reply = client.send("OPTS MLST size;TYPE;nosuch;").expect(200);
    let told = reply.text().to_lowercase();
    assert!(told.starts_with("mlst opts "), "{told}");
    assert!(
        told.contains("type;") && told.contains("size;") && !told.contains("nosuch"),
        "{told}"
    );
    let reply = client.send("MLST file").expect(250);
    let entry = reply.lines[1].to_lowercase();
    assert!(
        entry.contains("size=7;") && entry.contains("type=file;"),
        "{entry}"
    );
    assert!(
        !entry.contains("modify=") && !entry.contains("perm="),
        "{entry}"
    );
    let after = facts(&mut client).to_lowercase();
    assert!(
        after.contains("size*;") && after.contains("modify;"),
        "{after}"
    );
    client.send("OPTS MLST").expect(200).saying("MLST OPTS");
    let reply = client.send("MLST file").expect(250);
    // RFC 3659 §7.2: a blank for the reply, and without facts the blank of the entry.
    assert_eq!(reply.lines[1], "  /file");
}

#[test]
fn names_in_replies_are_quoted() {
    let server = Server::start();
    let mut client = server.login();
    client.send("MKD a\"b").expect(257).saying("\"/a\"\"b\"");
    client.send("CWD a\"b").expect(250);
    let reply = client.send("PWD").expect(257);
    assert!(reply.text().starts_with("\"/a\"\"b\""), "{reply:?}");
    client
        .send("MKD größe")
        .expect(257)
        .saying("\"/a\"\"b/größe\"");
    client.send("CWD größe").expect(250);
    client.send("PWD").expect(257).saying("\"/a\"\"b/größe\"");
    client.send("CDUP").expect_one_of(&[200, 250]);
    client.send("RMD größe").expect(250);
    client.send("CWD").expect_one_of(&[250, 501]);
}

#[test]
fn the_path_is_all_after_one_blank() {
    let server = Server::start();
    let mut client = server.login();
    client
        .send("MKD  two blanks before")
        .expect(257)
        .saying("\"/ two blanks before\"");
    client
        .send("MKD one behind ")
        .expect(257)
        .saying("\"/one behind \"");
    client.send("MKD *").expect(257).saying("\"/*\"");
    let names: Vec<_> = std::fs::read_dir(server.home())
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(names.len(), 3);
    client.send("RMD  two blanks before").expect(250);
    client.send("RMD one behind").expect(550);
    client.send("RMD one behind ").expect(250);
    client.send("RMD *").expect(250);
}
