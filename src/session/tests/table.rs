//! Every command in every state.

use tokio::io::AsyncWriteExt;

use super::{harness, required, tester::Tester};
use crate::ftp::command::{DuringTransfer, Phase, VERBS, Verb, parse};

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
    ("MODE Z",                    &[504, 530, 534], &[504, 530],    &[504]),
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

#[tokio::test]
async fn before_tls() {
    let harness = harness(required);
    let mut client = Tester::connect(&harness).await;
    for (command, replies, ..) in TABLE.iter().filter(|row| !row.1.is_empty()) {
        client.send(command).await.expect_one_of(replies);
    }
    client.send("USER alice").await.expect_one_of(LOCKED);
    client.send("QUIT").await.expect(221);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn before_the_login() {
    let harness = harness(required);
    let mut client = Tester::secure(&harness).await;
    for (command, _, replies, _) in TABLE.iter().filter(|row| !row.2.is_empty()) {
        client.send(command).await.expect_one_of(replies);
    }
    client.send("QUIT").await.expect(221);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn after_the_login() {
    let harness = harness(required);
    let mut client = Tester::login(&harness).await;
    for (command, _, _, replies) in TABLE.iter().filter(|row| !row.3.is_empty()) {
        client.send(command).await.expect_one_of(replies);
    }
    client.send("QUIT").await.expect(221);
    assert_eq!(client.rest().await, "");
    assert_eq!(std::fs::read_dir(harness.home()).unwrap().count(), 0);
}

#[tokio::test]
async fn before_the_login_also_without_required_tls() {
    let harness = harness(|_| {});
    let mut client = Tester::connect(&harness).await;
    for (command, _, replies, _) in TABLE.iter().filter(|row| row.2 == LOGIN) {
        client.send(command).await.expect_one_of(replies);
    }
    client.log_in("alice").await;
    client.send("PWD").await.expect(257);
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
async fn walk(
    connect: impl AsyncFn() -> Tester,
    user: bool,
    refusal: impl Fn(Phase) -> Option<&'static str>,
) {
    let mut shared = connect().await;
    for verb in VERBS {
        let mut own = match APART.contains(&verb.name) {
            true => Some(connect().await),
            false => None,
        };
        let client = own.as_mut().unwrap_or(&mut shared);
        if user {
            client.send("USER nobody").await.expect(331);
        }
        let reply = client.send(&line(verb)).await;
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

#[tokio::test]
async fn the_table_in_the_clear() {
    let harness = harness(required);
    let refusal = |phase| match phase {
        Phase::Any => None,
        Phase::Login | Phase::Active => Some(TLS_FIRST),
    };
    walk(async || Tester::connect(&harness).await, false, refusal).await;
}

#[tokio::test]
async fn the_table_before_the_login() {
    let harness = harness(required);
    for user in [false, true] {
        let refusal = |phase| match phase {
            Phase::Any | Phase::Login => None,
            Phase::Active => Some(LOGIN_FIRST),
        };
        walk(async || Tester::secure(&harness).await, user, refusal).await;
    }
}

#[tokio::test]
async fn the_table_after_the_login() {
    let harness = harness(required);
    walk(async || Tester::login(&harness).await, false, |_| None).await;
}

#[tokio::test]
async fn the_table_in_a_transfer() {
    let harness = harness(required);
    let mut shared = Tester::login(&harness).await;
    for verb in VERBS {
        let own = matches!(
            verb.during_transfer,
            DuringTransfer::Last | DuringTransfer::Aborts
        );
        let mut own = match own || verb.name == "REIN" {
            true => Some(Tester::login(&harness).await),
            false => None,
        };
        let client = own.as_mut().unwrap_or(&mut shared);
        let mut data = client.begin("STOR upload").await;
        data.write_all(b"half").await.unwrap();
        client.write(format!("{}\r\n", line(verb))).await;
        match verb.during_transfer {
            DuringTransfer::Reports => {
                client.reply().await.expect(213).saying("under way");
            }
            DuringTransfer::Aborts => {
                client.reply().await.expect(426);
                client.reply().await.expect(226);
                client.send("NOOP").await.expect(200);
                continue;
            }
            DuringTransfer::Waits | DuringTransfer::Counted | DuringTransfer::Last => {}
        }
        // Its turn has not come: this is answered before it.
        client.send("STAT").await.expect(213).saying("under way");
        client.write("NOOP\r\n").await;
        drop(data);
        client.reply().await.expect(226);
        match verb.during_transfer {
            DuringTransfer::Last => {
                client.reply().await.expect(221);
                assert_eq!(client.rest().await, "");
                continue;
            }
            DuringTransfer::Waits | DuringTransfer::Counted => {
                client.reply().await;
            }
            DuringTransfer::Reports | DuringTransfer::Aborts => {}
        }
        if verb.name != "REIN" {
            client.reply().await.expect(200).saying("NOOP done");
        }
    }
}
