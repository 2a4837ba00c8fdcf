//! Directives of ProFTPD that have no counterpart.

use crate::cli::import::report::{
    Fate::{Lost, LostEvenOff, Needless},
    Fates,
};

pub const FATES: Fates = &[
    ("AccessDenyMsg", Lost("replies have texts of their own")),
    ("AccessGrantMsg", Lost("see greeting of a user")),
    (
        "AdminControls*",
        Needless("`portcullis` has commands for it; see docs/administration.md"),
    ),
    ("AllowAll", Needless("it is so without a rule")),
    (
        "AllowChrootSymlinks",
        Needless("a link that leads out of the home leads nowhere"),
    ),
    (
        "AllowFilter",
        Lost("commands are not matched as text; see the plugin \"rules\""),
    ),
    (
        "AllowLogSymlinks",
        Needless("logs are written beneath the state directory"),
    ),
    (
        "AllowOverride",
        Lost(".ftpaccess files are not read; see the plugin \"rules\""),
    ),
    (
        "AllowRetrieveRestart",
        LostEvenOff("downloads can always be resumed"),
    ),
    (
        "AllowStoreRestart",
        LostEvenOff("uploads can always be resumed, and are seen when they are whole"),
    ),
    (
        "Anon*",
        Lost("see settings.anonymous of the plugin \"users\""),
    ),
    ("AuthAliasOnly", Lost("users have one name")),
    (
        "AuthFileOptions",
        Needless("the files are read once, at the import"),
    ),
    (
        "AuthOrder",
        Needless("plugins are asked in the order of the configuration"),
    ),
    (
        "AuthPAM*",
        Lost("PAM is not asked; see auth-ldap, auth-sql and auth-http"),
    ),
    ("AuthUsingAlias", Lost("users have one name")),
    ("Ban*", Lost("see [bans], and `portcullis ban`")),
    (
        "CapabilitiesEngine",
        Needless("the server keeps no capability; see docs/security.md"),
    ),
    (
        "CapabilitiesSet",
        Needless("the server keeps no capability; see docs/security.md"),
    ),
    (
        "Class*",
        Lost("there are no classes of clients; see addresses of a user"),
    ),
    ("CommandBufferSize", Lost("see limits.line-length")),
    (
        "Controls*",
        Needless("the control socket is in the state directory; see docs/administration.md"),
    ),
    ("DebugLevel", Needless("log.level")),
    ("DefaultChdir", Lost("users begin in \"/\", their home")),
    ("DefaultServer", Needless("there is one server")),
    (
        "DefaultTransferMode",
        Lost("transfers begin in TYPE A, as RFC 959 says"),
    ),
    (
        "DeferWelcome",
        Needless("the greeting tells nothing of the server"),
    ),
    (
        "Delay*",
        Needless("logins take as long for unknown users; limits.login-delay"),
    ),
    (
        "DeleteAbortedStores",
        Lost("broken uploads wait to be resumed: storage.NAME.partial-age"),
    ),
    ("DenyAll", Lost("see the plugin \"rules\"")),
    (
        "DenyFilter",
        Needless("arguments are no patterns but in listings, which are bounded"),
    ),
    ("DirFake*", Needless("listings tell no owner of the system")),
    (
        "Display*",
        Lost("files of messages are not shown; see server.greeting and greeting of a user"),
    ),
    (
        "DynMasqRefresh",
        Needless("a name of data.advertise is looked up every minute"),
    ),
    (
        "ExtendedLog",
        Lost("see [audit] and the plugin \"webhook\""),
    ),
    (
        "FactsOptions",
        Needless("the facts of MLSD are those of RFC 3659"),
    ),
    (
        "Group",
        Needless("server.user and server.group name the user that serves"),
    ),
    (
        "GroupOwner",
        Lost("all files belong to the user that serves"),
    ),
    ("GroupPassword", Lost("groups have no password")),
    (
        "HiddenStores",
        Needless("uploads are seen when they are whole"),
    ),
    (
        "HideFiles",
        Lost("see effect = \"hide\" of the plugin \"rules\""),
    ),
    (
        "HideGroup",
        Lost("files have no owner here; see the plugin \"rules\""),
    ),
    (
        "HideNoAccess",
        Lost("see effect = \"hide\" of the plugin \"rules\""),
    ),
    (
        "HideUser",
        Lost("files have no owner here; see the plugin \"rules\""),
    ),
    ("IdentLookups", Needless("nobody is asked who a client is")),
    ("LDAP*", Lost("see auth-ldap in docs/shipped-plugins.md")),
    ("Lang*", Needless("names are UTF-8")),
    (
        "ListOptions",
        Needless("LIST takes the options that clients send"),
    ),
    ("LoadModule", Needless("there are no modules to load")),
    ("LogFormat", Lost("see log.format and [audit]")),
    ("LogOptions", Needless("log.format")),
    ("Max*", Lost("there is no such limit; see [limits]")),
    ("ModulePath", Needless("there are no modules to load")),
    ("ModuleControls*", Needless("there are no modules to load")),
    (
        "MultilineRFC2228",
        Needless("replies have the form of RFC 959"),
    ),
    ("PathAllowFilter", Lost("see the plugin \"rules\"")),
    (
        "PersistentPasswd",
        Needless("users are none of the system's"),
    ),
    ("PidFile", Needless("the service manager knows the process")),
    ("Port", Needless("server.listen")),
    ("Protocols", Lost("FTP and FTPS are served")),
    ("ProxyProtocolEngine", Lost("see server.proxy-networks")),
    (
        "QuotaEngine",
        Needless("quota of each user; see docs/uploads.md"),
    ),
    (
        "Quota*",
        Lost("quotas are in users.toml: quota and quota-files"),
    ),
    ("Radius*", Lost("see auth-http in docs/shipped-plugins.md")),
    ("Ratio*", Lost("there are no ratios")),
    ("RewriteEngine", Lost("commands are not rewritten")),
    ("Rewrite*", Lost("commands are not rewritten")),
    (
        "RLimit*",
        Lost("limits of the process are the service manager's; see packaging/portcullis.service"),
    ),
    ("RootRevoke", Needless("no process serves as root")),
    ("SFTP*", Lost("SFTP is not served")),
    (
        "SQL*",
        Lost("see auth-sql in docs/shipped-plugins.md, which has a query for these tables"),
    ),
    ("Scoreboard*", Needless("`portcullis who` shows sessions")),
    ("ServerAdmin", Needless("the address is shown nowhere")),
    ("ServerAlias", Lost("see server.hosts")),
    ("ServerLog", Needless("log.output")),
    (
        "ServerName",
        Needless("the name is shown in the greeting alone: server.greeting"),
    ),
    ("ServerType", Needless("the server listens itself")),
    (
        "SetEnv",
        Needless("the environment is the service manager's"),
    ),
    (
        "ShowSymlinks",
        Needless("links are shown as what they lead to"),
    ),
    (
        "SocketBindTight",
        Needless("server.listen names the addresses"),
    ),
    (
        "SocketOptions",
        Lost("the system decides about its sockets"),
    ),
    (
        "StoreUniquePrefix",
        Lost("names of STOU are made by the server"),
    ),
    ("Syslog*", Needless("log.output and log.level")),
    ("SystemLog", Needless("log.output")),
    ("TCP*", Needless("the system decides about its sockets")),
    (
        "TLSCACertificatePath",
        Lost("name one file: tls.client-authorities"),
    ),
    (
        "TLSCARevocationPath",
        Lost("name the files: tls.client-revocation"),
    ),
    (
        "TLSCertificateChainFile",
        Lost("the chain belongs behind the certificate, in its file"),
    ),
    (
        "TLSCipherSuite",
        Lost("the suites are those of docs/tls.md"),
    ),
    (
        "TLSControls*",
        Needless("the control socket is in the state directory"),
    ),
    ("TLSCryptoDevice", Needless("the library is rustls")),
    ("TLSDHParamFile", Needless("keys are agreed on curves")),
    ("TLSDSA*", Lost("DSA certificates are not served")),
    (
        "TLSECDHCurve",
        Needless("keys are agreed on curves that all clients know"),
    ),
    ("TLSLog", Needless("the log has the lines about TLS")),
    ("TLSMasqueradeAddress", Lost("see data.advertise")),
    ("TLSNextProtocol", Lost("there is no ALPN")),
    (
        "TLSPKCS12File",
        Lost("make it PEM: openssl pkcs12 -in FILE -nodes"),
    ),
    (
        "TLSPassPhraseProvider",
        Lost("keys have no passphrase here"),
    ),
    ("TLSRandomSeed", Needless("the system has random numbers")),
    ("TLSRenegotiate", Needless("nothing is renegotiated")),
    (
        "TLSServerCipherPreference",
        Needless("the server chooses the suite"),
    ),
    ("TLSServerInfoFile", Lost("there is no such extension")),
    (
        "TLSSessionCache",
        Needless("sessions are resumed by tickets"),
    ),
    (
        "TLSSessionTicket*",
        Needless("sessions are resumed by tickets"),
    ),
    ("TLSStapling*", Lost("see tls.ocsp-response")),
    ("TLSUserName", Lost("see certificates of a user")),
    (
        "TLSVerify*",
        Lost("client certificates are verified as docs/operating.md says"),
    ),
    ("TimeoutLinger", Needless("connections are closed in order")),
    ("TimeoutNoTransfer", Lost("see limits.idle-timeout")),
    (
        "TimeoutSession",
        Lost("sessions may last; see limits.idle-timeout"),
    ),
    ("TimesGMT", Needless("listings have UTC")),
    ("Trace*", Needless("log.level = \"trace\"")),
    (
        "TransferPriority",
        Lost("all transfers have the same priority"),
    ),
    (
        "UnsetEnv",
        Needless("the environment is the service manager's"),
    ),
    ("UseEncoding", Needless("names are UTF-8")),
    (
        "UseFtpUsers",
        Lost("/etc/ftpusers is not read; `portcullis user disable`"),
    ),
    ("UseGlobbing", LostEvenOff("LIST takes patterns")),
    ("UseIPv6", Needless("server.listen names the addresses")),
    ("UseLastlog", Lost("lastlog is not written; see audit.file")),
    (
        "UseReverseDNS",
        Needless("names of clients are not looked up"),
    ),
    ("UseSendfile", Needless("it is no key here")),
    ("User", Needless("server.user names the user that serves")),
    ("UserAlias", Lost("users have one name")),
    ("UserDirRoot", Lost("see home of each user")),
    (
        "UserOwner",
        Lost("all files belong to the user that serves"),
    ),
    ("UserPassword", Lost("add it to the table of AuthUserFile")),
    (
        "Wrap*",
        Lost("see bans.deny-file, bans.allow, and addresses of a user"),
    ),
    ("WtmpLog", Lost("wtmp is not written; see audit.file")),
];
