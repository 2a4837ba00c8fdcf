//! Tables of lines and what they mean.

#![allow(clippy::unwrap_used)]

use crate::ftp::time::parse_time_val;

use super::*;

fn ok(line: &str) -> Command {
    match parse(line.as_bytes()) {
        Ok(parsed) => parsed.command,
        Err(error) => Command::Any(Any::Unknown(format!("{line:?}: {error}"))),
    }
}

fn code(line: &[u8]) -> Option<u16> {
    parse(line).err().map(|error| error.reply().code())
}

fn list(all: bool, long: bool, path: Option<&str>) -> ListArguments {
    ListArguments {
        all,
        long,
        path: path.map(str::to_owned),
    }
}

#[test]
fn commands() {
    let text = |text: &str| text.to_owned();
    let time = parse_time_val("20240102030405").unwrap();
    for (line, expected) in [
        ("USER bob", Command::Login(Login::User(text("bob")))),
        (
            "user bob smith ",
            Command::Login(Login::User(text("bob smith "))),
        ),
        (
            "USER bob@example.com",
            Command::Login(Login::User(text("bob@example.com"))),
        ),
        (
            "PASS a b ",
            Command::Login(Login::Pass(Secret::new("a b "))),
        ),
        (
            "PASS pässwort",
            Command::Login(Login::Pass(Secret::new("pässwort"))),
        ),
        ("PASS", Command::Login(Login::Pass(Secret::new("")))),
        ("PASS ", Command::Login(Login::Pass(Secret::new("")))),
        ("ACCT x", Command::Login(Login::Acct(Secret::new("x")))),
        ("REIN", Command::Any(Any::Rein)),
        ("QUIT", Command::Any(Any::Quit)),
        (
            "HOST FTP.example.com",
            Command::Any(Any::Host(text("ftp.example.com"))),
        ),
        ("AUTH tls", Command::Any(Any::Auth(text("TLS")))),
        ("AUTH TLS-C", Command::Any(Any::Auth(text("TLS-C")))),
        ("AUTH nonsense", Command::Any(Any::Auth(text("NONSENSE")))),
        ("PBSZ 0", Command::Any(Any::Pbsz(0))),
        ("PBSZ 4294967295", Command::Any(Any::Pbsz(u32::MAX))),
        ("PROT C", Command::Any(Any::Prot(Protection::Clear))),
        ("prot p", Command::Any(Any::Prot(Protection::Private))),
        ("CCC", Command::Any(Any::Ccc)),
        ("PASV", Command::Parameter(Parameter::Pasv)),
        ("EPSV", Command::Parameter(Parameter::Epsv(Epsv::Any))),
        ("EPSV ", Command::Parameter(Parameter::Epsv(Epsv::Any))),
        ("EPSV 1", Command::Parameter(Parameter::Epsv(Epsv::V4))),
        ("EPSV 2", Command::Parameter(Parameter::Epsv(Epsv::V6))),
        ("epsv all", Command::Parameter(Parameter::Epsv(Epsv::All))),
        (
            "PORT 192,0,2,1,24,131",
            Command::Parameter(Parameter::Port("192.0.2.1:6275".parse().unwrap())),
        ),
        (
            "EPRT |2|::1|5282|",
            Command::Parameter(Parameter::Eprt("[::1]:5282".parse().unwrap())),
        ),
        ("TYPE A", Command::Parameter(Parameter::Type(Type::Ascii))),
        ("type a n", Command::Parameter(Parameter::Type(Type::Ascii))),
        ("TYPE I", Command::Parameter(Parameter::Type(Type::Image))),
        ("TYPE L 8", Command::Parameter(Parameter::Type(Type::Image))),
        ("TYPE L8", Command::Parameter(Parameter::Type(Type::Image))),
        ("MODE s", Command::Parameter(Parameter::Mode(Mode::Stream))),
        (
            "STRU F",
            Command::Parameter(Parameter::Stru(Structure::File)),
        ),
        ("CWD /a b", Command::File(File::Cwd(text("/a b")))),
        ("XCWD a", Command::File(File::Cwd(text("a")))),
        ("CDUP", Command::File(File::Cdup)),
        ("XCUP", Command::File(File::Cdup)),
        ("PWD", Command::File(File::Pwd)),
        ("XPWD", Command::File(File::Pwd)),
        ("RETR a", Command::Transfer(Transfer::Retr(text("a")))),
        ("STOR a", Command::Transfer(Transfer::Stor(text("a")))),
        ("APPE a", Command::Transfer(Transfer::Appe(text("a")))),
        ("STOU", Command::Transfer(Transfer::Stou(None))),
        ("STOU a", Command::Transfer(Transfer::Stou(Some(text("a"))))),
        ("REST 0", Command::Parameter(Parameter::Rest(0))),
        (
            "REST 18446744073709551615",
            Command::Parameter(Parameter::Rest(u64::MAX)),
        ),
        ("ALLO 1000", Command::Parameter(Parameter::Allo(1000))),
        ("ALLO 1000 R 80", Command::Parameter(Parameter::Allo(1000))),
        ("DELE a", Command::File(File::Dele(text("a")))),
        ("RNFR a", Command::File(File::Rnfr(text("a")))),
        ("RNTO a", Command::File(File::Rnto(text("a")))),
        ("MKD a", Command::File(File::Mkd(text("a")))),
        ("XMKD a", Command::File(File::Mkd(text("a")))),
        ("RMD a", Command::File(File::Rmd(text("a")))),
        ("XRMD a", Command::File(File::Rmd(text("a")))),
        ("SIZE a", Command::File(File::Size(text("a")))),
        (
            "MDTM a b",
            Command::File(File::Mdtm(Mdtm::Get(text("a b")))),
        ),
        (
            "MDTM 20240102030405",
            Command::File(File::Mdtm(Mdtm::Get(text("20240102030405")))),
        ),
        (
            "MDTM 20241302030405 a",
            Command::File(File::Mdtm(Mdtm::Get(text("20241302030405 a")))),
        ),
        (
            "MDTM 20240102030405 a b",
            Command::File(File::Mdtm(Mdtm::Set {
                time,
                path: text("a b"),
                whole: text("20240102030405 a b"),
            })),
        ),
        (
            "MFMT 20240102030405 a b",
            Command::File(File::Mfmt(time, text("a b"))),
        ),
        (
            "MFMT 20240102030405  a",
            Command::File(File::Mfmt(time, text(" a"))),
        ),
        (
            "MFF Modify=1; a b",
            Command::File(File::Mff(vec![(text("modify"), text("1"))], text("a b"))),
        ),
        (
            "MFF modify=1;UNIX.mode=; a",
            Command::File(File::Mff(
                vec![(text("modify"), text("1")), (text("unix.mode"), text(""))],
                text("a"),
            )),
        ),
        ("MLST", Command::File(File::Mlst(None))),
        ("MLST a", Command::File(File::Mlst(Some(text("a"))))),
        ("MLSD", Command::Transfer(Transfer::Mlsd(None))),
        (
            "MLSD -a",
            Command::Transfer(Transfer::Mlsd(Some(text("-a")))),
        ),
        (
            "LIST",
            Command::Transfer(Transfer::List(list(false, false, None))),
        ),
        (
            "LIST -al",
            Command::Transfer(Transfer::List(list(true, true, None))),
        ),
        (
            "LIST -a b c",
            Command::Transfer(Transfer::List(list(true, false, Some("b c")))),
        ),
        (
            "NLST *.txt",
            Command::Transfer(Transfer::Nlst(list(false, false, Some("*.txt")))),
        ),
        ("STAT", Command::Transfer(Transfer::Stat(None))),
        ("STAT ", Command::Transfer(Transfer::Stat(None))),
        ("STAT \t ", Command::Transfer(Transfer::Stat(None))),
        (
            "STAT a",
            Command::Transfer(Transfer::Stat(Some(list(false, false, Some("a"))))),
        ),
        (
            "STAT -l",
            Command::Transfer(Transfer::Stat(Some(list(false, true, None)))),
        ),
        (
            "STAT -la d",
            Command::Transfer(Transfer::Stat(Some(list(true, true, Some("d"))))),
        ),
        (
            "STAT -- -l",
            Command::Transfer(Transfer::Stat(Some(list(false, false, Some("-l"))))),
        ),
        ("HELP", Command::Any(Any::Help(None))),
        ("HELP retr", Command::Any(Any::Help(Some(text("retr"))))),
        ("NOOP", Command::Any(Any::Noop)),
        ("SYST", Command::Any(Any::Syst)),
        ("FEAT", Command::Any(Any::Feat)),
        ("FEAT ", Command::Any(Any::Feat)),
        ("opts utf8 on", Command::Any(Any::Opts(Opts::Utf8(true)))),
        ("OPTS UTF-8 OFF", Command::Any(Any::Opts(Opts::Utf8(false)))),
        ("OPTS UTF8", Command::Any(Any::Opts(Opts::Utf8(true)))),
        (
            "OPTS MLST",
            Command::Any(Any::Opts(Opts::Mlst(Facts::select("")))),
        ),
        (
            "OPTS mlst Type;size;",
            Command::Any(Any::Opts(Opts::Mlst(Facts::select("type;size;")))),
        ),
        ("OPTS HASH", Command::Any(Any::Opts(Opts::Hash(None)))),
        (
            "OPTS HASH sha-512",
            Command::Any(Any::Opts(Opts::Hash(Some(Algorithm::Sha512)))),
        ),
        (
            "OPTS mode Z LEVEL 9",
            Command::Any(Any::Opts(Opts::Unknown(text("MODE")))),
        ),
        (
            "SITE CHMOD 0644 a b",
            Command::File(File::Site(Site::Chmod(0o644, text("a b")))),
        ),
        ("site help", Command::File(File::Site(Site::Help(None)))),
        ("CLNT a 1.0", Command::Any(Any::Clnt(text("a 1.0")))),
        (
            "CSID Name=a; Version=1;",
            Command::Any(Any::Csid(text("Name=a; Version=1;"))),
        ),
        ("HASH a", Command::Transfer(Transfer::Hash(text("a")))),
        (
            "XCRC a b",
            Command::Transfer(Transfer::Digest {
                algorithm: Algorithm::Crc32,
                path: text("a b"),
            }),
        ),
        (
            "XMD5 \"a b\"",
            Command::Transfer(Transfer::Digest {
                algorithm: Algorithm::Md5,
                path: text("a b"),
            }),
        ),
        (
            "XSHA a",
            Command::Transfer(Transfer::Digest {
                algorithm: Algorithm::Sha1,
                path: text("a"),
            }),
        ),
        (
            "XSHA1 \"",
            Command::Transfer(Transfer::Digest {
                algorithm: Algorithm::Sha1,
                path: text("\""),
            }),
        ),
        (
            "XSHA256 \"\"",
            Command::Transfer(Transfer::Digest {
                algorithm: Algorithm::Sha256,
                path: text("\"\""),
            }),
        ),
        (
            "XSHA512 \"a",
            Command::Transfer(Transfer::Digest {
                algorithm: Algorithm::Sha512,
                path: text("\"a"),
            }),
        ),
        ("RANG 0 99", Command::Parameter(Parameter::Rang(0, 99))),
        ("RANG 5 5", Command::Parameter(Parameter::Rang(5, 5))),
        ("RANG 1 0", Command::Parameter(Parameter::Rang(1, 0))),
        ("AVBL", Command::File(File::Avbl(None))),
        ("AVBL /a", Command::File(File::Avbl(Some(text("/a"))))),
        ("LANG", Command::Any(Any::Lang(None))),
        ("LANG en-US", Command::Any(Any::Lang(Some(text("en-US"))))),
        ("SMNT a", Command::File(File::Smnt(text("a")))),
        ("ABOR", Command::Any(Any::Abor)),
        ("MIC x", Command::Any(Any::Unsupported("MIC"))),
        ("CONF x", Command::Any(Any::Unsupported("CONF"))),
        ("ENC x", Command::Any(Any::Unsupported("ENC"))),
        ("ADAT x", Command::Any(Any::Unsupported("ADAT"))),
        ("LPSV", Command::Any(Any::Unsupported("LPSV"))),
        ("LPRT 4,4", Command::Any(Any::Unsupported("LPRT"))),
        ("MFCT 1 a", Command::Any(Any::Unsupported("MFCT"))),
        ("xyzzy a", Command::Any(Any::Unknown(text("XYZZY")))),
    ] {
        assert_eq!(ok(line), expected);
    }
}

#[test]
fn wrong_arguments() {
    for (expected, lines) in [
        (
            500,
            &[
                "", " ", " USER a", "\tUSER a", "USER\ta", "US-ER a", "ÜSER a", "HTTP/1.1", "*",
            ][..],
        ),
        (
            500,
            &["ABCDEFGHIJKLMNOPQ", "USER\0", "USER\r", "Host: example.com"],
        ),
        (
            501,
            &[
                "USER", "USER ", "ACCT", "HOST", "AUTH", "PBSZ", "PROT", "PORT", "EPRT", "TYPE",
            ],
        ),
        (
            501,
            &[
                "MODE", "STRU", "CWD", "RETR", "RETR ", "STOR", "APPE", "REST", "ALLO", "DELE",
            ],
        ),
        (
            501,
            &[
                "RNFR", "RNTO", "MKD", "RMD", "SIZE", "MDTM", "MFMT", "MFF", "OPTS", "SITE",
            ],
        ),
        (
            501,
            &[
                "CLNT", "CSID", "HASH", "XCRC", "XMD5", "XSHA1", "XSHA256", "XSHA512", "RANG",
            ],
        ),
        (501, &["SMNT", "XCWD", "XMKD", "XRMD"]),
        (
            501,
            &["FEAT x", "FEAT  x", "REIN x", "CCC x", "CDUP x", "XCUP x"],
        ),
        (
            501,
            &[
                "USER a\0b",
                "USER a\rb",
                "USER a\tb",
                "USER a\u{7f}",
                "PASS \0",
                "ACCT \u{1b}",
            ],
        ),
        (
            501,
            &["RETR a\0b", "RETR a\rb", "CWD \0", "SITE CHMOD 644 a\0"],
        ),
        (501, &["HOST a:21", "HOST a b", "HOST ", "HOST 2001:db8::1"]),
        (501, &["PBSZ x", "PBSZ -1", "PBSZ 4294967296", "PBSZ 0 0"]),
        (504, &["PROT X", "PROT PC", "PROT é"]),
        (536, &["PROT S", "PROT e"]),
        (501, &["EPSV x", "EPSV -1", "EPSV 1 1", "EPSV ALLO"]),
        (
            522,
            &[
                "EPSV 0",
                "EPSV 3",
                "EPSV 99999999999999999999999",
                "EPRT |3|a|1|",
            ],
        ),
        (501, &["PORT 1,2,3,4,5", "PORT a", "EPRT |1|a|1|", "EPRT x"]),
        (
            504,
            &[
                "TYPE E",
                "TYPE E N",
                "TYPE A T",
                "TYPE A C",
                "TYPE L 7",
                "TYPE L 36",
                "TYPE X",
            ],
        ),
        (
            501,
            &[
                "TYPE 1", "TYPE AA", "TYPE A X", "TYPE I N", "TYPE L", "TYPE L x", "TYPE  ",
            ],
        ),
        (501, &["TYPE A N N", "TYPE L -8", "TYPE é", "TYPE ASCII"]),
        (
            504,
            &["MODE B", "MODE C", "MODE Z", "MODE X", "STRU R", "STRU P"],
        ),
        (501, &["MODE SS", "MODE 1", "MODE é", "STRU FILE", "STRU  "]),
        (
            501,
            &[
                "REST -1",
                "REST +1",
                "REST 1 1",
                "REST x",
                "REST 1.5",
                "REST 0x10",
            ],
        ),
        (
            501,
            &[
                "REST 18446744073709551616",
                "REST 99999999999999999999999999999",
            ],
        ),
        (
            501,
            &[
                "ALLO x",
                "ALLO -1",
                "ALLO 1 R",
                "ALLO 1 R x",
                "ALLO 1 X 1",
                "ALLO 1 R 1 1",
            ],
        ),
        (
            501,
            &[
                "MFMT 20240102030405",
                "MFMT 20240102030405 ",
                "MFMT x a",
                "MFMT 20230229000000 a",
            ],
        ),
        (
            501,
            &[
                "MFF a",
                "MFF modify a",
                "MFF modify=1 a",
                "MFF modify=1;",
                "MFF =1; a",
            ],
        ),
        (501, &["MFF ; a", "MFF modify=1;; a", "MFF modify=1; "]),
        (501, &["OPTS UTF8 MAYBE", "OPTS HASH CRC-64", "OPTS  "]),
        (
            501,
            &["SITE CHMOD", "SITE CHMOD 9 a", "SITE  ", "SITE UTIME a"],
        ),
        (
            501,
            &[
                "RANG 1",
                "RANG a b",
                "RANG 2 1",
                "RANG -1 1",
                "RANG 0 1 2",
                "RANG 2 0",
            ],
        ),
    ] {
        for line in lines {
            assert_eq!(code(line.as_bytes()), Some(expected), "{line:?}");
        }
    }
}

#[test]
fn regression_blanks_around_words_do_not_matter() {
    for line in [
        "HOST ftp.example.com",
        "AUTH TLS",
        "PBSZ 0",
        "PROT P",
        "EPSV",
        "EPSV 1",
        "EPSV ALL",
        "PORT 192,0,2,1,24,131",
        "EPRT |2|::1|5282|",
        "TYPE A",
        "TYPE A N",
        "TYPE L 8",
        "MODE S",
        "STRU F",
        "REST 10",
        "ALLO 10",
        "ALLO 10 R 80",
        "LIST -l",
        "NLST -1 -a",
        "STAT",
        "STAT -l",
        "HELP RETR",
        "NOOP",
        "SYST",
        "FEAT",
        "REIN",
        "CCC",
        "CDUP",
        "QUIT",
        "ABOR",
        "PASV",
        "PWD",
        "OPTS UTF8 ON",
        "OPTS MLST type;size;",
        "OPTS MLST",
        "OPTS HASH SHA-256",
        "OPTS HASH",
        "SITE HELP",
        "SITE HELP CHMOD",
        "SITE QUOTA",
        "CLNT a",
        "CSID Name=a;",
        "RANG 0 99",
        "LANG en",
        "LANG",
    ] {
        let expected = ok(line);
        let known = parse(line.as_bytes()).is_ok_and(|parsed| parsed.verb.is_some());
        assert!(known, "{line}");
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        for blanks in [" ", "  ", "\t", " \t "] {
            let inside = rest.replace(' ', blanks);
            for line in [
                format!("{verb} {inside}"),
                format!("{verb} {rest}{blanks}"),
                format!("{verb} {blanks}{inside}{blanks}"),
            ] {
                assert_eq!(ok(&line), expected, "{line:?}");
            }
        }
    }
    // In front of a path they do not matter either, but for the one in front of it.
    for line in [
        "MFMT 20240102030405 a ",
        "MFF modify=1; a ",
        "SITE CHMOD 644 a ",
        "LIST -a a ",
    ] {
        let expected = ok(line);
        for blanks in ["  ", "\t", " \t "] {
            let wide = line.replacen(' ', &format!(" {blanks}"), 1);
            assert_eq!(ok(&wide), expected, "{wide:?}");
        }
        assert_ne!(ok(&line.replace(" a ", "  a ")), expected);
        assert_ne!(ok(line.trim_end()), expected);
    }
}

#[test]
fn commands_that_servers_take_with_anything_behind() {
    for verb in ["NOOP", "PASV", "PWD", "XPWD", "QUIT", "SYST", "ABOR"] {
        let canonical = verb.trim_start_matches('X');
        for rest in [&b""[..], b" ", b" x", b" \0\xff"] {
            let command = parse(&[verb.as_bytes(), rest].concat()).unwrap();
            assert_eq!(command.name(), canonical);
        }
    }
}

#[test]
fn arguments_are_utf8() {
    for verb in [
        "USER", "PASS", "ACCT", "RETR", "STOR", "LIST", "MLST", "SITE", "OPTS", "HELP",
    ] {
        for argument in [
            &b"\xff"[..],
            b"a\xe9",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf5\x80\x80\x80",
        ] {
            let line = [verb.as_bytes(), b" ", argument].concat();
            assert_eq!(
                parse(&line),
                Err(ParseError::NotUtf8),
                "{}",
                line.escape_ascii()
            );
        }
    }
}

#[test]
fn regression_the_path_is_all_after_one_blank() {
    type Make = fn(String) -> Command;
    let commands: [(&str, Make); 11] = [
        ("CWD", |path| Command::File(File::Cwd(path))),
        ("RETR", |path| Command::Transfer(Transfer::Retr(path))),
        ("STOR", |path| Command::Transfer(Transfer::Stor(path))),
        ("APPE", |path| Command::Transfer(Transfer::Appe(path))),
        ("DELE", |path| Command::File(File::Dele(path))),
        ("RNFR", |path| Command::File(File::Rnfr(path))),
        ("RNTO", |path| Command::File(File::Rnto(path))),
        ("MKD", |path| Command::File(File::Mkd(path))),
        ("RMD", |path| Command::File(File::Rmd(path))),
        ("SIZE", |path| Command::File(File::Size(path))),
        ("MLST", |path| Command::File(File::Mlst(Some(path)))),
    ];
    for path in [
        " a",
        "a ",
        "  ",
        " ",
        "a  b",
        "-a",
        "*",
        "\"a\"",
        "227 Entering",
        "ünï",
    ] {
        for (verb, command) in commands {
            assert_eq!(ok(&format!("{verb} {path}")), command(path.to_owned()));
        }
    }
}

#[test]
fn regression_foreign_protocols_are_recognised() {
    for (line, expected) in [
        (&b"GET / HTTP/1.1"[..], Foreign::Http),
        (b"POST / HTTP/1.1", Foreign::Http),
        (b"PUT /a HTTP/1.1", Foreign::Http),
        (b"HEAD / HTTP/1.0", Foreign::Http),
        (b"DELETE /a HTTP/1.1", Foreign::Http),
        (b"OPTIONS * HTTP/1.1", Foreign::Http),
        (b"CONNECT a:443 HTTP/1.1", Foreign::Http),
        (b"PATCH / HTTP/1.1", Foreign::Http),
        (b"TRACE / HTTP/1.1", Foreign::Http),
        (b"PRI * HTTP/2.0", Foreign::Http),
        (b"post \xff\0", Foreign::Http),
        (b"EHLO a", Foreign::Smtp),
        (b"HELO a", Foreign::Smtp),
        (b"MAIL FROM:<a@b>", Foreign::Smtp),
        (b"RCPT TO:<a@b>", Foreign::Smtp),
        (b"DATA", Foreign::Smtp),
        (b"\x16\x03\x01\x02\0\x01", Foreign::Tls),
        (b"\x16\x03", Foreign::Tls),
    ] {
        assert_eq!(
            parse(line).map(|parsed| parsed.command),
            Ok(Command::Foreign(expected)),
            "{}",
            line.escape_ascii()
        );
    }
}

#[test]
fn every_command_of_the_help_is_parsed_in_every_case() {
    // `HELP` shows what exists, and no more.
    for verb in VERBS.iter().filter(|verb| verb.syntax.is_some()) {
        let verb = verb.name;
        let samples = [
            "",
            "a",
            "0",
            "1 2",
            "C",
            "S",
            "F",
            "1,2,3,4,5,6",
            "|1|1.2.3.4|5|",
        ];
        let dated = ["20240102030405 a", "modify=1; a"];
        let parsed = samples.iter().chain(&dated).find_map(|argument| {
            let upper = parse(format!("{verb} {argument}").as_bytes()).ok()?;
            let lower = parse(format!("{} {argument}", verb.to_lowercase()).as_bytes());
            assert_eq!(lower, Ok(upper.clone()));
            Some(upper)
        });
        assert_eq!(parsed.unwrap().name(), verb);
    }
    for verb in ["XYZZY", "PUT", "GET", "A", "EHLO"] {
        assert_eq!(parse(verb.as_bytes()).unwrap().name(), "?");
    }
}

#[test]
fn a_verb_has_one_row() {
    let mut all: Vec<&str> = VERBS
        .iter()
        .flat_map(|verb| verb.aliases.iter().chain([&verb.name]))
        .copied()
        .collect();
    assert!(all.iter().all(|name| *name == name.to_ascii_uppercase()));
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn while_a_transfer_runs() {
    for (line, expected) in [
        ("ABOR", DuringTransfer::Aborts),
        ("STAT", DuringTransfer::Reports),
        ("STAT  ", DuringTransfer::Reports),
        ("STAT a", DuringTransfer::Waits),
        ("STAT -l", DuringTransfer::Waits),
        ("noop x", DuringTransfer::Counted),
        ("QUIT", DuringTransfer::Last),
        ("RETR a", DuringTransfer::Waits),
        ("XYZZY", DuringTransfer::Waits),
        ("GET / HTTP/1.1", DuringTransfer::Waits),
    ] {
        let parsed = parse(line.as_bytes()).unwrap();
        assert_eq!(parsed.during_transfer(), expected, "{line}");
    }
}

#[test]
fn secrets_do_not_show() {
    for line in ["PASS hunter2", "ACCT hunter2"] {
        assert!(!format!("{:?}", parse(line.as_bytes())).contains("hunter2"));
    }
}

#[test]
fn errors_repeat_nothing_of_the_line() {
    for line in [
        "RETR zq\0",
        "zq\0",
        "TYPE zq",
        "SITE CHMOD zq a",
        "OPTS HASH zq",
        "PROT zq",
    ] {
        let text = parse(line.as_bytes()).unwrap_err().to_string();
        assert!(!text.contains("zq"), "{text}");
    }
}

#[test]
fn any_bytes_are_a_command_or_an_error() {
    // No byte, wherever it stands, does more than that.
    let lines = VERBS
        .iter()
        .map(|verb| format!("{} 20240102030405 a=b; |1|", verb.name));
    for line in lines {
        let mut line = line.into_bytes();
        for place in 0..line.len() {
            for byte in 0..=255 {
                let Some(spot) = line.get_mut(place) else {
                    continue;
                };
                let before = std::mem::replace(spot, byte);
                if let Err(error) = parse(&line) {
                    assert!((500..=536).contains(&error.reply().code()));
                }
                if let Some(spot) = line.get_mut(place) {
                    *spot = before;
                }
            }
        }
        for length in 0..line.len() {
            let _ = parse(line.get(..length).unwrap_or_default());
        }
    }
}
