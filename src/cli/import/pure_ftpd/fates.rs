//! Directives of Pure-FTPd that have no counterpart.

use crate::cli::import::report::{
    Fate::{Lost, Needless},
    Fates,
};

pub const FATES: Fates = &[
    (
        "AllowAnonymousFXP",
        Lost("transfers between two servers are not possible"),
    ),
    (
        "AllowDotFiles",
        Lost("see the plugin \"rules\" for names that begin with a dot"),
    ),
    (
        "AllowUserFXP",
        Lost("transfers between two servers are not possible"),
    ),
    (
        "AnonymousOnly",
        Lost("see settings.anonymous of the plugin \"users\", without users"),
    ),
    (
        "Anonymous*",
        Lost("see settings.anonymous of the plugin \"users\""),
    ),
    (
        "AntiWarez",
        Lost("files of guests can be looked at first: upload-guard with action = \"quarantine\""),
    ),
    (
        "BrokenClientsCompatibility",
        Needless("see docs/clients.md for what clients need"),
    ),
    (
        "CallUploadScript",
        Lost("see upload-inspectors in docs/plugins.md, or the plugin \"webhook\""),
    ),
    (
        "ChrootEveryone",
        Needless("every user is confined to the home"),
    ),
    ("ClientCharset", Needless("names are UTF-8")),
    (
        "CustomerProof",
        Needless("owners cannot lock themselves out of what is the server's"),
    ),
    (
        "Daemonize",
        Needless("the service manager starts the server"),
    ),
    ("DisplayDotFiles", Needless("LIST -a and MLSD show them")),
    (
        "DontResolve",
        Needless("names of clients are not looked up"),
    ),
    (
        "ExtAuth",
        Lost("see auth-http in docs/shipped-plugins.md, or write a plugin"),
    ),
    ("ExtCert", Lost("see [[tls.host]]")),
    ("FSCharset", Needless("names are UTF-8")),
    ("FortunesFile", Lost("see greeting of a user")),
    (
        "LDAPConfigFile",
        Lost("see auth-ldap in docs/shipped-plugins.md"),
    ),
    (
        "LimitRecursion",
        Needless("listings are not recursive, and bounded"),
    ),
    ("LogPID", Needless("lines have the number of the session")),
    (
        "MaxDiskUsage",
        Lost("a full disk refuses uploads with 452; see quota, and storage.NAME.partial-size"),
    ),
    (
        "MaxLoad",
        Lost("the load is not looked at; see limits.total-download-rate"),
    ),
    ("MinUID", Needless("users are none of the system's")),
    (
        "MySQLConfigFile",
        Lost("see auth-sql in docs/shipped-plugins.md, which has a query for these tables"),
    ),
    ("NATmode", Lost("see data.advertise")),
    (
        "NoTruncate",
        Needless("an upload takes the place of a file when it is whole"),
    ),
    (
        "PAMAuthentication",
        Lost("PAM is not asked; see auth-ldap, auth-sql and auth-http"),
    ),
    (
        "PGSQLConfigFile",
        Lost("see auth-sql in docs/shipped-plugins.md"),
    ),
    ("PIDFile", Needless("the service manager knows the process")),
    ("SyslogFacility", Needless("log.output")),
    ("TrustedGID", Lost("every user is confined to the home")),
    ("TrustedIP", Lost("see addresses of a user")),
    (
        "UnixAuthentication",
        Lost("users are none of the system's; give a table by --users of vsftpd, or add them"),
    ),
    ("UserRatio", Lost("there are no ratios")),
    (
        "VerboseLog",
        Needless("log.level = \"trace\" tells verbs and replies"),
    ),
];
