//! Tables of lines and what they mean.

#![allow(clippy::unwrap_used)]

use crate::ftp::help::COMMANDS;
use crate::ftp::time::parse_time_val;

use super::*;

fn ok(line: &str) -> Command {
    parse(line.as_bytes()).unwrap_or_else(|error| Command::Unknown(format!("{line:?}: {error}")))
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
        ("USER bob", Command::User(text("bob"))),
        ("user bob smith ", Command::User(text("bob smith "))),
        (
            "USER bob@example.com",
            Command::User(text("bob@example.com")),
        ),
        ("PASS a b ", Command::Pass(Secret::new("a b "))),
        ("PASS pässwort", Command::Pass(Secret::new("pässwort"))),
        ("PASS", Command::Pass(Secret::new(""))),
        ("PASS ", Command::Pass(Secret::new(""))),
        ("ACCT x", Command::Acct(Secret::new("x"))),
        ("REIN", Command::Rein),
        ("QUIT", Command::Quit),
        (
            "HOST FTP.example.com",
            Command::Host(text("ftp.example.com")),
        ),
        ("AUTH tls", Command::Auth(text("TLS"))),
        ("AUTH TLS-C", Command::Auth(text("TLS-C"))),
        ("AUTH nonsense", Command::Auth(text("NONSENSE"))),
        ("PBSZ 0", Command::Pbsz(0)),
        ("PBSZ 4294967295", Command::Pbsz(u32::MAX)),
        ("PROT C", Command::Prot(Protection::Clear)),
        ("prot p", Command::Prot(Protection::Private)),
        ("CCC", Command::Ccc),
        ("PASV", Command::Pasv),
        ("EPSV", Command::Epsv(Epsv::Any)),
        ("EPSV ", Command::Epsv(Epsv::Any)),
        ("EPSV 1", Command::Epsv(Epsv::V4)),
        ("EPSV 2", Command::Epsv(Epsv::V6)),
        ("epsv all", Command::Epsv(Epsv::All)),
        (
            "PORT 192,0,2,1,24,131",
            Command::Port("192.0.2.1:6275".parse().unwrap()),
        ),
        (
            "EPRT |2|::1|5282|",
            Command::Eprt("[::1]:5282".parse().unwrap()),
        ),
        ("TYPE A", Command::Type(Type::Ascii)),
        ("type a n", Command::Type(Type::Ascii)),
        ("TYPE I", Command::Type(Type::Image)),
        ("TYPE L 8", Command::Type(Type::Image)),
        ("TYPE L8", Command::Type(Type::Image)),
        ("MODE s", Command::Mode(Mode::Stream)),
        ("STRU F", Command::Stru(Structure::File)),
        ("CWD /a b", Command::Cwd(text("/a b"))),
        ("XCWD a", Command::Cwd(text("a"))),
        ("CDUP", Command::Cdup),
        ("XCUP", Command::Cdup),
        ("PWD", Command::Pwd),
        ("XPWD", Command::Pwd),
        ("RETR a", Command::Retr(text("a"))),
        ("STOR a", Command::Stor(text("a"))),
        ("APPE a", Command::Appe(text("a"))),
        ("STOU", Command::Stou(None)),
        ("STOU a", Command::Stou(Some(text("a")))),
        ("REST 0", Command::Rest(0)),
        ("REST 18446744073709551615", Command::Rest(u64::MAX)),
        ("ALLO 1000", Command::Allo(1000)),
        ("ALLO 1000 R 80", Command::Allo(1000)),
        ("DELE a", Command::Dele(text("a"))),
        ("RNFR a", Command::Rnfr(text("a"))),
        ("RNTO a", Command::Rnto(text("a"))),
        ("MKD a", Command::Mkd(text("a"))),
        ("XMKD a", Command::Mkd(text("a"))),
        ("RMD a", Command::Rmd(text("a"))),
        ("XRMD a", Command::Rmd(text("a"))),
        ("SIZE a", Command::Size(text("a"))),
        ("MDTM a b", Command::Mdtm(Mdtm::Get(text("a b")))),
        (
            "MDTM 20240102030405",
            Command::Mdtm(Mdtm::Get(text("20240102030405"))),
        ),
        (
            "MDTM 20241302030405 a",
            Command::Mdtm(Mdtm::Get(text("20241302030405 a"))),
        ),
        (
            "MDTM 20240102030405 a b",
            Command::Mdtm(Mdtm::Set {
                time,
                path: text("a b"),
                whole: text("20240102030405 a b"),
            }),
        ),
        ("MFMT 20240102030405 a b", Command::Mfmt(time, text("a b"))),
        ("MFMT 20240102030405  a", Command::Mfmt(time, text(" a"))),
        (
            "MFF Modify=1; a b",
            Command::Mff(vec![(text("modify"), text("1"))], text("a b")),
        ),
        (
            "MFF modify=1;UNIX.mode=; a",
            Command::Mff(
                vec![(text("modify"), text("1")), (text("unix.mode"), text(""))],
                text("a"),
            ),
        ),
        ("MLST", Command::Mlst(None)),
        ("MLST a", Command::Mlst(Some(text("a")))),
        ("MLSD", Command::Mlsd(None)),
        ("MLSD -a", Command::Mlsd(Some(text("-a")))),
        ("LIST", Command::List(list(false, false, None))),
        ("LIST -al", Command::List(list(true, true, None))),
        ("LIST -a b c", Command::List(list(true, false, Some("b c")))),
        (
            "NLST *.txt",
            Command::Nlst(list(false, false, Some("*.txt"))),
        ),
        ("STAT", Command::Stat(None)),
        ("STAT ", Command::Stat(None)),
        ("STAT \t ", Command::Stat(None)),
        ("STAT a", Command::Stat(Some(list(false, false, Some("a"))))),
        ("STAT -l", Command::Stat(Some(list(false, true, None)))),
        (
            "STAT -la d",
            Command::Stat(Some(list(true, true, Some("d")))),
        ),
        (
            "STAT -- -l",
            Command::Stat(Some(list(false, false, Some("-l")))),
        ),
        ("HELP", Command::Help(None)),
        ("HELP retr", Command::Help(Some(text("retr")))),
        ("NOOP", Command::Noop),
        ("SYST", Command::Syst),
        ("FEAT", Command::Feat),
        ("FEAT ", Command::Feat),
        ("opts utf8 on", Command::Opts(Opts::Utf8(true))),
        ("OPTS UTF-8 OFF", Command::Opts(Opts::Utf8(false))),
        ("OPTS UTF8", Command::Opts(Opts::Utf8(true))),
        ("OPTS MLST", Command::Opts(Opts::Mlst(Facts::select("")))),
        (
            "OPTS mlst Type;size;",
            Command::Opts(Opts::Mlst(Facts::select("type;size;"))),
        ),
        ("OPTS HASH", Command::Opts(Opts::Hash(None))),
        (
            "OPTS HASH sha-512",
            Command::Opts(Opts::Hash(Some(Algorithm::Sha512))),
        ),
        (
            "OPTS mode Z LEVEL 9",
            Command::Opts(Opts::Unknown(text("MODE"))),
        ),
        (
            "SITE CHMOD 0644 a b",
            Command::Site(Site::Chmod(0o644, text("a b"))),
        ),
        ("site help", Command::Site(Site::Help(None))),
        ("CLNT a 1.0", Command::Clnt(text("a 1.0"))),
        (
            "CSID Name=a; Version=1;",
            Command::Csid(text("Name=a; Version=1;")),
        ),
        ("HASH a", Command::Hash(text("a"))),
        (
            "XCRC a b",
            Command::Digest {
                algorithm: Algorithm::Crc32,
                path: text("a b"),
            },
        ),
        (
            "XMD5 \"a b\"",
            Command::Digest {
                algorithm: Algorithm::Md5,
                path: text("a b"),
            },
        ),
        (
            "XSHA a",
            Command::Digest {
                algorithm: Algorithm::Sha1,
                path: text("a"),
            },
        ),
        (
            "XSHA1 \"",
            Command::Digest {
                algorithm: Algorithm::Sha1,
                path: text("\""),
            },
        ),
        (
            "XSHA256 \"\"",
            Command::Digest {
                algorithm: Algorithm::Sha256,
                path: text("\"\""),
            },
        ),
        (
            "XSHA512 \"a",
            Command::Digest {
                algorithm: Algorithm::Sha512,
                path: text("\"a"),
            },
        ),
        ("RANG 0 99", Command::Rang(0, 99)),
        ("RANG 5 5", Command::Rang(5, 5)),
        ("RANG 1 0", Command::Rang(1, 0)),
        ("AVBL", Command::Avbl(None)),
        ("AVBL /a", Command::Avbl(Some(text("/a")))),
        ("LANG", Command::Lang(None)),
        ("LANG en-US", Command::Lang(Some(text("en-US")))),
        ("SMNT a", Command::Smnt(text("a"))),
        ("ABOR", Command::Abor),
        ("MIC x", Command::Unsupported("MIC")),
        ("CONF x", Command::Unsupported("CONF")),
        ("ENC x", Command::Unsupported("ENC")),
        ("ADAT x", Command::Unsupported("ADAT")),
        ("LPSV", Command::Unsupported("LPSV")),
        ("LPRT 4,4", Command::Unsupported("LPRT")),
        ("MFCT 1 a", Command::Unsupported("MFCT")),
        ("xyzzy a", Command::Unknown(text("XYZZY"))),
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
        assert_ne!(expected.verb(), "?", "{line}");
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
            assert_eq!(command.verb(), canonical);
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
        ("CWD", Command::Cwd),
        ("RETR", Command::Retr),
        ("STOR", Command::Stor),
        ("APPE", Command::Appe),
        ("DELE", Command::Dele),
        ("RNFR", Command::Rnfr),
        ("RNTO", Command::Rnto),
        ("MKD", Command::Mkd),
        ("RMD", Command::Rmd),
        ("SIZE", Command::Size),
        ("MLST", |path| Command::Mlst(Some(path))),
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
            parse(line),
            Ok(Command::Foreign(expected)),
            "{}",
            line.escape_ascii()
        );
    }
}

#[test]
fn every_command_of_the_help_is_parsed_in_every_case() {
    // `HELP` shows what exists, and no more.
    for (verb, _) in COMMANDS {
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
        assert_eq!(parsed.unwrap().verb(), *verb);
    }
    for verb in ["XYZZY", "PUT", "GET", "A", "EHLO"] {
        assert_eq!(ok(verb).verb(), "?");
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
    let lines = COMMANDS
        .iter()
        .map(|(verb, _)| format!("{verb} 20240102030405 a=b; |1|"));
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
